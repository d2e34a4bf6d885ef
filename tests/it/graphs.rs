//! Odd graphs that exporters make: each answers a photo as ONNX Runtime in Python does on pixels that Pillow prepared, or is
//! refused with a key of model.toml that helps.

use std::{fs, path::Path};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    images,
    repository::{best, load},
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

/// Serves each of `names` with the model.toml that it needs, and compares class and probability.
async fn assert_answers(names: &[&str]) {
    let expected: Value = serde_json::from_slice(&fs::read(Path::new(MODELS).join("expected.json")).unwrap()).unwrap();
    let repository = TempDir::new().unwrap();
    for name in names {
        add(repository.path(), name, expected[name]["model_toml"].as_str().unwrap());
    }
    let service = load(repository.path());
    let photo = images::photo();
    for name in names {
        let (class, probability) = best(&service, name, photo.clone()).await;
        let expected = &expected[name];
        let moved = (f64::from(probability) - expected["probability"].as_f64().unwrap()).abs();
        assert_eq!(class as u64, expected["class"].as_u64().unwrap(), "{name}");
        assert!(moved < TOLERANCE, "{name}: {probability}, not {}", expected["probability"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graph_says_itself_how_it_ends() {
    assert_answers(&["softmax_int8", "sigmoid_int8", "logsoftmax_int8", "softmax_then_moved"]).await;
}
