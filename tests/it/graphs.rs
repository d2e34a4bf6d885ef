//! Odd graphs that exporters make: each answers a photo as ONNX Runtime in Python does on pixels that Pillow prepared, or is
//! refused with a key of model.toml that helps.

use std::{fs, path::Path};

use resnetd::inspect::inspect_file;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    images,
    repository::{best, failure, load, top_1},
};

const MODELS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/models");

/// Half of what a step of the last digit that the answers are given with could change.
const TOLERANCE: f64 = 2e-6;

/// Puts a fixture into `repository` as version 1 of a model of its name.
fn add(repository: &Path, name: &str, model_toml: &str) {
    let folder = repository.join(name);
    fs::create_dir_all(folder.join("1")).unwrap();
    fs::copy(Path::new(MODELS).join(format!("{name}.onnx")), folder.join("1/model.onnx")).unwrap();
    fs::write(folder.join("model.toml"), model_toml).unwrap();
}

fn expected() -> Value {
    serde_json::from_slice(&fs::read(Path::new(MODELS).join("expected.json")).unwrap()).unwrap()
}

#[track_caller]
fn assert_answer(name: &str, (class, probability): (usize, f32), expected: &Value) {
    let moved = (f64::from(probability) - expected["probability"].as_f64().unwrap()).abs();
    assert_eq!(class as u64, expected["class"].as_u64().unwrap(), "{name}");
    assert!(moved < TOLERANCE, "{name}: {probability}, not {}", expected["probability"]);
}

/// Serves each of `names` with the model.toml that it needs, and compares class and probability.
async fn assert_answers(names: &[&str]) {
    let expected = expected();
    let repository = TempDir::new().unwrap();
    for name in names {
        add(repository.path(), name, expected[name]["model_toml"].as_str().unwrap());
    }
    let service = load(repository.path());
    let photo = images::photo();
    for name in names {
        let answer = best(&service, name, photo.clone()).await;
        assert_answer(name, answer, &expected[name]);
    }
}

/// Why a fixture with this model.toml is not served.
fn refusal(name: &str, model_toml: &str) -> String {
    let repository = TempDir::new().unwrap();
    add(repository.path(), name, model_toml);
    failure(&load(repository.path()), name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_says_itself_how_it_ends() {
    assert_answers(&["softmax_int8", "sigmoid_int8", "logsoftmax_int8", "softmax_then_moved"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_classes_are_found_in_outputs_of_every_shape() {
    assert_answers(&["features_first", "two_heads", "out_n_1_1_k", "out_n_k_1_1", "out_k", "reshape_baked_1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn images_come_in_every_shape_color_and_type_that_a_graph_takes() {
    assert_answers(&["all_free", "all_free_nhwc", "non_square_16x8", "non_square_nhwc_6x12", "gray", "gray_nhwc"])
        .await;
    assert_answers(&["uint8_nhwc", "uint8_nchw", "int8_nchw", "float16_nhwc"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn presets_prepare_images_as_the_frameworks_do() {
    let expected = expected();
    let repository = TempDir::new().unwrap();
    let names = ["torchvision", "keras-caffe", "tf", "timm-in1k"].map(|preset| format!("preset {preset}"));
    for name in &names {
        let folder = repository.path().join(name.replace(' ', "-"));
        fs::create_dir_all(folder.join("1")).unwrap();
        fs::copy(Path::new(MODELS).join("raw_float.onnx"), folder.join("1/model.onnx")).unwrap();
        fs::write(folder.join("model.toml"), expected[name]["model_toml"].as_str().unwrap()).unwrap();
    }
    let service = load(repository.path());
    for name in &names {
        assert_answer(name, best(&service, &name.replace(' ', "-"), images::photo()).await, &expected[name]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_outputs_the_one_with_as_many_columns_as_labels_is_served() {
    let repository = TempDir::new().unwrap();
    add(repository.path(), "features_first", "[input]\nresize_size = 9\n");
    fs::write(repository.path().join("features_first/labels.txt"), "0\n1\n2\n3\n4\n5\nsix\n7\n8\n9\n").unwrap();
    assert_eq!(top_1(&load(repository.path()), "features_first", images::photo()).await, "six");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_names_a_key_that_helps() {
    for (name, model_toml, words) in [
        ("features_first", "", &["`feat`", "`y`", "[output] name"][..]),
        ("two_heads", "", &["`aux`", "`y`", "[output] name"]),
        ("two_heads", "[output]\nname = \"logits\"\n", &["[output] name", "logits", "`aux`"]),
        ("all_free", "", &["[input] layout", "nchw", "nhwc", "crop_size"]),
        ("gray", "[input]\ncolor = \"rgb\"\n", &["one channel", "[input] color = \"gray\""]),
        ("non_square_16x8", "[input]\ncrop_size = 16\n", &["16x8", "crop_height = 16", "crop_width = 8"]),
        ("uint8_nhwc", "[input]\nlayout = \"nchw\"\n", &["[input] layout"]),
        ("uint8_nhwc", "[input]\nscale = 0.00392\n", &["2 of the 256", "[input] scale", "remove"]),
    ] {
        let refusal = refusal(name, model_toml);
        assert!(words.iter().all(|word| refusal.contains(word)), "{name}: {refusal}");
    }
}

#[test]
fn inspect_says_what_each_output_ends_in() {
    let ends_in = |name: &str| {
        let inspection = inspect_file(&Path::new(MODELS).join(format!("{name}.onnx"))).unwrap();
        inspection.outputs.iter().map(|output| output.ends_in).collect::<Vec<_>>()
    };
    assert_eq!(ends_in("logsoftmax_int8"), [Some("log-softmax")]);
    assert_eq!(ends_in("softmax_then_moved"), [Some("softmax")]);
    assert_eq!(ends_in("sigmoid_int8"), [Some("sigmoid")]);
    assert_eq!(ends_in("two_heads"), [None, None]);
}
