//! Graphs whose sizes no network has: looking at them ends, and soon.

use std::time::Duration;

use resnetd::{
    inspect::inspect,
    onnx::{AttributeProto, DataType, GraphBuilder, TensorProto, int_tensor, value_info},
};

use crate::support::processor_time;

#[test]
fn sizes_that_no_memory_holds_are_neither_reckoned_with_nor_counted_through() {
    let huge = 1_i64 << 62;
    let empty = |dims: &[i64]| TensorProto {
        name: "numbers".into(),
        dims: dims.to_vec(),
        data_type: DataType::Int64.into(),
        ..TensorProto::default()
    };
    let mut graph = GraphBuilder::new("huge");
    let side = 1_i64 << 32;
    let x = graph.input(value_info("input", DataType::Float, &[1, 3, 1 << 32, 1 << 32]));
    let numbers = graph.initializer(empty(&[0, huge]));
    let turned = graph.node("Transpose", "turned", &[&numbers], vec![]);
    let sizes = graph.initializer(int_tensor("sizes", &[huge, 4]));
    let four = graph.initializer(int_tensor("four", &[1, 2, 3, 4]));
    let shaped = graph.node("Reshape", "shaped", &[&four, &sizes], vec![]);
    let kernel = vec![AttributeProto::of_ints("kernel_shape", &[side, side])];
    let pooled = graph.node("AveragePool", "pool", &[&x], kernel);
    let out = graph.node("Sum", "sum", &[&pooled, &turned, &shaped], vec![]);
    graph.output(&out, value_info("out", DataType::Float, &[1, 3]));

    assert_eq!(inspect(&graph.finish(8, 17, &[])).unwrap().architecture(), "unknown");
}

#[test]
fn a_shape_of_a_million_dimensions_does_not_hold_a_long_graph_up() {
    let mut graph = GraphBuilder::new("wide");
    let mut x = graph.input(value_info("input", DataType::Float, &[1, 3, 8, 8]));
    let wide = TensorProto {
        name: "wide".into(),
        dims: vec![1; 1_000_000],
        data_type: DataType::Float.into(),
        ..TensorProto::default()
    };
    let wide = graph.initializer(wide);
    let axes: Vec<i64> = (0..100_000).collect();
    x = graph.node("Unsqueeze", "long", &[&x], vec![AttributeProto::of_ints("axes", &axes)]);
    for index in 0..20_000 {
        x = graph.add(&format!("add{index}"), &x, &wide);
    }
    graph.output(&x, value_info("out", DataType::Float, &[1, 3]));
    let started = processor_time();
    assert_eq!(inspect(&graph.finish(8, 17, &[])).unwrap().architecture(), "unknown");
    let taken = processor_time() - started;
    assert!(taken < Duration::from_secs(20), "{taken:?}");
}
