//! Rounds numbers from fp32 to the nearest fp16, and refuses a tensor that would become infinite or nothing but zeros.

use std::collections::{HashMap, HashSet};

use half::{f16, slice::HalfFloatSliceExt as _};

use super::{super::names::Names, Fp16Error, operators::resize_scales};
use crate::onnx::{
    AttributeProto, DataType, GraphProto, NodeProto, TensorProto, Walk, f32_values, float_tensor, tensor_len,
};

/// Rounds the weights, and the constants that nodes carry. Those that stand for "no limit" may lie outside the range.
pub(super) fn round(graph: &mut GraphProto) -> Result<(), Fp16Error> {
    let roles = Roles::of(graph);
    for tensor in graph.initializer.iter_mut().filter(|tensor| !roles.scales.contains(&tensor.name)) {
        round_tensor(tensor, roles.are_limits(&tensor.name))?;
    }
    for node in graph.node.iter_mut().filter(|node| node.op_type == "Constant") {
        let name = node.output.first().cloned().unwrap_or_default();
        round_constant(node, &name, roles.are_limits(&name))?;
    }
    Ok(())
}

/// What the nodes use each constant for.
struct Roles {
    /// By name, whether a constant is used only as a limit (of a Clip, a Max): there a number beyond fp16's range may
    /// be cut to it.
    limits: HashMap<String, bool>,
    /// The scales of a Resize.
    scales: HashSet<String>,
}

impl Roles {
    fn of(graph: &GraphProto) -> Self {
        let mut limits = HashMap::new();
        for node in &graph.node {
            for (index, name) in node.input.iter().enumerate() {
                let limit = match node.op_type.as_str() {
                    "Clip" => index > 0,
                    "Pad" => index == 2,
                    "Max" | "Min" => true,
                    _ => false,
                };
                limits.entry(name.clone()).and_modify(|all| *all &= limit).or_insert(limit);
            }
        }
        Self { limits, scales: graph.node.iter().filter_map(resize_scales).cloned().collect() }
    }

    fn are_limits(&self, name: &str) -> bool {
        self.limits.get(name).copied().unwrap_or_default()
    }
}

/// Turns the number or numbers that a Constant carries into fp16.
fn round_constant(node: &mut NodeProto, name: &str, limits: bool) -> Result<(), Fp16Error> {
    for attribute in &mut node.attribute {
        let mut tensor = match attribute.name.as_str() {
            "value" => attribute.t.take().unwrap_or_default(),
            "value_float" => float_tensor("", &[], &[attribute.f()]),
            "value_floats" => float_tensor("", &[attribute.floats.len()], &attribute.floats),
            "sparse_value" => return Err(Fp16Error::Type { name: name.to_owned(), found: "a sparse tensor".into() }),
            _ => continue,
        };
        round_named(&mut tensor, name, limits)?;
        *attribute = AttributeProto::of_tensor("value", tensor);
    }
    Ok(())
}

/// Turns the tensor in an attribute into fp16.
pub(super) fn round_attribute(node: &mut NodeProto, name: &str) -> Result<(), Fp16Error> {
    let output = node.output.first().cloned().unwrap_or_default();
    let attributes = node.attribute.iter_mut().filter(|attribute| attribute.name == name);
    attributes.filter_map(|attribute| attribute.t.as_mut()).try_for_each(|tensor| round_named(tensor, &output, false))
}

/// Rounds a tensor in an attribute; errors name it after the node's output, since it has no telling name of its own.
fn round_named(tensor: &mut TensorProto, name: &str, limits: bool) -> Result<(), Fp16Error> {
    let own = std::mem::replace(&mut tensor.name, name.to_owned());
    round_tensor(tensor, limits)?;
    tensor.name = own;
    Ok(())
}

/// Rounds an fp32 tensor; leaves integers and what is fp16 already.
fn round_tensor(tensor: &mut TensorProto, limits: bool) -> Result<(), Fp16Error> {
    match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => {}
        Ok(other @ (DataType::Double | DataType::Bfloat16 | DataType::Complex64 | DataType::Complex128)) => {
            return Err(Fp16Error::Type { name: tensor.name.clone(), found: other.as_str_name().to_owned() });
        }
        _ => return Ok(()),
    }
    let mut values = f32_values(tensor)?;
    if limits {
        let (lowest, highest) = (f16::MIN.to_f32(), f16::MAX.to_f32());
        values.iter_mut().filter(|value| value.is_finite()).for_each(|value| *value = value.clamp(lowest, highest));
    }
    let mut rounded = vec![f16::ZERO; values.len()];
    rounded.convert_from_f32_slice(&values);
    let largest = values.iter().copied().filter(|value| value.is_finite());
    let largest = largest.max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or_default();
    if f16::from_f32(largest).is_infinite() {
        return Err(Fp16Error::Overflow { tensor: tensor.name.clone(), value: largest });
    }
    // That some numbers of a weight become 0 does no harm. If all do, something is lost that mattered, an epsilon for
    // instance.
    if largest != 0.0 && rounded.iter().all(|&value| value == f16::ZERO) {
        return Err(Fp16Error::Underflow { tensor: tensor.name.clone(), value: largest });
    }
    let mut raw = vec![0; 2 * rounded.len()];
    raw.as_chunks_mut().0.iter_mut().zip(&rounded).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
    tensor.raw_data = raw.into();
    tensor.float_data = Vec::new();
    tensor.data_type = DataType::Float16.into();
    Ok(())
}

/// `scale * (x - mean) / sqrt(variance + epsilon) + bias` with constant parameters becomes the same with mean 0 and
/// variance 1, reckoned in f64.
pub(super) fn restate_batch_norms(graph: &mut GraphProto, names: &mut Names) -> Result<(), Fp16Error> {
    let walk = Walk::new(graph);
    let nodes = graph.node.iter().enumerate().filter(|(_, node)| node.op_type == "BatchNormalization");
    let mut restated = Vec::new();
    for (index, node) in nodes.filter(|(_, node)| node.int("training_mode").unwrap_or(0) == 0) {
        if let Some(tensors) = restate(node, &walk)? {
            restated.push((index, tensors));
        }
    }
    for (index, tensors) in restated {
        let node = &mut graph.node[index];
        let base = node.output.first().cloned().unwrap_or_default();
        for ((place, suffix), values) in (1..).zip(["scale", "bias", "mean", "variance"]).zip(tensors) {
            let name = names.fresh(&base, suffix);
            graph.initializer.push(float_tensor(name.as_str(), &[values.len()], &values));
            node.input[place] = name;
        }
    }
    Ok(())
}

/// Scale, bias, mean and variance; `None` where one of them is no constant, or not as it should be.
fn restate(node: &NodeProto, walk: &Walk<'_>) -> Result<Option<[Vec<f32>; 4]>, Fp16Error> {
    let found = (1..=4).map(|place| constant(walk, node.input.get(place)?));
    let Some(found) = found.collect::<Option<Vec<_>>>() else { return Ok(None) };
    let is_plain = |tensor: &&TensorProto| tensor.data_type == i32::from(DataType::Float);
    if !found.iter().all(is_plain) || found.iter().any(|tensor| tensor_len(tensor) != tensor_len(found[0])) {
        return Ok(None);
    }
    let values = found.into_iter().map(f32_values).collect::<Result<Vec<_>, _>>()?;
    let epsilon = f64::from(node.float("epsilon").unwrap_or(1e-5));
    let mut restated = [Vec::new(), Vec::new(), vec![0.0; values[0].len()], vec![1.0; values[0].len()]];
    for (((&scale, &bias), &mean), &variance) in values[0].iter().zip(&values[1]).zip(&values[2]).zip(&values[3]) {
        let factor = f64::from(scale) / (f64::from(variance) + epsilon).sqrt();
        if !factor.is_finite() {
            return Ok(None);
        }
        restated[0].push((factor * (1.0 + epsilon).sqrt()) as f32);
        restated[1].push((f64::from(bias) - f64::from(mean) * factor) as f32);
    }
    Ok(Some(restated))
}

/// The constant behind a name, also where PyTorch's exporter shares it through an Identity.
fn constant<'a>(walk: &Walk<'a>, name: &str) -> Option<&'a TensorProto> {
    let mut name = name;
    // A chain that is longer than the graph has nodes is a circle.
    for _ in 0..=walk.graph().node.len() {
        match walk.producer(name) {
            Some(node) if node.op_type == "Identity" => name = node.input.first()?,
            _ => return walk.constant(name),
        }
    }
    None
}
