//! Which nodes keep their meaning when fp32 becomes fp16.

use std::collections::HashSet;

use super::Fp16Error;
use crate::onnx::{AttributeType, DataType, GraphProto, ModelProto, NodeProto};

/// Operators of ONNX whose float inputs and outputs may all be fp16, in every version since opset 7 (Resize: all but
/// its scales). Checked against the schemas of ONNX 1.20.
const KNOWN: &[&str] = &[
    "Abs",
    "Add",
    "And",
    "ArgMax",
    "ArgMin",
    "AveragePool",
    "BatchNormalization",
    "Cast",
    "Ceil",
    "Clip",
    "Concat",
    "Constant",
    "ConstantOfShape",
    "Conv",
    "DepthToSpace",
    "Div",
    "Dropout",
    "Elu",
    "Equal",
    "Erf",
    "Exp",
    "Expand",
    "Flatten",
    "Floor",
    "Gather",
    "Gelu",
    "Gemm",
    "GlobalAveragePool",
    "GlobalMaxPool",
    "Greater",
    "GreaterOrEqual",
    "GroupNormalization",
    "HardSigmoid",
    "HardSwish",
    "Identity",
    "InstanceNormalization",
    "LRN",
    "LeakyRelu",
    "Less",
    "LessOrEqual",
    "Log",
    "LogSoftmax",
    "MatMul",
    "Max",
    "MaxPool",
    "Mean",
    "Min",
    "Mish",
    "Mul",
    "Neg",
    "Not",
    "Or",
    "PRelu",
    "Pad",
    "Pow",
    "Reciprocal",
    "ReduceL2",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceSum",
    "ReduceSumSquare",
    "Relu",
    "Reshape",
    "Resize",
    "Round",
    "Selu",
    "Shape",
    "Sigmoid",
    "Sign",
    "Size",
    "Slice",
    "Softmax",
    "Softplus",
    "Softsign",
    "SpaceToDepth",
    "Split",
    "Sqrt",
    "Squeeze",
    "Sub",
    "Sum",
    "Tanh",
    "ThresholdedRelu",
    "Tile",
    "Transpose",
    "Unsqueeze",
    "Where",
];

/// What the file must not have, whatever its graph is.
pub(super) fn check_file(model: &ModelProto) -> Result<(), Fp16Error> {
    if let Some(function) = model.functions.first() {
        return Err(Fp16Error::Function { name: function.name.clone() });
    }
    Ok(())
}

/// Int8 networks, of whichever exporter.
pub(super) fn refuse_quantized(graph: &GraphProto) -> Result<(), Fp16Error> {
    match graph.quantized_node() {
        Some(node) => Err(Fp16Error::Quantized { node: label(node), op_type: node.op_type.clone() }),
        None => Ok(()),
    }
}

/// Whether every node is one that may be converted.
pub(super) fn check(graph: &GraphProto) -> Result<(), Fp16Error> {
    if let Some(sparse) = graph.sparse_initializer.first() {
        let name = sparse.values.as_ref().map(|values| values.name.clone()).unwrap_or_default();
        return Err(Fp16Error::Type { name, found: "a sparse tensor".into() });
    }
    let constants: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    // Values that are sizes, or reckoned from them.
    let mut sizes: HashSet<&str> = HashSet::new();
    for node in &graph.node {
        let own = matches!(node.domain.as_str(), "" | "ai.onnx");
        let subgraph = |kind| matches!(kind, AttributeType::Graph | AttributeType::Graphs);
        let subgraphs = node.attribute.iter().any(|attribute| subgraph(attribute.r#type()));
        if !own || subgraphs || !KNOWN.contains(&node.op_type.as_str()) || !resize_is_plain(node, &constants) {
            let domain = if own { String::new() } else { format!("{}.", node.domain) };
            return Err(Fp16Error::Operator { node: label(node), op_type: format!("{domain}{}", node.op_type) });
        }
        let of_sizes = node.input.iter().any(|input| sizes.contains(input.as_str()));
        if node.op_type == "Cast" {
            match node.int("to").and_then(|to| DataType::try_from(i32::try_from(to).ok()?).ok()) {
                Some(DataType::Float | DataType::Float16) if of_sizes => {
                    return Err(Fp16Error::Size { node: label(node) });
                }
                Some(wide @ (DataType::Double | DataType::Bfloat16)) => {
                    let found = format!("a Cast to {}", wide.as_str_name());
                    return Err(Fp16Error::Type { name: label(node), found });
                }
                _ => {}
            }
        }
        if matches!(node.op_type.as_str(), "Shape" | "Size") || (of_sizes && reckons(node)) {
            sizes.extend(node.output.iter().map(String::as_str));
        }
    }
    Ok(())
}

/// Whether an operator that is given a size gives a size. A Reshape to a size, for example, does not.
fn reckons(node: &NodeProto) -> bool {
    matches!(
        node.op_type.as_str(),
        "Add" | "Cast" | "Concat" | "Div" | "Gather" | "Identity" | "Mul" | "Squeeze" | "Sub" | "Unsqueeze"
    )
}

/// Whether it is no Resize, or one whose scales are a constant or left out.
fn resize_is_plain(node: &NodeProto, constants: &HashSet<&str>) -> bool {
    resize_scales(node).is_none_or(|scales| constants.contains(scales.as_str()))
}

/// The scales of a Resize, which are FLOAT whatever the image is.
pub(super) fn resize_scales(node: &NodeProto) -> Option<&String> {
    node.input.get(scales_place(node)).filter(|name| node.op_type == "Resize" && !name.is_empty())
}

/// Opset 10 has `(x, scales)`, later ones `(x, roi, scales, sizes)`.
pub(super) fn scales_place(node: &NodeProto) -> usize {
    if node.input.len() == 2 { 1 } else { 2 }
}

/// What a node is called in messages: its name, or that of what it makes.
fn label(node: &NodeProto) -> String {
    let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
    name.cloned().unwrap_or_default()
}
