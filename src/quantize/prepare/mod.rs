//! Brings the fp32 graph into the one form that the other steps know: batch normalisation folded, weights ordered by
//! output channel, identity shortcuts as convolutions. The graph still computes the same.
//!
//! Any exporter's graph comes in; what is not recognised stays as it is and is run in fp32.

mod error;
mod fold;
mod shortcut;

use std::collections::{HashMap, HashSet};

use crate::onnx::{
    AttributeProto, DataType, GraphProto, ModelProto, TensorProto, Walk, f32_values, float_tensor, upgrade,
};

pub use error::PrepareError;
use fold::fold_batch_normalization;
use shortcut::shortcuts_to_convolutions;

/// From this version on, files need not list weights among the inputs.
const IR_VERSION: i64 = 7;

/// Brings `model` into the one form.
///
/// # Errors
/// [`PrepareError`] for a graph that is quantized already, has no fp32 convolution, or is too old.
pub fn prepare(model: ModelProto) -> Result<ModelProto, PrepareError> {
    refuse(model.graph.as_ref().unwrap_or(&GraphProto::default()))?;
    let mut model = upgrade(model)?;
    model.ir_version = model.ir_version.max(IR_VERSION);
    let mut graph = model.graph.take().unwrap_or_default();
    constants_to_initializers(&mut graph);
    let weights: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.retain(|input| !weights.contains(input.name.as_str()));
    bypass(&mut graph);
    fold_batch_normalization(&mut graph)?;
    gemm_by_output(&mut graph)?;
    shortcuts_to_convolutions(&mut graph)?;
    prune(&mut graph);
    // Shapes and types of inner values that were exported along are not true of the 8-bit graph.
    graph.value_info.clear();
    model.graph = Some(graph);
    Ok(model)
}

fn refuse(graph: &GraphProto) -> Result<(), PrepareError> {
    let quantized = |op: &str| {
        op.starts_with("QLinear")
            || op.ends_with("QuantizeLinear")
            || op.ends_with("Integer")
            || op.starts_with("QGemm")
            || op == "DequantizeLinear"
    };
    if let Some(node) = graph.node.iter().find(|node| quantized(&node.op_type)) {
        return Err(PrepareError::Quantized { node: node.name.clone(), op_type: node.op_type.clone() });
    }
    let walk = Walk::new(graph);
    let kernels = graph.node.iter().filter(|node| node.op_type == "Conv");
    let mut kernels = kernels.filter_map(|node| walk.constant(node.input.get(1)?)).peekable();
    if kernels.peek().is_none() {
        return Err(PrepareError::NoConvolution);
    }
    match kernels.find(|tensor| tensor.data_type != i32::from(DataType::Float)) {
        Some(tensor) => {
            let found = DataType::try_from(tensor.data_type).map_or("of no known type", |found| found.as_str_name());
            Err(PrepareError::Weights { tensor: tensor.name.clone(), found })
        }
        None => Ok(()),
    }
}

fn constants_to_initializers(graph: &mut GraphProto) {
    let (constants, nodes): (Vec<_>, Vec<_>) = std::mem::take(&mut graph.node)
        .into_iter()
        .partition(|node| node.op_type == "Constant" && node.tensor("value").is_some() && node.output.len() == 1);
    graph.node = nodes;
    for mut node in constants {
        if let Some(tensor) = node.attribute.pop().and_then(|attribute| attribute.t) {
            graph.initializer.push(TensorProto { name: node.output.swap_remove(0), ..tensor });
        }
    }
}

/// Takes out nodes that pass their input on unchanged at inference.
fn bypass(graph: &mut GraphProto) {
    let outputs: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
    let mut instead: HashMap<String, String> = HashMap::new();
    graph.node.retain(|node| {
        let hands_on = matches!(node.op_type.as_str(), "Identity" | "Dropout");
        let [output, rest @ ..] = &*node.output else { return true };
        let mask_unread = rest.iter().all(String::is_empty) || node.op_type == "Dropout";
        if !hands_on || !mask_unread || outputs.contains(output) || node.input.is_empty() {
            return true;
        }
        let source = instead.get(&node.input[0]).unwrap_or(&node.input[0]).clone();
        instead.insert(output.clone(), source);
        false
    });
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(source) = instead.get(name) {
            name.clone_from(source);
        }
    }
}

/// Weights of fully connected layers as `[K, C]`, so that the first axis is the output channel as in a convolution.
fn gemm_by_output(graph: &mut GraphProto) -> Result<(), PrepareError> {
    let mut transposed = Vec::new();
    let weights: HashMap<String, TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name.clone(), tensor.clone())).collect();
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Gemm" && node.int("transB").unwrap_or(0) == 0) {
        let Some(weight) = node.input.get(1).and_then(|name| weights.get(name)) else { continue };
        let [rows, columns] = weight.dims[..] else { continue };
        let (rows, columns) = (rows as usize, columns as usize);
        let values = f32_values(weight)?;
        let turned: Vec<f32> =
            (0..columns).flat_map(|c| (0..rows).map(move |r| (r, c))).map(|(r, c)| values[r * columns + c]).collect();
        let name = format!("{}.by_output", weight.name);
        transposed.push(float_tensor(name.clone(), &[columns, rows], &turned));
        node.input[1] = name;
        node.attribute.retain(|attribute| attribute.name != "transB");
        node.attribute.push(AttributeProto::of_int("transB", 1));
    }
    graph.initializer.extend(transposed);
    Ok(())
}

/// Takes out nodes and weights that nobody reads any more.
fn prune(graph: &mut GraphProto) {
    loop {
        let mut read: HashSet<String> = graph.output.iter().map(|output| output.name.clone()).collect();
        read.extend(graph.node.iter().flat_map(|node| node.input.iter().cloned()));
        let before = graph.node.len();
        graph.node.retain(|node| node.output.iter().any(|output| read.contains(output)));
        if graph.node.len() == before {
            graph.initializer.retain(|tensor| read.contains(&tensor.name));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::onnx::{ConvShape, GraphBuilder, NodeProto, PoolShape, int_tensor, value_info};

    const POINT: ConvShape = ConvShape { kernel: 1, stride: 1, padding: 0, groups: 1 };

    fn finish(graph: GraphBuilder, opset: i64) -> ModelProto {
        graph.finish(3, opset, &[])
    }

    fn values(model: &ModelProto, node: &NodeProto, place: usize) -> Vec<f32> {
        let graph = model.graph.as_ref().unwrap();
        f32_values(graph.initializer.iter().find(|tensor| tensor.name == node.input[place]).unwrap()).unwrap()
    }

    #[test]
    fn batch_normalization_is_folded_by_hand_computed_numbers() {
        let mut graph = GraphBuilder::new("bn");
        let x = graph.input(value_info("x", DataType::Float, &[1, 2, 2]));
        let weight = graph.initializer(float_tensor("w", &[1, 1, 1, 1], &[2.0]));
        let bias = graph.initializer(float_tensor("b", &[1], &[0.5]));
        let y = graph.conv("conv", &x, &weight, Some(&bias), POINT);
        let parameters = [("gamma", 3.0), ("beta", 0.25), ("mean", 1.0), ("variance", 3.0)];
        let names = parameters.map(|(name, value)| graph.initializer(float_tensor(name, &[1], &[value])));
        let y = graph.batch_normalization("bn", &y, names.each_ref().map(String::as_str), 1.0);
        graph.output(&y, value_info("out", DataType::Float, &[1, 2, 2]));

        let model = prepare(finish(graph, 17)).unwrap();

        let nodes = &model.graph.as_ref().unwrap().node;
        assert_eq!(nodes.len(), 1);
        assert_eq!(nodes[0].output, ["out"]);
        // 3 / sqrt(3 + 1) = 1.5 times the weight; 0.25 + (0.5 - 1) * 1.5 for the bias.
        assert_eq!(values(&model, &nodes[0], 1), [3.0]);
        assert_eq!(values(&model, &nodes[0], 2), [-0.5]);
        assert_eq!(model.graph.as_ref().unwrap().initializer.len(), 2, "the old parameters are gone");
    }

    #[test]
    fn an_identity_shortcut_becomes_a_convolution_with_ones_on_the_diagonal() {
        let mut graph = GraphBuilder::new("shortcut");
        let x = graph.input(value_info("x", DataType::Float, &[2, 4, 4]));
        let weight = graph.initializer(float_tensor("w", &[2, 2, 1, 1], &[1.0; 4]));
        let y = graph.conv("conv", &x, &weight, None, POINT);
        let y = graph.subsample("half", &y, 2);
        let y = graph.pad_channels("pad", &y, 1, 0);
        graph.output(&y, value_info("out", DataType::Float, &[3, 2, 2]));

        let model = prepare(finish(graph, 17)).unwrap();

        let nodes = &model.graph.as_ref().unwrap().node;
        assert_eq!(nodes.iter().map(|node| node.op_type.as_str()).collect::<Vec<_>>(), ["Conv", "Conv"]);
        assert_eq!(nodes[1].ints("strides"), Some(&[2, 2][..]));
        assert_eq!(values(&model, &nodes[1], 1), [0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
    }

    #[test]
    fn weights_of_a_fully_connected_layer_come_by_output() {
        let mut graph = GraphBuilder::new("fc");
        let x = graph.input(value_info("x", DataType::Float, &[2, 1, 1]));
        let kernel = graph.initializer(float_tensor("k", &[2, 2, 1, 1], &[1.0; 4]));
        let y = graph.conv("conv", &x, &kernel, None, POINT);
        let y = graph.flatten("flat", &y);
        let weight = graph.initializer(float_tensor("w", &[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        let y = graph.node("Gemm", "fc", &[&y, &weight], Vec::new());
        graph.output(&y, value_info("out", DataType::Float, &[3]));

        let model = prepare(finish(graph, 17)).unwrap();

        let fc = model.graph.as_ref().unwrap().node.last().unwrap().clone();
        assert_eq!(fc.int("transB"), Some(1));
        assert_eq!(values(&model, &fc, 1), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
    }

    #[test]
    fn a_file_of_an_older_opset_is_lifted_and_one_that_cannot_be_is_refused() {
        let graph = |op: &str| {
            let mut graph = GraphBuilder::new("old");
            let x = graph.input(value_info("x", DataType::Float, &[1, 2, 2]));
            let weight = float_tensor("w", &[1, 1, 1, 1], &[2.0]);
            let weight = graph.initializer(weight);
            graph.input(value_info("w", DataType::Float, &[1, 1, 1]));
            let y = graph.conv("conv", &x, &weight, None, POINT);
            let y = graph.node(op, "after", &[&y], Vec::new());
            graph.output(&y, value_info("out", DataType::Float, &[1, 2, 2]));
            graph
        };
        let model = prepare(finish(graph("Relu"), 8)).unwrap();
        assert_eq!(model.opset(), Some(13));
        assert_eq!(model.graph.unwrap().input.len(), 1, "weights are no inputs any more");
        let refused = prepare(finish(graph("RoiPool"), 8)).unwrap_err().to_string();
        assert!(refused.contains("opset 8") && refused.contains("RoiPool"), "{refused}");
    }

    #[test]
    fn what_is_no_fp32_convolutional_network_is_refused_with_the_reason() {
        let mut graph = GraphBuilder::new("relu");
        let x = graph.input(value_info("x", DataType::Float, &[3, 2, 2]));
        let y = graph.max_pool("pool", &x, PoolShape { kernel: 1, stride: 1, padding: 0, ceil_mode: false });
        let y = graph.relu("relu", &y);
        graph.output(&y, value_info("out", DataType::Float, &[3, 2, 2]));
        assert!(matches!(prepare(finish(graph, 17)), Err(PrepareError::NoConvolution)));

        let mut graph = GraphBuilder::new("half");
        let x = graph.input(value_info("x", DataType::Float16, &[1, 2, 2]));
        let weight = graph.initializer(crate::onnx::half_tensor("w", &[1, 1, 1, 1], &[1.0]));
        let y = graph.conv("conv", &x, &weight, None, POINT);
        graph.output(&y, value_info("out", DataType::Float16, &[1, 2, 2]));
        assert!(prepare(finish(graph, 17)).unwrap_err().to_string().contains("FLOAT16"));

        let mut graph = GraphBuilder::new("qdq");
        let x = graph.input(value_info("x", DataType::Float, &[3, 2, 2]));
        let zero = graph.initializer(int_tensor("zero", &[0]));
        let y = graph.node("QuantizeLinear", "q", &[&x, &zero, &zero], Vec::new());
        graph.output(&y, value_info("out", DataType::Uint8, &[3, 2, 2]));
        assert!(matches!(prepare(finish(graph, 17)), Err(PrepareError::Quantized { .. })));
    }
}
