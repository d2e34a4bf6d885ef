//! Graphs of old and new operators: what lifts them changes no answer, and what reads them reads them all.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use resnetd::{
    inspect::inspect,
    onnx::{ModelProto, into_bytes, read, to_fp16, upgrade},
    quantize::prepare,
    runtime::{Executor, GraphSource, SessionOptions},
    tensor::{Batch, Layout, Logits},
};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::runtime;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
const SIDE: usize = 16;

/// Name, path, and what ONNX Runtime in Python answers.
fn graphs() -> Vec<(String, PathBuf, Value)> {
    let folder = Path::new(FIXTURES).join("opsets");
    let expected: Value = serde_json::from_slice(&fs::read(folder.join("expected.json")).unwrap()).unwrap();
    let graphs = expected.as_object().unwrap().iter();
    graphs.map(|(name, answer)| (name.clone(), folder.join(name), answer.clone())).collect()
}

/// The answer to the image that `make.py` asked with, in a batch with another one.
fn answer(model: ModelProto) -> Vec<f32> {
    let mut batch = Batch::new(Layout::Nchw, SIDE, SIDE, 2);
    for image in 0..2 {
        let values = batch.push().iter_mut().enumerate();
        values.for_each(|(place, value)| *value = ((place * 7 + image * 131) % 255) as f32 / 128.0 - 1.0);
    }
    let file = into_bytes(model);
    let mut executor = runtime().executor(GraphSource::Memory(&file), SessionOptions::reference(1, 2)).unwrap();
    let mut logits = Logits::default();
    executor.run(&batch, &mut logits).unwrap();
    logits.rows().next().unwrap().to_vec()
}

#[track_caller]
fn assert_near(name: &str, got: &[f32], want: &[f32], tolerance: f32) {
    let largest = want.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
    assert_eq!(got.len(), want.len(), "{name}");
    assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() <= tolerance * largest), "{name}: {got:?}, not {want:?}");
}

#[test]
fn a_lifted_graph_gives_the_same_answers() {
    for (name, path, expected) in graphs() {
        let model = read(&path).unwrap();
        let opset = expected["opset"].as_i64();
        assert_eq!(model.opset(), opset, "{name}");
        let lifted = upgrade(model.clone()).unwrap();
        assert_eq!(lifted.opset(), opset.map(|opset| opset.max(13)), "{name}");
        let (before, after) = (answer(model), answer(lifted));
        // An engine joins other nodes, so that the last digit may move.
        assert_near(&name, &after, &before, 1e-6);
        let row = expected["row"].as_array().unwrap().iter();
        let row: Vec<f32> = row.map(|value| value.as_f64().unwrap() as f32).collect();
        assert_near(&name, &before, &row, 1e-5);
    }
}

#[test]
fn quantization_inspection_and_fp16_read_every_opset() {
    for (name, path, expected) in graphs() {
        let model = read(&path).unwrap();
        let inspection = inspect(&model).unwrap();
        assert_eq!(inspection.opset, expected["opset"].as_i64(), "{name}");
        let before = answer(model.clone());
        assert_near(&name, &answer(prepare(model.clone()).unwrap()), &before, 1e-4);
        assert_near(&name, &answer(to_fp16(model).unwrap()), &before, 5e-3);
        if name.starts_with("torch") {
            assert_eq!(inspection.no_resnet, None, "{name}");
            assert_eq!(inspection.architecture(), "resnet[1,1]-basic-w4", "{name}");
        }
    }
}

#[test]
fn a_graph_of_opset_9_with_a_softmax_inside_is_quantized() {
    let repository = TempDir::new().unwrap();
    let folder = repository.path().join("thin");
    fs::create_dir_all(folder.join("1")).unwrap();
    fs::copy(Path::new(FIXTURES).join("opsets/torch_9_softmax.onnx"), folder.join("1/model.onnx")).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_resnetd"))
        .args(["quantize", "thin", "--force", "--models"])
        .arg(repository.path())
        .arg("--calibration")
        .arg(Path::new(FIXTURES).join("cifar10/calibration"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let quantized = read(&folder.join("2/model.onnx")).unwrap();
    assert_eq!(quantized.metadata("precision"), Some("int8"));
    let (fp32, int8) = (answer(read(&folder.join("1/model.onnx")).unwrap()), answer(quantized));
    assert_near("int8", &int8, &fp32, 0.05);
}
