//! Networks of every exporter, converted from fp32 to fp16: they answer as before on the processor, which stands in for
//! a GPU, and what cannot be converted is refused by name.
//!
//! The exports of the fixtures have no weights; they get some here, the same at every run.

#![allow(clippy::unwrap_used)]

use std::{collections::HashMap, path::Path};

use bytes::Bytes;
use resnetd::{
    onnx::{
        self, AttributeProto, DataType, Fp16Error, GraphBuilder, GraphProto, ModelProto, NodeProto, TensorProto,
        UpgradeError, decode, float_tensor, half_tensor, into_bytes, to_fp16, value_info,
    },
    runtime::{Executor, GraphSource, SessionOptions},
    tensor::{Batch, Logits},
};

use crate::support::runtime;

const BUILT_IN: &[u8] = include_bytes!("../../models/resnet20-cifar10/1/model.onnx");

/// What is asked of fp16, of the largest value.
const TOLERANCE: f32 = 5e-3;

fn built_in() -> ModelProto {
    decode(Bytes::from_static(BUILT_IN)).unwrap()
}

fn fixture(name: &str) -> ModelProto {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/onnx");
    onnx::read(&folder.join(name).with_extension("onnx")).unwrap()
}

/// Numbers in `0..1` that look random.
fn noise(seed: usize) -> impl Iterator<Item = f32> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64.wrapping_mul(seed as u64 + 1) | 1;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1 << 24) as f32
    })
}

/// Caffe2's export makes its weights by nodes, each of one number: they become weights like others, which a file of IR
/// version 3 lists among the inputs.
fn made_weights(graph: &mut GraphProto) {
    let sizes: HashMap<String, Vec<i64>> = graph
        .initializer
        .iter()
        .filter(|tensor| tensor.data_type == i32::from(DataType::Int64))
        .map(|tensor| (tensor.name.clone(), onnx::i64_values(tensor).unwrap()))
        .collect();
    let (made, kept) = std::mem::take(&mut graph.node)
        .into_iter()
        .partition(|node: &NodeProto| node.op_type == "ConstantOfShape" && sizes.contains_key(&node.input[0]));
    graph.node = kept;
    for node in made {
        let (name, dims) = (node.output[0].clone(), sizes[&node.input[0]].clone());
        graph.input.push(value_info(&name, DataType::Float, &[]));
        graph.input.last_mut().unwrap().r#type = Some(onnx::TypeProto {
            value: Some(onnx::type_proto::Value::TensorType(onnx::type_proto::Tensor {
                elem_type: DataType::Float.into(),
                shape: None,
            })),
            ..onnx::TypeProto::default()
        });
        graph.initializer.push(TensorProto { name, dims, data_type: DataType::Float.into(), ..TensorProto::default() });
    }
}

/// Gives the tensors that lost their values new ones, fit for what reads them.
fn with_weights(mut model: ModelProto) -> ModelProto {
    let graph = model.graph.as_mut().unwrap();
    if model.ir_version < 4 {
        made_weights(graph);
    }
    let mut readers: HashMap<String, (String, usize)> = HashMap::new();
    // Backwards: a value that is shared by an Identity is read as what that is read as.
    for node in graph.node.iter().rev() {
        for (place, name) in node.input.iter().enumerate() {
            let reader = match node.op_type.as_str() {
                "Identity" => readers.get(&node.output[0]).cloned().unwrap_or_default(),
                op => (op.to_owned(), place),
            };
            readers.insert(name.clone(), reader);
        }
    }
    let fill = |seed: usize, name: &str, tensor: &mut TensorProto| {
        if tensor.data_type != i32::from(DataType::Float) || !tensor.raw_data.is_empty() {
            return;
        }
        let (op, place) = readers.get(name).cloned().unwrap_or_default();
        let fan_in: i64 = tensor.dims.iter().skip(1).product();
        let value: Box<dyn Fn(f32) -> f32> = match (op.as_str(), place, tensor.dims.len()) {
            ("Clip", 1, _) | ("Pad", ..) => Box::new(|_| 0.0),
            ("Clip", ..) => Box::new(|_| 6.0),
            ("BatchNormalization", 1, _) | ("Mul", ..) => Box::new(|u| 0.4 + 0.2 * u),
            ("BatchNormalization", 4, _) => Box::new(|u| 0.75 + 0.5 * u),
            ("Conv", 1, 4) => Box::new(move |u| (2.0 * u - 1.0) * (3.0 / fan_in as f32).sqrt()),
            ("Gemm" | "MatMul", 1, 2) => {
                let widest = tensor.dims.iter().copied().max().unwrap();
                Box::new(move |u| (2.0 * u - 1.0) * (3.0 / widest as f32).sqrt())
            }
            _ => Box::new(|u| 0.1 * (2.0 * u - 1.0)),
        };
        let shape: Vec<usize> = tensor.dims.iter().map(|&dim| dim as usize).collect();
        let values: Vec<f32> = noise(seed).take(shape.iter().product()).map(value).collect();
        *tensor = float_tensor(tensor.name.clone(), &shape, &values);
    };
    for (seed, tensor) in graph.initializer.iter_mut().enumerate() {
        fill(seed, &tensor.name.clone(), tensor);
    }
    for (seed, node) in graph.node.iter_mut().enumerate().filter(|(_, node)| node.op_type == "Constant") {
        let name = node.output[0].clone();
        node.attribute.iter_mut().filter_map(|attribute| attribute.t.as_mut()).for_each(|t| fill(seed, &name, t));
    }
    model
}

/// The network's answers to two images, `0..1` in every channel, and what it takes and gives.
fn answers(model: ModelProto) -> (Vec<Vec<f32>>, resnetd::runtime::Signature) {
    let options = SessionOptions::reference(2, 2);
    let mut executor = runtime().executor(GraphSource::Memory(&into_bytes(model)), options).unwrap();
    let signature = (**executor.signature()).clone();
    let (height, width) = signature.size.unwrap_or((224, 224));
    let mut batch = Batch::new(signature.layout, height, width, 2);
    for seed in 0..signature.fixed_batch.unwrap_or(2).min(2) {
        batch.push().iter_mut().zip(noise(seed + 1000)).for_each(|(value, u)| *value = u);
    }
    let mut logits = Logits::default();
    executor.run(&batch, &mut logits).unwrap();
    (logits.rows().map(<[f32]>::to_vec).collect(), signature)
}

fn first_class(row: &[f32]) -> usize {
    (0..row.len()).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap()
}

/// Converts and compares.
fn agree(name: &str, model: ModelProto) {
    let (expected, signature) = answers(model.clone());
    let converted = to_fp16(model).unwrap_or_else(|error| panic!("{name}: {error}"));
    let weights = &converted.graph.as_ref().unwrap().initializer;
    assert!(weights.iter().all(|tensor| tensor.data_type != i32::from(DataType::Float)), "{name} keeps fp32 weights");
    let (found, same_signature) = answers(converted);
    assert_eq!(same_signature, signature, "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        let largest = expected.iter().fold(0.0_f32, |largest, value| largest.max(value.abs()));
        let error = expected.iter().zip(found).fold(0.0_f32, |error, (a, b)| error.max((a - b).abs()));
        assert!(error <= TOLERANCE * largest, "{name}: off by {error}, the largest is {largest}");
        assert_eq!(first_class(found), first_class(expected), "{name}");
    }
}

#[test]
fn exports_of_pytorch_answer_as_before() {
    for name in ["torchscript_resnet18_bn", "dynamo_resnet34", "torchscript_resnet20_centered", "timm_seresnet50"] {
        agree(name, with_weights(fixture(name)));
    }
}

#[test]
fn exports_of_keras_and_caffe2_answer_as_before() {
    for name in ["tf2onnx_resnet50", "keras_resnet50", "caffe2_resnet50"] {
        agree(name, with_weights(fixture(name)));
    }
}

#[test]
fn networks_with_clips_joins_and_sizes_reckoned_in_the_graph_answer_as_before() {
    for name in ["torchscript_mobilenet_v2", "torchscript_densenet121", "timm_resnest50d"] {
        agree(name, with_weights(fixture(name)));
    }
}

/// Global average pooling and one thing more, `f32[N, 3, 4, 4]` to `f32[N, 3]`.
fn small(build: impl FnOnce(&mut GraphBuilder, &str) -> String) -> ModelProto {
    let mut graph = GraphBuilder::new("small");
    let x = graph.input(value_info("input", DataType::Float, &[3, 4, 4]));
    let x = build(&mut graph, &x);
    let x = graph.global_average_pool("pool", &x);
    let x = graph.flatten("flatten", &x);
    graph.output(&x, value_info("logits", DataType::Float, &[3]));
    graph.finish(8, 17, &[])
}

/// What the small network says of an image of ones, in fp32 and converted.
fn ones(model: ModelProto) -> [Vec<f32>; 2] {
    [model.clone(), to_fp16(model).unwrap()].map(|model| {
        let mut executor =
            runtime().executor(GraphSource::Memory(&into_bytes(model)), SessionOptions::reference(1, 1)).unwrap();
        let mut batch = Batch::new(executor.signature().layout, 4, 4, 1);
        batch.push().fill(1.0);
        let mut logits = Logits::default();
        executor.run(&batch, &mut logits).unwrap();
        logits.rows().next().unwrap().to_vec()
    })
}

fn near(found: &[f32], expected: &[f32]) -> bool {
    found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 2e-3 * b.abs())
}

#[test]
fn a_weight_beyond_the_range_is_refused_with_its_name_and_value() {
    let mut model = built_in();
    let tensor = model.graph.as_mut().unwrap().initializer.iter_mut().find(|t| t.name == "fc.bias").unwrap();
    *tensor = float_tensor("fc.bias", &[10], &[1.0, -70000.0, 3.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let error = to_fp16(model).unwrap_err();
    assert_eq!(error, Fp16Error::Overflow { tensor: "fc.bias".into(), value: -70000.0 });
    assert!(error.to_string().contains("\"fc.bias\" holds -70000"), "{error}");
    let largest = Fp16Error::Overflow { tensor: "x".into(), value: f32::MAX }.to_string();
    assert!(largest.contains("holds 3.4028235e38"), "{largest}");

    let constant = |values: Vec<AttributeProto>| {
        to_fp16(small(|graph, x| {
            let big = graph.node("Constant", "big", &[], values);
            graph.node("Mul", "scaled", &[x, &big], Vec::new())
        }))
    };
    let refused = constant(vec![AttributeProto::of_float("value_float", 1e6)]).unwrap_err();
    assert_eq!(refused, Fp16Error::Overflow { tensor: "big".into(), value: 1e6 });
    assert!(constant(vec![AttributeProto::of_float("value_float", 65504.0)]).is_ok());
}

#[test]
fn an_epsilon_that_would_vanish_is_refused_too() {
    let model = small(|graph, x| {
        let epsilon = graph.initializer(float_tensor("epsilon", &[], &[1e-12]));
        graph.add("guarded", x, &epsilon)
    });
    assert_eq!(to_fp16(model).unwrap_err(), Fp16Error::Underflow { tensor: "epsilon".into(), value: 1e-12 });
}

#[test]
fn a_variance_beyond_the_range_is_none_once_it_is_divided_by() {
    let model = small(|graph, x| {
        let parameters = [("scale", [1.0, 300.0, 0.02]), ("bias", [0.5, -2.0, 0.0]), ("mean", [-1e5, 3.0, 0.01])];
        let [scale, bias, mean] = parameters.map(|(name, values)| graph.initializer(float_tensor(name, &[3], &values)));
        let variance = graph.initializer(float_tensor("variance", &[3], &[4e9, 1e5, 1e-12]));
        graph.batch_normalization("bn", x, [&scale, &bias, &mean, &variance], 1e-5)
    });
    let [expected, found] = ones(model);
    assert!(near(&found, &expected), "{found:?} {expected:?}");
}

#[test]
fn limits_that_mean_none_become_the_largest_number_there_is() {
    let model = small(|graph, x| {
        let lowest = graph.initializer(float_tensor("lowest", &[], &[0.0]));
        let highest = graph.initializer(float_tensor("highest", &[], &[f32::MAX]));
        let x = graph.node("Clip", "clip", &[x, &lowest, &highest], Vec::new());
        let least = graph.node("Constant", "least", &[], vec![AttributeProto::of_float("value_float", f32::MIN)]);
        graph.node("Max", "max", &[&x, &least], Vec::new())
    });
    let [expected, found] = ones(model);
    assert_eq!((&found, &expected), (&vec![1.0; 3], &vec![1.0; 3]));

    // The same number, when it is also multiplied by, is a weight like any other.
    let model = small(|graph, x| {
        let highest = graph.initializer(float_tensor("highest", &[], &[f32::MAX]));
        let x = graph.node("Min", "min", &[x, &highest], Vec::new());
        graph.node("Mul", "mul", &[&x, &highest], Vec::new())
    });
    assert!(matches!(to_fp16(model), Err(Fp16Error::Overflow { tensor, .. }) if tensor == "highest"));
}

#[test]
fn a_resize_keeps_its_scales_in_fp32_also_where_they_are_shared() {
    let model = small(|graph, x| {
        let scales = graph.initializer(float_tensor("scales", &[4], &[1.0, 1.0, 2.0, 2.0]));
        let x = graph.node("Resize", "resize", &[x, "", &scales], Vec::new());
        let two = graph.node("ReduceMax", "two", &[&scales], vec![AttributeProto::of_int("keepdims", 0)]);
        graph.node("Mul", "mul", &[&x, &two], Vec::new())
    });
    let [expected, found] = ones(model);
    assert_eq!((&found, &expected), (&vec![2.0; 3], &vec![2.0; 3]));
}

#[test]
fn values_that_an_operator_makes_in_fp32_by_itself_are_converted() {
    let model = small(|graph, x| {
        let shape = graph.node("Shape", "shape", &[x], Vec::new());
        let zeros = graph.node("ConstantOfShape", "zeros", &[&shape], Vec::new());
        let value = onnx::AttributeProto {
            name: "value".into(),
            t: Some(float_tensor("", &[1], &[0.25])),
            r#type: onnx::AttributeType::Tensor.into(),
            ..AttributeProto::default()
        };
        let quarters = graph.node("ConstantOfShape", "quarters", &[&shape], vec![value]);
        let threes = graph.node(
            "Constant",
            "threes",
            &[],
            vec![AttributeProto {
                name: "value_floats".into(),
                floats: vec![3.0],
                r#type: onnx::AttributeType::Floats.into(),
                ..AttributeProto::default()
            }],
        );
        let positive = graph.node("Greater", "positive", &[x, &zeros], Vec::new());
        let counted = graph.cast("counted", &positive, DataType::Float);
        let sum = graph.add("sum", &counted, &quarters);
        graph.node("Mul", "product", &[&sum, &threes], Vec::new())
    });
    let [expected, found] = ones(model);
    assert_eq!((&found, &expected), (&vec![3.75; 3], &vec![3.75; 3]));
}

#[test]
fn int8_networks_are_refused_whoever_exported_them() {
    for (name, op) in [
        ("qdq_resnet50", "DequantizeLinear"),
        ("qoperator_resnet18", "QuantizeLinear"),
        ("qdq_resnet50v2", "QuantizeLinear"),
    ] {
        let error = to_fp16(fixture(name)).unwrap_err();
        assert!(matches!(error, Fp16Error::Quantized { .. }), "{name}: {error}");
        assert!(error.to_string().contains("int8"), "{name}: {error} {op}");
    }
}

#[test]
fn operators_whose_types_are_not_known_are_refused_with_node_and_name() {
    let error = to_fp16(fixture("ort_fused_resnet18")).unwrap_err().to_string();
    assert!(error.contains("com.microsoft.FusedConv"), "{error}");

    let error = to_fp16(small(|graph, x| graph.node("NonMaxSuppression", "nms", &[x], Vec::new()))).unwrap_err();
    assert!(error.to_string().contains("\"nms\" is NonMaxSuppression"), "{error}");

    let branch = AttributeProto {
        name: "then_branch".into(),
        g: Some(built_in().graph.unwrap()),
        r#type: onnx::AttributeType::Graph.into(),
        ..AttributeProto::default()
    };
    let error = to_fp16(small(|graph, x| graph.node("If", "if", &[x], vec![branch]))).unwrap_err();
    assert!(error.to_string().contains("\"if\" is If"), "{error}");
}

#[test]
fn sizes_reckoned_in_floats_doubles_and_old_files_are_refused() {
    let error = to_fp16(small(|graph, x| {
        let shape = graph.node("Shape", "shape", &[x], Vec::new());
        let shape = graph.node("Identity", "same", &[&shape], Vec::new());
        graph.cast("in_floats", &shape, DataType::Float)
    }))
    .unwrap_err();
    assert_eq!(error, Fp16Error::Size { node: "in_floats".into() });

    let error = to_fp16(small(|graph, x| graph.cast("wide", x, DataType::Double))).unwrap_err();
    assert!(error.to_string().contains("DOUBLE"), "{error}");

    let mut old = built_in();
    old.opset_import[0].version = 6;
    assert_eq!(to_fp16(old).unwrap_err(), Fp16Error::Upgrade(UpgradeError::TooOld { opset: 6 }));

    let mut untyped = built_in();
    untyped.graph.as_mut().unwrap().output[0].r#type = None;
    assert_eq!(to_fp16(untyped).unwrap_err(), Fp16Error::Untyped { output: "logits".into() });
}

#[test]
fn a_network_in_fp16_stays_as_it_is() {
    let converted = to_fp16(built_in()).unwrap();
    assert_eq!(to_fp16(converted.clone()).unwrap(), converted);
    let half = small(|graph, x| {
        let weight = graph.initializer(half_tensor("w", &[1], &[0.5]));
        let x = graph.cast("down", x, DataType::Float16);
        let x = graph.node("Mul", "mul", &[&x, &weight], Vec::new());
        graph.cast("up", &x, DataType::Float)
    });
    assert_eq!(to_fp16(half.clone()).unwrap(), half);
}

#[test]
fn weights_beside_the_file_are_read_for_the_conversion_and_missed_without_it() {
    let mut model = built_in();
    let weight = model.graph.as_mut().unwrap().initializer.iter_mut().find(|t| t.name == "fc.weight").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("weights.bin"), &weight.raw_data).unwrap();
    weight.raw_data = Bytes::new();
    weight.set_data_location(onnx::proto::tensor_proto::DataLocation::External);
    weight.external_data = vec![onnx::StringStringEntryProto { key: "location".into(), value: "weights.bin".into() }];
    let path = folder.path().join("model.onnx");
    onnx::write(&model, &path).unwrap();

    assert_eq!(to_fp16(onnx::read(&path).unwrap()).unwrap(), to_fp16(built_in()).unwrap());
    let error = to_fp16(onnx::read_graph(&path).unwrap()).unwrap_err();
    assert!(error.to_string().contains("another file"), "{error}");
}
