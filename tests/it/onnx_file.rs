//! ONNX files as others make them, break them and hide things in them.

use std::{fs, path::Path};

use bytes::Bytes;
use resnetd::onnx::{
    self, AttributeProto, DataType, GraphBuilder, GraphProto, ModelProto, NodeProto, ReadError, StringStringEntryProto,
    Walk, decode, proto::tensor_proto::DataLocation, value_info,
};

const BUILT_IN: &[u8] = include_bytes!("../../models/resnet20-cifar10/1/model.onnx");

fn built_in() -> ModelProto {
    decode(Bytes::from_static(BUILT_IN)).expect("our own model")
}

#[test]
fn file_that_is_written_is_the_file_that_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    let model = built_in();
    onnx::write(&model, &path).unwrap();
    assert_eq!(onnx::read(&path).unwrap(), model);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn file_that_cannot_be_written_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.onnx");
    fs::create_dir(&path).unwrap();
    let error = onnx::write(&built_in(), &path).unwrap_err();
    assert!(error.to_string().contains("model.onnx"), "{error}");
    assert!(path.is_dir());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "a temporary file is left");
}

#[test]
fn damaged_files_are_refused_or_read_but_never_panic() {
    for length in (0..BUILT_IN.len()).step_by(BUILT_IN.len() / 300) {
        assert!(decode(Bytes::from_static(&BUILT_IN[..length])).is_err(), "the first {length} bytes are no model");
    }
    // The first kilobytes are nodes: lengths, tags and strings, where damage matters most.
    for place in 0..4096 {
        let mut damaged = BUILT_IN.to_vec();
        damaged[place] ^= 0x81;
        if let Ok(model) = decode(damaged.into()) {
            let graph = model.graph.expect("decode refuses a model without");
            let _ = Walk::new(&graph).topological_order();
            for tensor in &graph.initializer {
                let _ = (onnx::f32_values(tensor), onnx::i64_values(tensor));
            }
        }
    }
    for foreign in [&b""[..], b"PK\x03\x04", b"\x89HDF\r\n\x1a\n", b"hello, world", &[0xFF; 64]] {
        assert!(decode(Bytes::from_static(foreign)).is_err());
    }
}

#[test]
fn weights_in_a_file_beside_the_model_are_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let model = with_external_weight(folder.path(), "weights.bin", 4, 8);
    fs::write(folder.path().join("weights.bin"), [0, 0, 0, 0, 0, 0, 128, 63, 0, 0, 0, 64, 9]).unwrap();
    let tensor = onnx::read(&model).unwrap().graph.unwrap().initializer.remove(0);
    assert_eq!(onnx::f32_values(&tensor).unwrap(), [1.0, 2.0]);
}

#[test]
fn weight_files_outside_the_folder_or_too_short_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("model");
    fs::create_dir(&inner).unwrap();
    fs::write(folder.path().join("secret"), [0; 64]).unwrap();
    fs::write(inner.join("short"), [0; 10]).unwrap();
    let absolute = folder.path().join("secret").display().to_string();
    for (location, offset) in
        [("../secret", 0), (&*absolute, 0), ("", 0), ("absent", 0), ("short", 4), ("short", usize::MAX)]
    {
        let error = onnx::read(&with_external_weight(&inner, location, offset, 8)).unwrap_err();
        assert!(matches!(error, ReadError::External { .. }), "{location:?}: {error}");
    }
}

#[test]
fn nodes_in_any_order_are_put_into_one_that_can_be_run() {
    let mut graph = built_in().graph.unwrap();
    let names = |graph: &resnetd::onnx::GraphProto, order: Vec<usize>| -> Vec<String> {
        order.into_iter().map(|index| graph.node[index].name.clone()).collect()
    };
    let as_written = names(&graph, (0..graph.node.len()).collect());
    graph.node.reverse();
    let order = Walk::new(&graph).topological_order().unwrap();
    let sorted = names(&graph, order);
    assert_eq!(sorted.len(), as_written.len());
    assert_eq!((sorted.first(), sorted.last()), (as_written.first(), as_written.last()));
}

#[test]
fn graph_that_goes_in_circles_is_named() {
    let mut builder = GraphBuilder::new("circle");
    builder.input(value_info("x", DataType::Float, &[1]));
    builder.add("first", "x", "second");
    builder.relu("second", "first");
    let graph = builder.finish(8, 17, &[]).graph.unwrap();
    let error = Walk::new(&graph).topological_order().unwrap_err();
    assert!(error.to_string().contains("first"), "{error}");
}

#[test]
fn a_value_that_is_made_twice_does_not_confuse_the_order() {
    let node = |name: &str, inputs: &[&str], outputs: &[&str]| NodeProto {
        name: name.into(),
        input: inputs.iter().map(|&name| name.into()).collect(),
        output: outputs.iter().map(|&name| name.into()).collect(),
        ..NodeProto::default()
    };
    let nodes = vec![node("reader", &["x"], &["y"]), node("first", &[], &["x"]), node("second", &[], &["x", "x"])];
    let graph = GraphProto { node: nodes, ..GraphProto::default() };
    assert_eq!(Walk::new(&graph).topological_order().unwrap(), [1, 2, 0]);
}

#[test]
fn neighbours_of_a_value_are_found_through_an_edited_output() {
    let mut builder = GraphBuilder::new("edited");
    let x = builder.input(value_info("x", DataType::Float, &[1]));
    let a = builder.relu("a", &x);
    let b = builder.add("b", &a, &a);
    builder.output(&a, value_info("features", DataType::Float, &[1]));
    builder.output(&b, value_info("logits", DataType::Float, &[1]));
    let graph = builder.finish(8, 17, &[]).graph.unwrap();
    let walk = Walk::new(&graph);
    assert_eq!(walk.producer("features").unwrap().name, "a");
    assert_eq!(walk.consumers("features").map(|node| node.name.as_str()).collect::<Vec<_>>(), ["b", "b"]);
    assert!(walk.is_output("logits") && walk.is_output("features") && !walk.is_output("a"));
}

/// A model of one node whose weight, two floats, is in another file.
fn with_external_weight(folder: &Path, location: &str, offset: usize, length: usize) -> std::path::PathBuf {
    let mut builder = GraphBuilder::new("external");
    let x = builder.input(value_info("x", DataType::Float, &[2]));
    let mut tensor = onnx::float_tensor("w", &[2], &[]);
    tensor.set_data_location(DataLocation::External);
    tensor.external_data =
        [("location", location.to_owned()), ("offset", offset.to_string()), ("length", length.to_string())]
            .map(|(key, value)| StringStringEntryProto { key: key.into(), value })
            .to_vec();
    let weight = builder.initializer(tensor);
    builder.node("Add", "sum", &[&x, &weight], vec![AttributeProto::of_int("unused", 0)]);
    builder.output("sum", value_info("sum", DataType::Float, &[2]));
    let path = folder.join("model.onnx");
    onnx::write(&builder.finish(8, 17, &[]), &path).expect("a writable folder");
    path
}

#[test]
fn an_int8_network_is_known_by_its_operators_and_by_no_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    let quantized = |name: &str| {
        let graph = onnx::read(&folder.join(name)).unwrap().graph.unwrap();
        graph.quantized_node().map(|node| node.op_type.clone())
    };
    assert_eq!(quantized("qdq_resnet50.onnx").as_deref(), Some("DequantizeLinear"));
    assert_eq!(quantized("qoperator_resnet18.onnx").as_deref(), Some("QuantizeLinear"));
    assert_eq!(quantized("torchscript_resnet50.onnx"), None);

    let mut graph = GraphBuilder::new("DequantizeLinear");
    let x = graph.input(value_info("QuantizeLinear", DataType::Float, &[3]));
    let x = graph.relu("DequantizeLinear", &x);
    let x = graph.node("ConvInteger", "relu", &[&x], Vec::new());
    let mut graph = graph.finish(8, 17, &[]).graph.unwrap();
    assert_eq!(graph.quantized_node().map(|node| node.op_type.as_str()), Some("ConvInteger"), "{x}");
    graph.node.pop();
    assert_eq!(graph.quantized_node(), None);
}
