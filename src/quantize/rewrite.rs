//! The 8-bit graph: QuantizeLinear and DequantizeLinear around what the plan names (ONNX's "QDQ" form), integer weights.
//!
//! ```text
//! x_dequantized ─▶ Conv ─▶ y ─▶ QuantizeLinear ─▶ DequantizeLinear ─▶ y_dequantized
//! weight i8 ─▶ DequantizeLinear ─▲   (bias i32 likewise)
//! ```
//! Any engine computes this in fp32 as it stands, and those that know the pattern turn `DequantizeLinear → Conv →
//! QuantizeLinear` into one integer convolution. A ReLU is left out where the range after it begins at zero.

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;

use super::{
    plan::{LayerRole, PlannedLayer, QuantizationPlan},
    scales::{ActivationScale, quantize_weights},
};
use crate::onnx::{
    AttributeProto, DataType, GraphProto, ModelProto, NodeProto, StringStringEntryProto, TensorError, TensorProto,
    Walk, f32_values, float_tensor,
};

/// Everything that decides what the 8-bit graph is, besides the fp32 one.
#[derive(Clone, Debug)]
pub struct RewriteRecipe<'a> {
    /// By observed value.
    pub scales: &'a HashMap<String, ActivationScale>,
    /// Of a weight: 7 or 8.
    pub weight_bits: u32,
    /// Layers, by name, whose arithmetic stays fp32.
    pub keep_fp32: &'a BTreeSet<String>,
}

/// Writes the 8-bit graph of `model`; its metadata gets `precision = int8` and `metadata`.
///
/// # Errors
/// [`TensorError`] for weights that cannot be read.
pub fn rewrite(
    model: &ModelProto,
    plan: &QuantizationPlan,
    recipe: &RewriteRecipe<'_>,
    metadata: &[(&str, String)],
) -> Result<ModelProto, TensorError> {
    let source = model.graph.as_ref().map_or_else(GraphProto::default, Clone::clone);
    let walk = Walk::new(&source);
    let mut writer = Writer { walk: &walk, plan, recipe, graph: shell(&source) };
    writer.scales();
    for input in walk.inputs() {
        writer.quantize(&input.name);
    }
    for (index, node) in source.node.iter().enumerate() {
        writer.node(index, node)?;
    }
    let mut graph = writer.graph;
    let read: BTreeSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    let kept =
        source.initializer.iter().filter(|tensor| read.contains(tensor.name.as_str())).cloned().collect::<Vec<_>>();
    graph.initializer.extend(kept);

    let mut metadata_props = model.metadata_props.clone();
    for (key, value) in [("precision", "int8".to_owned())].into_iter().chain(metadata.iter().cloned()) {
        metadata_props.retain(|entry| entry.key != key);
        metadata_props.push(StringStringEntryProto { key: key.into(), value });
    }
    Ok(ModelProto {
        producer_name: env!("CARGO_PKG_NAME").into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        metadata_props,
        graph: Some(graph),
        ..model.clone()
    })
}

/// What a value is called after it went through 8 bits; the comparison of layers looks for it by this name.
pub(super) fn dequantized(graph: &GraphProto, value: &str) -> String {
    let is_output = graph.output.iter().any(|output| output.name == value);
    if is_output { value.to_owned() } else { format!("{value}_dequantized") }
}

/// The graph without nodes and weights.
fn shell(source: &GraphProto) -> GraphProto {
    GraphProto { node: Vec::new(), initializer: Vec::new(), ..source.clone() }
}

struct Writer<'a> {
    walk: &'a Walk<'a>,
    plan: &'a QuantizationPlan,
    recipe: &'a RewriteRecipe<'a>,
    graph: GraphProto,
}

impl Writer<'_> {
    fn scales(&mut self) {
        for value in self.plan.observed() {
            let ActivationScale { scale, zero_point } = self.recipe.scales[value];
            self.graph.initializer.push(float_tensor(format!("{value}_scale"), &[], &[scale]));
            self.graph.initializer.push(bytes_tensor(
                format!("{value}_zero_point"),
                &[],
                DataType::Uint8,
                vec![zero_point],
            ));
        }
    }

    /// After `value` was made: writes it in 8 bits and reads it back, if the plan says so.
    fn quantize(&mut self, value: &str) {
        let Some(scale_of) = self.plan.scale_of(value) else { return };
        let parameters = [format!("{scale_of}_scale"), format!("{scale_of}_zero_point")];
        let [scale, zero_point] = [&parameters[0], &parameters[1]].map(String::as_str);
        let made = self.made(value);
        let quantized = format!("{value}_quantized");
        let back = dequantized(self.walk.graph(), value);
        self.push("QuantizeLinear", &[&made, scale, zero_point], &quantized, Vec::new());
        self.push("DequantizeLinear", &[&quantized, scale, zero_point], &back, Vec::new());
    }

    /// The name that the node that makes `value` writes to. For an output of the graph it is another one, because the
    /// output's name goes to the value after 8 bits.
    fn made(&self, value: &str) -> String {
        let taken = self.plan.scale_of(value).is_some() && self.walk.is_output(value);
        if taken { format!("{value}_fp32") } else { value.to_owned() }
    }

    /// What a node that reads `value` reads instead.
    fn read(&self, value: &str) -> String {
        match self.plan.scale_of(value) {
            Some(_) => dequantized(self.walk.graph(), value),
            None => value.to_owned(),
        }
    }

    fn node(&mut self, index: usize, node: &NodeProto) -> Result<(), TensorError> {
        if self.plan.relus.contains(&index) {
            return Ok(());
        }
        let mut new = node.clone();
        new.input = node.input.iter().map(|value| self.read(value)).collect();
        let Some(layer) = self.plan.layers.get(&index) else {
            new.output = node.output.iter().map(|value| self.made(value)).collect();
            self.graph.node.push(new);
            node.output.iter().for_each(|value| self.quantize(value));
            return Ok(());
        };
        if layer.kind == LayerRole::Weighted && !self.recipe.keep_fp32.contains(&layer.name) {
            self.weights(layer, node, &mut new)?;
        }
        new.output = vec![self.made(&layer.output)];
        self.graph.node.push(new);
        self.quantize(&layer.output);
        Ok(())
    }

    /// Integer weights and bias for `layer`, each behind a DequantizeLinear.
    fn weights(&mut self, layer: &PlannedLayer, node: &NodeProto, new: &mut NodeProto) -> Result<(), TensorError> {
        let Some(weight) = self.walk.constant(&node.input[1]) else { return Ok(()) };
        let bias = node.input.get(2).and_then(|name| self.walk.constant(name));
        let bias = bias.map(f32_values).transpose()?;
        let outputs = weight.dims.first().map_or(1, |&dim| dim.max(1) as usize);
        let shape: Vec<usize> = weight.dims.iter().map(|&dim| dim as usize).collect();
        let Some(input) = self.plan.scale_of(&node.input[0]).map(|value| self.recipe.scales[value]) else {
            return Ok(());
        };
        let weights = f32_values(weight)?;
        let quantized =
            quantize_weights(&weights, bias.as_deref().unwrap_or_default(), outputs, self.recipe.weight_bits, input);

        let values = quantized.values.iter().map(|&value| value as u8).collect();
        let bytes = bytes_tensor(format!("{}.weight_quantized", layer.output), &shape, DataType::Int8, values);
        new.input[1] = self.dequantize(&format!("{}.weight", layer.output), bytes, &quantized.scales);
        if bias.is_some() {
            let values = quantized.bias.iter().flat_map(|value| value.to_le_bytes()).collect();
            let bytes = bytes_tensor(format!("{}.bias_quantized", layer.output), &[outputs], DataType::Int32, values);
            let scales: Vec<f32> = quantized.scales.iter().map(|scale| scale * input.scale).collect();
            new.input[2] = self.dequantize(&format!("{}.bias", layer.output), bytes, &scales);
        }
        Ok(())
    }

    /// `DequantizeLinear` of a constant, one scale for each place of its first axis.
    fn dequantize(&mut self, name: &str, quantized: TensorProto, scales: &[f32]) -> String {
        let (data_type, size) = if quantized.data_type == i32::from(DataType::Int32) {
            (DataType::Int32, size_of::<i32>())
        } else {
            (DataType::Int8, size_of::<i8>())
        };
        let zeros = vec![0; scales.len() * size];
        let zero_point = bytes_tensor(format!("{name}_zero_point"), &[scales.len()], data_type, zeros);
        let scale = float_tensor(format!("{name}_scale"), &[scales.len()], scales);
        let inputs = [quantized.name.clone(), scale.name.clone(), zero_point.name.clone()];
        self.graph.initializer.extend([quantized, scale, zero_point]);
        let back = format!("{name}_dequantized");
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        self.push("DequantizeLinear", &inputs, &back, vec![AttributeProto::of_int("axis", 0)]);
        back
    }

    fn push(&mut self, op_type: &str, inputs: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.graph.node.push(NodeProto {
            op_type: op_type.into(),
            name: format!("{output}.{op_type}"),
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
    }
}

fn bytes_tensor(name: String, shape: &[usize], data_type: DataType, raw: Vec<u8>) -> TensorProto {
    TensorProto {
        name,
        dims: shape.iter().map(|&dim| dim as i64).collect(),
        data_type: data_type.into(),
        raw_data: Bytes::from(raw),
        ..TensorProto::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::RESNET20_CIFAR10,
        onnx::{decode, i64_values},
        quantize::prepare,
    };

    fn built_in(keep: &[&str], weight_bits: u32) -> (QuantizationPlan, ModelProto) {
        let model = prepare(decode(RESNET20_CIFAR10.graph.into()).unwrap()).unwrap();
        let plan = QuantizationPlan::of(model.graph.as_ref().unwrap());
        let scale = ActivationScale { scale: 0.25, zero_point: 0 };
        let scales = plan.observed().into_iter().map(|value| (value.to_owned(), scale)).collect();
        let keep_fp32 = keep.iter().map(|&name| name.to_owned()).collect();
        let recipe = RewriteRecipe { scales: &scales, weight_bits, keep_fp32: &keep_fp32 };
        let rewritten = rewrite(&model, &plan, &recipe, &[("source_version", "1".into())]).unwrap();
        (plan, rewritten)
    }

    /// Checks that engines can fuse a node: everything it reads comes from 8 bits, and what it makes goes to 8 bits.
    fn is_fusible(walk: &Walk<'_>, node: &NodeProto) -> bool {
        let is = |node: Option<&NodeProto>, op: &str| node.is_some_and(|node| node.op_type == op);
        node.input.iter().all(|input| is(walk.producer(input), "DequantizeLinear"))
            && node.output.iter().all(|output| {
                walk.is_output(output) || walk.consumers(output).all(|reader| reader.op_type == "QuantizeLinear")
            })
    }

    #[test]
    fn every_layer_of_the_built_in_model_can_be_fused_and_no_relu_is_left() {
        let (_, model) = built_in(&[], 8);
        let graph = model.graph.as_ref().unwrap();
        let walk = Walk::new(graph);
        let count = |op: &str| graph.node.iter().filter(|node| node.op_type == op).count();
        // 19 convolutions, and two shortcuts that change the number of channels.
        assert_eq!([count("Conv"), count("Add"), count("GlobalAveragePool"), count("Gemm")], [21, 9, 1, 1]);
        assert_eq!([count("Relu"), count("Pad"), count("MaxPool")], [0, 0, 0]);
        for node in graph
            .node
            .iter()
            .filter(|node| !node.op_type.ends_with("QuantizeLinear") && node.op_type != "DequantizeLinear")
        {
            assert!(is_fusible(&walk, node), "{} {}", node.op_type, node.name);
        }
        assert_eq!(
            (model.metadata("precision"), model.metadata("architecture")),
            (Some("int8"), Some("resnet20-cifar"))
        );
    }

    #[test]
    fn the_scale_of_a_bias_is_that_of_its_products() {
        let (_, model) = built_in(&[], 8);
        let graph = model.graph.as_ref().unwrap();
        let walk = Walk::new(graph);
        let scale = |value: &str| f32_values(walk.constant(&walk.producer(value).unwrap().input[1]).unwrap()).unwrap();
        for conv in graph.node.iter().filter(|node| node.op_type == "Conv" && node.input.len() == 3) {
            let [input, weights, bias] = [0, 1, 2].map(|place| scale(&conv.input[place]));
            let products: Vec<f32> = weights.iter().map(|weight| weight * input[0]).collect();
            assert_eq!(bias, products, "{}", conv.name);
        }
    }

    #[test]
    fn a_shortcut_has_the_scale_of_what_it_copies() {
        let (plan, model) = built_in(&[], 8);
        let graph = model.graph.as_ref().unwrap();
        let shortcuts: Vec<_> =
            graph.node.iter().filter(|node| node.op_type == "Conv" && node.input.len() == 2).collect();
        assert_eq!(shortcuts.len(), 2);
        for shortcut in shortcuts {
            let source = shortcut.input[0].trim_end_matches("_dequantized");
            assert_eq!(plan.scale_of(&shortcut.output[0]), Some(source));
        }
    }

    #[test]
    fn a_layer_that_stays_fp32_keeps_its_weights_and_the_others_do_not() {
        let (_, model) = built_in(&["layer1.0.conv1"], 7);
        let graph = model.graph.as_ref().unwrap();
        let walk = Walk::new(graph);
        for node in graph.node.iter().filter(|node| node.op_type == "Conv" || node.op_type == "Gemm") {
            let fp32 = walk.constant(&node.input[1]).is_some();
            assert_eq!(fp32, node.name == "layer1.0.conv1", "{}", node.name);
            if !fp32 {
                let quantized = walk.constant(&walk.producer(&node.input[1]).unwrap().input[0]).unwrap();
                assert!(i64_values(quantized).unwrap().iter().all(|value| value.abs() <= 64));
            }
        }
    }
}
