//! What holds for any classifier, ResNet or not: the image that goes in, weights and work, precision.

use std::collections::{BTreeMap, HashSet};

use super::{
    layer::Kind,
    layers::Layers,
    operators::{Slots, is_norm},
    report::{BatchNorm, ImageInput},
    values::{Values, dims},
};
use crate::{
    onnx::{DataType, NodeProto, ValueInfoProto, Walk, type_proto},
    tensor::Layout,
};

/// How many nodes may stand between the input and the Transpose that shows its layout.
const LAYOUT_HOPS: usize = 8;

/// The image input; sizes that the graph leaves free become `assumed_size`.
pub(super) fn image_input(walk: &Walk<'_>, assumed_size: usize) -> Option<ImageInput> {
    let rank = |info: &ValueInfoProto| dims(info.r#type.as_ref()).map(|dims| dims.len());
    let info = walk.inputs().find(|info| rank(info) == Some(4)).or_else(|| walk.inputs().next())?;
    let dims = dims(info.r#type.as_ref()).filter(|dims| dims.len() == 4).unwrap_or_else(|| vec![None; 4]);
    let colours = |axis: usize| matches!(dims[axis], Some(1 | 3));
    let layout = match (colours(1), colours(3), transposed_first(walk, &info.name)) {
        (_, true, Some([0, 3, 1, 2])) | (false, true, _) | (false, false, Some([0, 3, 1, 2])) => Layout::Nhwc,
        _ => Layout::Nchw,
    };
    let [channels, height, width] = match layout {
        Layout::Nchw => [1, 2, 3],
        Layout::Nhwc => [3, 1, 2],
    };
    Some(ImageInput {
        name: info.name.clone(),
        layout,
        element: element(info),
        batch: dims[0],
        channels: dims[channels].unwrap_or(3),
        height: dims[height].unwrap_or(assumed_size),
        width: dims[width].unwrap_or(assumed_size),
        size_assumed: dims[height].is_none() || dims[width].is_none(),
    })
}

impl ImageInput {
    /// The shape of one image, or of a batch of the fixed size.
    pub(super) fn shape(&self) -> Vec<usize> {
        let batch = self.batch.unwrap_or(1);
        match self.layout {
            Layout::Nchw => vec![batch, self.channels, self.height, self.width],
            Layout::Nhwc => vec![batch, self.height, self.width, self.channels],
        }
    }
}

fn transposed_first<'a>(walk: &Walk<'a>, input: &'a str) -> Option<&'a [i64]> {
    let mut value = input;
    for _ in 0..LAYOUT_HOPS {
        let node = walk.consumers(value).next()?;
        match node.op_type.as_str() {
            "Transpose" => return node.ints("perm"),
            op if op.contains("Conv") => return None,
            _ => value = node.output.first()?,
        }
    }
    None
}

fn element(info: &ValueInfoProto) -> String {
    let Some(type_proto::Value::TensorType(tensor)) = info.r#type.as_ref().and_then(|t| t.value.as_ref()) else {
        return "no tensor".into();
    };
    match DataType::try_from(tensor.elem_type) {
        Ok(DataType::Float) => "float32".into(),
        Ok(DataType::Double) => "float64".into(),
        Ok(other) => other.as_str_name().to_ascii_lowercase(),
        Err(_) => format!("type {}", tensor.elem_type),
    }
}

fn has_weight(op: &str) -> bool {
    matches!(
        op,
        "Conv"
            | "FusedConv"
            | "ConvInteger"
            | "QLinearConv"
            | "Gemm"
            | "QGemm"
            | "MatMul"
            | "MatMulInteger"
            | "QLinearMatMul"
    )
}

fn size(shape: &[usize]) -> u64 {
    shape.iter().fold(1, |product: u64, &dim| product.saturating_mul(dim as u64))
}

/// Numbers in weights, biases, and scales and offsets of normalisation.
pub(super) fn parameters(walk: &Walk<'_>, values: &Values<'_>, layers: &Layers<'_>) -> u64 {
    walk.graph().node.iter().fold(0, |sum: u64, node| sum.saturating_add(parameters_of(node, values, layers)))
}

/// Those of one node.
pub(super) fn parameters_of(node: &NodeProto, values: &Values<'_>, layers: &Layers<'_>) -> u64 {
    if node.output.first().is_none_or(|output| values.is_inert(output)) {
        return 0;
    }
    let slots = Slots::of(node);
    let of_input = |layer: Option<usize>| layer.is_some_and(|layer| matches!(layers.all[layer].kind, Kind::Input));
    let positions = match node.op_type.as_str() {
        op if has_weight(op) => [slots.weight, slots.bias],
        op if is_norm(op) => [Some(1), Some(2)],
        "PRelu" => [Some(1), None],
        // The bias of a matrix product, or batch normalisation written as a product, counts; constants that
        // normalise pixels do not.
        "Add" | "Sum" | "Mul" | "Sub" | "Div" if !node.output.iter().any(|name| of_input(layers.of_value(name))) => {
            [Some(0), Some(1)]
        }
        _ => [None, None],
    };
    let names = positions.into_iter().flatten().filter_map(|at| node.input.get(at));
    let numbers =
        |name: &String| values.shape(name).filter(|shape| size(shape) > 1 || has_weight(&node.op_type)).map_or(0, size);
    names
        .filter(|name| !name.is_empty() && values.is_inert(name))
        .fold(0, |sum: u64, name| sum.saturating_add(numbers(name)))
}

/// Multiplications with additions for one image; `None` where a shape is not known.
pub(super) fn macs(walk: &Walk<'_>, values: &Values<'_>) -> Option<u64> {
    walk.graph().node.iter().try_fold(0, |sum: u64, node| Some(sum.saturating_add(macs_of(node, values)?)))
}

/// Those of one node: none of one without weights.
pub(super) fn macs_of(node: &NodeProto, values: &Values<'_>) -> Option<u64> {
    if !has_weight(&node.op_type) {
        return Some(0);
    }
    let slots = Slots::of(node);
    let shape = |at: usize| values.shape(node.input.get(at)?);
    let output = node.output.first()?;
    if values.is_inert(output) {
        return Some(0);
    }
    let weight = size(shape(slots.weight?)?);
    let places = if node.op_type.contains("Conv") {
        size(values.shape(output)?.get(2..)?)
    } else if node.op_type.ends_with("Gemm") {
        1
    } else {
        let x = shape(slots.x)?;
        size(x.get(1..x.len().checked_sub(1)?).unwrap_or_default())
    };
    Some(weight.saturating_mul(places))
}

/// Numbers in the largest value that is computed from an image, as far as sizes are known.
///
/// * `batch`: the images that all sizes are for, where the graph fixes that
pub(super) fn largest_value(walk: &Walk<'_>, values: &Values<'_>, batch: Option<usize>) -> u64 {
    let outputs = walk.graph().node.iter().flat_map(|node| &node.output).filter(|output| !values.is_inert(output));
    let sizes = outputs.filter_map(|output| values.shape(output)).map(size);
    sizes.max().unwrap_or(0) / batch.map_or(1, |batch| batch.max(1) as u64)
}

/// The arithmetic of the weighted layers.
pub(super) fn precision(walk: &Walk<'_>, values: &Values<'_>) -> String {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for node in walk.graph().node.iter().filter(|node| has_weight(&node.op_type)) {
        *counts.entry(node_precision(node, walk, values)).or_default() += 1;
    }
    match counts.len() {
        0 => "no weighted layers".into(),
        1 => counts.into_keys().next().unwrap_or_default(),
        _ => {
            let mut counts: Vec<_> = counts.into_iter().collect();
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let parts: Vec<String> = counts.iter().map(|(kind, count)| format!("{kind} ({count} layers)")).collect();
            format!("mixed: {}", parts.join(", "))
        }
    }
}

fn node_precision(node: &NodeProto, walk: &Walk<'_>, values: &Values<'_>) -> String {
    match node.op_type.as_str() {
        "QLinearConv" | "QLinearMatMul" | "QGemm" => return "int8 QOperator".into(),
        "ConvInteger" | "MatMulInteger" => return "int8 dynamic".into(),
        _ => {}
    }
    let slots = Slots::of(node);
    let name = |at: usize| node.input.get(at).map_or("", String::as_str);
    let Some(mut weight) = slots.weight.map(name).filter(|weight| values.is_inert(weight)) else {
        return "products of activations".into();
    };
    let dequantized = |value: &str| walk.producer(value).is_some_and(|made| made.op_type == "DequantizeLinear");
    let mut seen = HashSet::new();
    while seen.insert(weight) {
        if dequantized(weight) {
            return if dequantized(name(slots.x)) { "int8 QDQ".into() } else { "int8 weights only".into() };
        }
        let made = walk.producer(weight).filter(|made| made.op_type != "ConstantOfShape");
        match made.and_then(|made| made.input.first()) {
            Some(from) => weight = from,
            None => break,
        }
    }
    // Weights of which the file holds the shape only (the `light` models of the onnx package).
    let filled = walk.producer(weight).filter(|made| made.op_type == "ConstantOfShape");
    let data_type = match filled {
        Some(made) => made.tensor("value").map_or(i32::from(DataType::Float), |value| value.data_type),
        None => walk.constant(weight).map_or(0, |tensor| tensor.data_type),
    };
    match DataType::try_from(data_type) {
        Ok(DataType::Float) => "fp32".into(),
        Ok(DataType::Double) => "fp64".into(),
        Ok(DataType::Float16) => "fp16".into(),
        Ok(DataType::Bfloat16) => "bf16".into(),
        Ok(DataType::Undefined) | Err(_) => "unknown".into(),
        Ok(other) => other.as_str_name().to_ascii_lowercase(),
    }
}

/// Where batch normalisation is, and how many convolutions have a bias in front of it.
pub(super) fn batch_norm(layers: &Layers<'_>, operators: &BTreeMap<String, usize>) -> (BatchNorm, usize) {
    let nodes = operators.iter().filter(|(op, _)| is_norm(op)).map(|(_, count)| count).sum::<usize>() + layers.products;
    let convs =
        || layers.all.iter().filter_map(|layer| if let Kind::Conv(conv) = &layer.kind { Some(conv) } else { None });
    let biased = convs().filter(|conv| conv.bias && !conv.norm).count();
    let both = convs().filter(|conv| conv.bias && conv.norm).count();
    let place = match (nodes, biased) {
        (0, 0) => BatchNorm::None,
        (0, _) => BatchNorm::Folded,
        (_, 0) => BatchNorm::Kept,
        _ => BatchNorm::Mixed,
    };
    (place, both)
}
