//! What becomes 8-bit: which nodes, and which values between them are written in 8 bits. Pure.
//!
//! A node is worth 8 bits where engines fuse it: convolutions and fully connected layers with constant weights, sums,
//! average pooling. Max-pooling and reshaping hand 8-bit values through, so their output has their input's scale.
//! Everything else stays fp32 between a DequantizeLinear and a QuantizeLinear.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::onnx::{GraphProto, NodeProto, Walk};

/// What a node does in the 8-bit graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerRole {
    /// Has weights; becomes integer arithmetic.
    Weighted,
    /// Adds or averages; becomes integer arithmetic.
    Combining,
    /// Moves values and leaves them as they are.
    Through,
}

/// A node that becomes 8-bit.
#[derive(Clone, Debug)]
pub struct PlannedLayer {
    /// The node's name, or its output's where it has none.
    pub name: String,
    /// What it does.
    pub kind: LayerRole,
    /// The value that it makes: behind the ReLU where one follows.
    pub output: String,
}

/// The plan for one graph.
#[derive(Debug, Default)]
pub struct QuantizationPlan {
    /// By index of the node in the graph.
    pub layers: HashMap<usize, PlannedLayer>,
    /// ReLUs that are left out, by index of the node: the 8-bit range of the layer before begins at zero and cuts as
    /// they do.
    pub relus: HashSet<usize>,
    /// Every value that is written in 8 bits, and the value whose scale it has (itself, mostly).
    scale_of: HashMap<String, String>,
}

impl QuantizationPlan {
    /// Plans for `graph`, which [`prepare`](super::prepare()) made.
    pub fn of(graph: &GraphProto) -> Self {
        let walk = Walk::new(graph);
        let mut plan = Self::default();
        let eight_bit = eight_bit_nodes(graph, &walk);
        for (index, node) in graph.node.iter().enumerate() {
            let Some(kind) = eight_bit.get(&index).copied() else { continue };
            let source = node.input[0].clone();
            if kind == LayerRole::Through && !plan.scale_of.contains_key(&source) {
                continue; // Nothing 8-bit comes in: a transposed or reshaped network input, say.
            }
            let inputs = if kind == LayerRole::Combining { &node.input[..] } else { &node.input[..1] };
            for input in inputs {
                plan.scale_of.entry(input.clone()).or_insert_with(|| input.clone());
            }
            let relu = relu_after(graph, &walk, node).filter(|_| kind != LayerRole::Through);
            let mut output = relu.as_ref().map_or(&node.output[0], |(_, output)| output).clone();
            let is_head = !wanted(graph, &walk, &eight_bit, &output);
            if is_head {
                // Without an 8-bit range after it, a ReLU has to stay.
                output.clone_from(&node.output[0]);
            } else {
                plan.relus.extend(relu.map(|(index, _)| index));
                let keeps_scale = kind == LayerRole::Through || is_identity_convolution(&walk, node);
                let scale = if keeps_scale { plan.scale_of[&source].clone() } else { output.clone() };
                plan.scale_of.insert(output.clone(), scale);
            }
            if kind == LayerRole::Through && is_head {
                continue;
            }
            let name = if node.name.is_empty() { output.clone() } else { node.name.clone() };
            plan.layers.insert(index, PlannedLayer { name, kind, output });
        }
        plan
    }

    /// The value whose scale `value` is written with; `None` for one that stays fp32.
    pub fn scale_of(&self, value: &str) -> Option<&str> {
        self.scale_of.get(value).map(String::as_str)
    }

    /// The values whose ranges must be known, sorted.
    pub fn observed(&self) -> BTreeSet<&str> {
        self.scale_of.values().map(String::as_str).collect()
    }

    /// The layers with weights, in the order of the graph.
    pub fn weighted(&self) -> Vec<(usize, &PlannedLayer)> {
        let mut layers: Vec<_> = self
            .layers
            .iter()
            .filter(|(_, l)| l.kind == LayerRole::Weighted)
            .map(|(&index, layer)| (index, layer))
            .collect();
        layers.sort_by_key(|&(index, _)| index);
        layers
    }
}

/// The nodes that can and should be 8-bit. A layer that is read only as the graph's output gives the answer, for which
/// 256 steps are too coarse: a fully connected layer then adds in 32 bits and writes fp32, and any other layer stays
/// fp32 as a whole.
fn eight_bit_nodes(graph: &GraphProto, walk: &Walk<'_>) -> HashMap<usize, LayerRole> {
    let mut nodes = HashMap::new();
    for (index, node) in graph.node.iter().enumerate().rev() {
        let Some(kind) = kind_of(walk, node) else { continue };
        let output = relu_after(graph, walk, node).map_or_else(|| node.output[0].clone(), |(_, output)| output);
        if kind == LayerRole::Through || node.op_type == "Gemm" || wanted(graph, walk, &nodes, &output) {
            nodes.insert(index, kind);
        }
    }
    nodes
}

/// Whether a node of `eight_bit` reads `value`, directly or through nodes that hand it on.
fn wanted(graph: &GraphProto, walk: &Walk<'_>, eight_bit: &HashMap<usize, LayerRole>, value: &str) -> bool {
    walk.consumers(value).any(|reader| {
        let index = graph.node.iter().position(|node| std::ptr::eq(node, reader));
        match index.and_then(|index| eight_bit.get(&index)) {
            Some(LayerRole::Through) => wanted(graph, walk, eight_bit, &reader.output[0]),
            Some(_) => true,
            None => false,
        }
    })
}

fn kind_of(walk: &Walk<'_>, node: &NodeProto) -> Option<LayerRole> {
    let constant = |place: usize| node.input.get(place).is_some_and(|name| walk.constant(name).is_some());
    let constant_or_absent = |place: usize| constant(place) || node.input.get(place).is_none_or(String::is_empty);
    if node.output.iter().filter(|output| !output.is_empty()).count() != 1 || constant(0) || !node.domain.is_empty() {
        return None;
    }
    match node.op_type.as_str() {
        "Conv" => (constant(1) && constant_or_absent(2)).then_some(LayerRole::Weighted),
        "Gemm" => {
            let plain = |name: &str| node.float(name).is_none_or(|factor| factor == 1.0);
            let by_output = node.int("transB") == Some(1) && node.int("transA").unwrap_or(0) == 0;
            let bias_fits = || {
                let Some(bias) = node.input.get(2).filter(|name| !name.is_empty()) else { return true };
                let outputs = walk.constant(&node.input[1]).and_then(|weight| weight.dims.first());
                walk.constant(bias).is_some_and(|bias| bias.dims.len() == 1 && bias.dims.first() == outputs)
            };
            (constant(1) && plain("alpha") && plain("beta") && by_output && bias_fits()).then_some(LayerRole::Weighted)
        }
        "Add" => (node.input.len() == 2 && !constant(1)).then_some(LayerRole::Combining),
        "GlobalAveragePool" | "AveragePool" => Some(LayerRole::Combining),
        "MaxPool" | "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Transpose" => Some(LayerRole::Through),
        _ => None,
    }
}

/// The ReLU that is the only reader of what `node` makes, and the name of its output.
fn relu_after(graph: &GraphProto, walk: &Walk<'_>, node: &NodeProto) -> Option<(usize, String)> {
    let output = node.output.first()?;
    if walk.is_output(output) || walk.consumers(output).len() != 1 {
        return None;
    }
    let relu = walk.consumers(output).next().filter(|reader| reader.op_type == "Relu")?;
    let index = graph.node.iter().position(|node| std::ptr::eq(node, relu))?;
    Some((index, relu.output.first()?.clone()))
}

/// Whether a convolution only copies channels and adds channels of zeros, so that its output has the values of its
/// input.
fn is_identity_convolution(walk: &Walk<'_>, node: &NodeProto) -> bool {
    node.op_type == "Conv"
        && node.input.len() == 2
        && walk
            .constant(&node.input[1])
            .is_some_and(|kernel| kernel.name.ends_with(".identity") && kernel.dims[2..] == [1, 1])
}
