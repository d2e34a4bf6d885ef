//! From a network in fp32 to the same network in fp16, for engines that compute in the types of the graph.
//!
//! Every float tensor inside becomes FLOAT16; what goes in and comes out keeps its type, by a Cast at each end, so that
//! nobody outside notices. Whatever may not survive the conversion is refused by name: an operator whose types are not
//! known here, a weight beyond the range of fp16, an int8 network.
//!
//! `operators` says which nodes may be converted, `weights` rounds numbers; this file rewires the graph.

mod error;
mod operators;
mod weights;

use std::collections::{BTreeMap, HashSet};

use super::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, names::Names, type_proto,
    upgrade,
};

pub use error::Fp16Error;

/// Converts a network. One that is in fp16 already comes back as it is; an old one is lifted to newer operators first.
///
/// Batch normalisations with constant parameters are restated with mean 0 and variance 1: a variance may be outside
/// fp16's range although the scale divided by its root is inside.
///
/// # Errors
/// [`Fp16Error`] names what cannot be converted.
pub fn to_fp16(mut model: ModelProto) -> Result<ModelProto, Fp16Error> {
    operators::check_file(&model)?;
    let Some(graph) = model.graph.as_mut() else { return Ok(model) };
    operators::refuse_quantized(graph)?;
    if is_fp16(graph) {
        return Ok(model);
    }
    let mut model = upgrade(model)?;
    let Some(graph) = model.graph.as_mut() else { return Ok(model) };
    operators::check(graph)?;
    constants_only(graph);
    // Since version 4, a constant need not be listed among the inputs, and those made here are not.
    model.ir_version = model.ir_version.max(4);
    let mut names = Names::of(graph);
    keep_resize_scales(graph, &mut names);
    weights::restate_batch_norms(graph, &mut names)?;
    drop_unused(graph);
    weights::round(graph)?;
    retype_nodes(graph)?;
    cast_inputs(graph, &mut names);
    cast_outputs(graph, &mut names)?;
    graph.value_info.iter_mut().filter(|value| elem_type(value) == Some(DataType::Float)).for_each(to_half);
    Ok(model)
}

/// Whether there are 16-bit weights and none of 32 bits: then there is nothing to do.
fn is_fp16(graph: &GraphProto) -> bool {
    let in_nodes = graph.node.iter().filter(|node| node.op_type == "Constant").filter_map(|node| node.tensor("value"));
    let has = |data_type: DataType| move |tensor: &TensorProto| tensor.data_type == i32::from(data_type);
    let any = |data_type| graph.initializer.iter().chain(in_nodes.clone()).any(has(data_type));
    any(DataType::Float16) && !any(DataType::Float)
}

/// Takes weights out of the inputs, where files before IR version 4 list them too: they are not given from outside.
fn constants_only(graph: &mut GraphProto) {
    let weights: HashSet<&str> = graph.initializer.iter().map(|tensor| tensor.name.as_str()).collect();
    graph.input.retain(|input| !weights.contains(input.name.as_str()));
}

/// `scales` of Resize stays fp32: it gets a tensor of its own, which `weights::round` passes over.
fn keep_resize_scales(graph: &mut GraphProto, names: &mut Names) {
    for node in &mut graph.node {
        let Some(scales) = operators::resize_scales(node) else { continue };
        let Some(tensor) = graph.initializer.iter().find(|tensor| tensor.name == *scales) else { continue };
        let tensor = TensorProto { name: names.fresh(scales, "fp32"), ..tensor.clone() };
        let place = operators::scales_place(node);
        node.input[place].clone_from(&tensor.name);
        graph.initializer.push(tensor);
    }
}

fn drop_unused(graph: &mut GraphProto) {
    let read = graph.node.iter().flat_map(|node| &node.input);
    let used: HashSet<&str> =
        read.map(String::as_str).chain(graph.output.iter().map(|output| output.name.as_str())).collect();
    graph.initializer.retain(|tensor| used.contains(tensor.name.as_str()));
}

/// Types that nodes carry in attributes.
fn retype_nodes(graph: &mut GraphProto) -> Result<(), Fp16Error> {
    for node in &mut graph.node {
        match node.op_type.as_str() {
            // Without `value` it makes fp32 zeros.
            "ConstantOfShape" if node.tensor("value").is_none() => {
                node.attribute.push(AttributeProto::of_tensor("value", super::half_tensor("", &[1], &[0.0])));
            }
            "ConstantOfShape" => weights::round_attribute(node, "value")?,
            "Cast" if node.int("to") == Some(DataType::Float as i64) => {
                node.attribute.retain(|attribute| attribute.name != "to");
                node.attribute.push(AttributeProto::of_int("to", DataType::Float16 as i64));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads the fp32 inputs through a Cast.
fn cast_inputs(graph: &mut GraphProto, names: &mut Names) {
    let outputs: HashSet<&str> = graph.output.iter().map(|output| output.name.as_str()).collect();
    let inputs = graph.input.iter().filter(|input| elem_type(input) == Some(DataType::Float));
    let renamed: BTreeMap<String, String> = inputs
        .filter(|input| !outputs.contains(input.name.as_str()))
        .map(|input| (input.name.clone(), names.fresh(&input.name, "fp16")))
        .collect();
    for name in graph.node.iter_mut().flat_map(|node| &mut node.input) {
        if let Some(cast) = renamed.get(name) {
            name.clone_from(cast);
        }
    }
    let casts = renamed.iter().map(|(from, to)| cast(from, to, DataType::Float16));
    graph.node.splice(0..0, casts.collect::<Vec<_>>());
}

/// Writes the fp32 outputs through a Cast.
fn cast_outputs(graph: &mut GraphProto, names: &mut Names) -> Result<(), Fp16Error> {
    let inputs: HashSet<&str> = graph.input.iter().map(|input| input.name.as_str()).collect();
    let mut renamed = BTreeMap::new();
    for output in graph.output.iter().filter(|output| !inputs.contains(output.name.as_str())) {
        match elem_type(output) {
            Some(DataType::Float) => {
                renamed.insert(output.name.clone(), names.fresh(&output.name, "fp16"));
            }
            Some(_) => {}
            None => return Err(Fp16Error::Untyped { output: output.name.clone() }),
        }
    }
    let values = graph.node.iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output));
    for name in values.chain(graph.initializer.iter_mut().map(|tensor| &mut tensor.name)) {
        if let Some(inner) = renamed.get(name) {
            name.clone_from(inner);
        }
    }
    graph.node.extend(renamed.iter().map(|(to, from)| cast(from, to, DataType::Float)));
    Ok(())
}

fn cast(from: &str, to: &str, data_type: DataType) -> NodeProto {
    NodeProto {
        op_type: "Cast".into(),
        name: format!("{to}.cast"),
        input: vec![from.to_owned()],
        output: vec![to.to_owned()],
        attribute: vec![AttributeProto::of_int("to", data_type as i64)],
        ..NodeProto::default()
    }
}

/// The declared type of the elements, where the value is declared a tensor.
fn elem_type(value: &ValueInfoProto) -> Option<DataType> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => {
            DataType::try_from(tensor.elem_type).ok().filter(|&data_type| data_type != DataType::Undefined)
        }
        _ => None,
    }
}

fn to_half(value: &mut ValueInfoProto) {
    if let Some(type_proto::Value::TensorType(tensor)) = value.r#type.as_mut().and_then(|kind| kind.value.as_mut()) {
        tensor.elem_type = DataType::Float16.into();
    }
}
