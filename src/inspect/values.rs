//! Shapes of the values of a graph, for one image, and which values no image flows into.
//!
//! Inference of its own, for the operators of image classifiers: what the file says about shapes in between is often
//! missing, and a free batch or size is filled in here. What cannot be inferred has no shape.

use std::collections::{HashMap, HashSet};

use super::{
    numbers::Numbers,
    operators::{Slots, is_activation, is_norm},
    shape::{Shape, broadcast, index, indices, product, reshape},
    window::Window,
};
use crate::onnx::{NodeProto, TypeProto, Walk, tensor_shape_proto::dimension, type_proto};

/// No classifier has a value with so many dimensions. Each node goes through the shapes of its inputs: a file with a million
/// dimensions and a thousand nodes would be work without an end.
const MAX_RANK: usize = 64;

/// What is known of the values of a graph.
pub(super) struct Values<'a> {
    shapes: HashMap<&'a str, Shape>,
    numbers: HashMap<&'a str, Numbers>,
    inert: HashSet<&'a str>,
}

impl<'a> Values<'a> {
    /// Infers along `order`, starting from the shape of each of `inputs`.
    pub(super) fn infer(walk: &'a Walk<'a>, order: &[usize], inputs: HashMap<&'a str, Shape>) -> Self {
        let graph = walk.graph();
        let mut values = Self { shapes: HashMap::new(), numbers: HashMap::new(), inert: HashSet::new() };
        inputs.into_iter().for_each(|(input, shape)| values.note_shape(input, shape));
        for tensor in &graph.initializer {
            values.inert.insert(&tensor.name);
            if let Some(shape) = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect() {
                values.note_shape(&tensor.name, shape);
            }
            if let Some(numbers) = Numbers::of(tensor) {
                values.numbers.insert(&tensor.name, numbers);
            }
        }
        let declared: HashMap<&str, Shape> = graph
            .value_info
            .iter()
            .filter_map(|info| {
                Some((info.name.as_str(), dims(info.r#type.as_ref())?.into_iter().collect::<Option<_>>()?))
            })
            .collect();
        for node in order.iter().map(|&index| &graph.node[index]) {
            values.note_inert(node);
            let Some(output) = node.output.first().filter(|output| !output.is_empty()) else { continue };
            let shape = values.output_shape(node).or_else(|| declared.get(output.as_str()).cloned());
            if let Some(shape) = shape {
                values.note_shape(output, shape);
            }
            if let Some(numbers) = values.computed(node) {
                values.numbers.insert(output, numbers);
            }
        }
        values
    }

    fn note_shape(&mut self, value: &'a str, shape: Shape) {
        if shape.len() <= MAX_RANK {
            self.shapes.insert(value, shape);
        }
    }

    /// The shape of a value.
    pub(super) fn shape(&self, value: &str) -> Option<&[usize]> {
        self.shapes.get(value).map(Vec::as_slice)
    }

    /// Whether no image flows into the value: weights and what is computed from them, sizes, quantisation scales.
    pub(super) fn is_inert(&self, value: &str) -> bool {
        value.is_empty() || self.inert.contains(value)
    }

    /// The numbers of a small integer constant, or of what the graph computes from such.
    fn ints(&self, value: &str) -> Option<Vec<i64>> {
        self.numbers.get(value).map(|numbers| numbers.data.clone())
    }

    /// An integer list that was an attribute and became the input at `position`.
    pub(super) fn list(&self, node: &NodeProto, attribute: &str, position: usize) -> Option<Vec<i64>> {
        node.ints(attribute).map(<[i64]>::to_vec).or_else(|| self.ints(node.input.get(position)?))
    }

    fn computed(&self, node: &NodeProto) -> Option<Numbers> {
        if node.op_type == "Shape" {
            let shape = self.shape(node.input.first()?)?;
            let sizes: Option<Vec<i64>> = shape.iter().map(|&dim| i64::try_from(dim).ok()).collect();
            // From opset 15 on it can give a part; exporters do not use that.
            return sizes.map(Numbers::list).filter(|_| node.attr("start").is_none() && node.attr("end").is_none());
        }
        Numbers::compute(node, |position| self.numbers.get(node.input.get(position)?.as_str()))
    }

    fn note_inert(&mut self, node: &'a NodeProto) {
        let inert = match node.op_type.as_str() {
            "Shape" | "Size" => true,
            "DynamicQuantizeLinear" => {
                for scalar in node.output.iter().skip(1) {
                    self.inert.insert(scalar);
                    self.shapes.insert(scalar, vec![]);
                }
                false
            }
            _ => false,
        };
        if inert || node.input.iter().all(|input| self.is_inert(input)) {
            self.inert.extend(node.output.iter().map(String::as_str));
        }
    }

    fn output_shape(&self, node: &NodeProto) -> Option<Shape> {
        let input = |position: usize| node.input.get(position).and_then(|name| self.shape(name));
        let slots = Slots::of(node);
        match node.op_type.as_str() {
            "Constant" => {
                let tensor = node.tensor("value")?;
                tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect()
            }
            "ConstantOfShape" => {
                self.ints(node.input.first()?)?.into_iter().map(|dim| usize::try_from(dim).ok()).collect()
            }
            "Conv" | "FusedConv" | "ConvInteger" | "QLinearConv" => {
                let (x, weight) = (input(slots.x)?, input(slots.weight?)?);
                let size = Window::of(node, Some(weight), Some(x))?.output(spatial(x)?)?;
                Some(vec![x[0], *weight.first()?, size[0], size[1]])
            }
            "MaxPool" | "AveragePool" | "LpPool" | "QLinearAveragePool" => {
                let x = input(0)?;
                let size = Window::of(node, None, Some(x))?.output(spatial(x)?)?;
                Some(vec![x[0], x[1], size[0], size[1]])
            }
            "GlobalAveragePool" | "GlobalMaxPool" | "QLinearGlobalAveragePool" => {
                let mut shape = input(0)?.to_vec();
                let channels_last = node.int("channels_last") == Some(1);
                let last = shape.len().checked_sub(1)?;
                let skip = if channels_last { (1, last) } else { (2, shape.len()) };
                shape.get_mut(skip.0..skip.1)?.fill(1);
                Some(shape)
            }
            "Gemm" | "QGemm" => {
                let (a, b) = (input(slots.x)?, input(slots.weight?)?);
                let at = |shape: &[usize], position: usize, transposed: &str| {
                    let position = if node.int(transposed) == Some(1) { 1 - position } else { position };
                    shape.get(position).copied()
                };
                Some(vec![at(a, 0, "transA")?, at(b, 1, "transB")?])
            }
            "MatMul" | "MatMulInteger" | "QLinearMatMul" => {
                let mut shape = input(slots.x)?.to_vec();
                *shape.last_mut()? = *input(slots.weight?)?.last()?;
                Some(shape)
            }
            "Add" | "Sub" | "Mul" | "Div" | "Sum" | "Max" | "Min" | "Pow" | "PRelu" => {
                (0..node.input.len()).try_fold(vec![], |shape, position| broadcast(&shape, input(position)?))
            }
            "QLinearAdd" | "QLinearMul" => broadcast(input(0)?, input(3)?),
            "Concat" => {
                let mut shape = input(0)?.to_vec();
                let axis = index(node.int("axis").unwrap_or(1), shape.len())?;
                shape[axis] = (0..node.input.len())
                    .try_fold(0_usize, |sum, position| sum.checked_add(*input(position)?.get(axis)?))?;
                Some(shape)
            }
            "Transpose" => {
                let x = input(0)?;
                match node.ints("perm") {
                    None => Some(x.iter().rev().copied().collect()),
                    Some(perm) => perm.iter().map(|&axis| x.get(index(axis, x.len())?).copied()).collect(),
                }
            }
            "Flatten" => {
                let x = input(0)?;
                let axis = index(node.int("axis").unwrap_or(1), x.len() + 1)?;
                Some(vec![product(&x[..axis])?, product(&x[axis..])?])
            }
            "Reshape" => reshape(input(0)?, &self.list(node, "shape", 1)?),
            "Squeeze" => {
                let x = input(0)?;
                let axes = self.list(node, "axes", 1).map(|axes| indices(&axes, x.len()));
                let dropped = |axis: usize| axes.as_ref().map_or(x[axis] == 1, |axes| axes.contains(&axis));
                Some((0..x.len()).filter(|&axis| !dropped(axis)).map(|axis| x[axis]).collect())
            }
            "Unsqueeze" => {
                let mut shape = input(0)?.to_vec();
                let axes = self.list(node, "axes", 1).filter(|axes| axes.len() <= MAX_RANK)?;
                let mut axes = indices(&axes, shape.len() + axes.len());
                axes.sort_unstable();
                for axis in axes {
                    shape.insert(axis.min(shape.len()), 1);
                }
                Some(shape)
            }
            "ReduceMean" | "ReduceSum" | "ReduceMax" => {
                let x = input(0)?;
                let axes =
                    self.list(node, "axes", 1).map_or_else(|| (0..x.len()).collect(), |axes| indices(&axes, x.len()));
                let keep = node.int("keepdims") != Some(0);
                Some(
                    (0..x.len())
                        .filter(|axis| keep || !axes.contains(axis))
                        .map(|axis| if axes.contains(&axis) { 1 } else { x[axis] })
                        .collect(),
                )
            }
            "Pad" => {
                let x = input(0)?;
                let pads = self.list(node, "pads", 1).filter(|pads| pads.len() == 2 * x.len())?;
                let grown = |axis: usize| {
                    let size =
                        i64::try_from(x[axis]).ok()?.checked_add(pads[axis])?.checked_add(pads[axis + x.len()])?;
                    usize::try_from(size).ok()
                };
                (0..x.len()).map(grown).collect()
            }
            "Slice" => self.slice(node, input(0)?),
            op if keeps_shape(op) => input(0).map(<[usize]>::to_vec),
            _ => None,
        }
    }

    fn slice(&self, node: &NodeProto, x: &[usize]) -> Option<Shape> {
        let starts = self.list(node, "starts", 1)?;
        let ends = self.list(node, "ends", 2)?;
        let axes = self.list(node, "axes", 3).unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = self.list(node, "steps", 4).unwrap_or_else(|| vec![1; starts.len()]);
        let mut shape = x.to_vec();
        for (((start, end), axis), step) in starts.into_iter().zip(ends).zip(axes).zip(steps) {
            let axis = index(axis, x.len())?;
            let size = i64::try_from(x[axis]).ok()?;
            if step < 1 {
                return (step == -1).then_some(shape); // a reversal keeps the size
            }
            let clamp = |at: i64| if at < 0 { at.saturating_add(size).max(0) } else { at.min(size) };
            let span = (clamp(end) - clamp(start)).max(0);
            shape[axis] = usize::try_from(span.saturating_add(step - 1) / step).ok()?;
        }
        Some(shape)
    }
}

/// The dimensions that a type says, `None` where one is free; `None` altogether for what is no tensor or has no shape.
pub(super) fn dims(value: Option<&TypeProto>) -> Option<Vec<Option<usize>>> {
    let Some(type_proto::Value::TensorType(tensor)) = &value?.value else { return None };
    let known = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(dim)) => usize::try_from(*dim).ok().filter(|&dim| dim > 0),
        _ => None,
    };
    Some(tensor.shape.as_ref()?.dim.iter().map(|dim| known(&dim.value)).collect())
}

fn spatial(x: &[usize]) -> Option<[usize; 2]> {
    match x {
        &[_, _, height, width] => Some([height, width]),
        _ => None,
    }
}

fn keeps_shape(op: &str) -> bool {
    is_activation(op)
        || is_norm(op)
        || matches!(
            op,
            "Identity"
                | "Cast"
                | "CastLike"
                | "Dropout"
                | "QuantizeLinear"
                | "DequantizeLinear"
                | "DynamicQuantizeLinear"
                | "Softmax"
                | "LogSoftmax"
                | "QLinearSoftmax"
                | "LRN"
        )
}
