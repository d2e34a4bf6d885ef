//! Whether a network ends in a mean over the picture and one layer of weights, so that what it says of a class is a sum over the
//! places of the picture: its last feature map, its weights and its bias.
//!
//! Found by walking back from an output, node by node: everything that is not known to keep the sum a sum is a refusal. The walk
//! over layers (`features`) is more generous, since it only has to find a value.

use super::{
    operators::{Slots, is_transparent},
    values::Values,
};
use crate::{
    onnx::{NodeProto, Walk},
    tensor::Layout,
};

/// No network has so many operators behind its last feature map; a damaged file can have a circle.
const MOST_HOPS: usize = 64;

/// The mean over the picture and the layer of weights behind it.
#[derive(Clone, Debug, PartialEq)]
pub struct LastLayer {
    /// The value that is averaged, a map for each channel.
    pub map: String,
    /// Where its channels are.
    pub layout: Layout,
    /// The constant with the weights, one a channel and class.
    pub weight: String,
    /// Whether a row of the weights is a class; else it is a channel.
    pub by_class: bool,
    /// What the products are multiplied by.
    pub factor: f32,
    /// Constants that are added, one number a class or one for all, and what each is multiplied by.
    pub biases: Vec<(String, f32)>,
}

/// The last layer before `output`, if it reads nothing but means over the picture.
///
/// # Errors
/// What else the network does, as the end of a sentence.
pub(super) fn last_layer(walk: &Walk<'_>, values: &Values<'_>, output: &str) -> Result<LastLayer, String> {
    let mut biases = Vec::new();
    let (mut value, mut activation) = (output, None);
    for _ in 0..MOST_HOPS {
        let Some(node) = walk.producer(value) else { break };
        let op = node.op_type.as_str();
        match op {
            "Gemm" | "MatMul" | "Conv" => return weighted(walk, values, node, biases),
            "Add" => {
                let (data, constant) = data_and_constant(values, node).ok_or("its answer is a sum of two values")?;
                biases.push((constant.to_owned(), 1.0));
                value = data;
            }
            "Softmax" | "LogSoftmax" | "Sigmoid" if activation.replace(op).is_none() => value = first(node),
            _ if is_transparent(op) || op == "Transpose" => value = first(node),
            _ if node.is_integer_arithmetic() => {
                return Err("its last layer computes with integers of 8 bits (QOperator or dynamic form)".to_owned());
            }
            _ => return Err(format!("its answer is not what its last layer gives: a {op} follows")),
        }
    }
    Err("its graph has no layer of weights before its output".to_owned())
}

/// The layer that `node` is, if its weights are constants and it reads one number of each channel.
fn weighted(
    walk: &Walk<'_>,
    values: &Values<'_>,
    node: &NodeProto,
    mut biases: Vec<(String, f32)>,
) -> Result<LastLayer, String> {
    let input = |place: usize| node.input.get(place).map_or("", String::as_str);
    let slots = Slots::of(node);
    let weight = slots.weight.map(input).filter(|weight| values.is_inert(weight) && !values.is_inert(input(slots.x)));
    let weight = weight.ok_or("the weights of its last layer are no constants")?;
    let unclear = || Err("its last layer is of a form that is not known".to_owned());
    let number = |name: &str| node.float(name).unwrap_or(1.0);
    let (by_class, factor, of_bias) = match node.op_type.as_str() {
        "Gemm" if node.int("transA").unwrap_or(0) != 0 => return unclear(),
        "Gemm" => (node.int("transB") == Some(1), number("alpha"), number("beta")),
        "MatMul" => (false, 1.0, 1.0),
        _ => match values.shape(weight) {
            Some([_, _, 1, 1]) if node.int("group").unwrap_or(1) == 1 => (true, 1.0, 1.0),
            _ => return Err("its last layer is a convolution over several places".to_owned()),
        },
    };
    if let Some(bias) = slots.bias.map(input).filter(|bias| !bias.is_empty()) {
        biases.push((bias.to_owned(), of_bias));
    }
    let (map, layout) = pooled(walk, values, input(slots.x))?;
    Ok(LastLayer { map: map.to_owned(), layout, weight: weight.to_owned(), by_class, factor, biases })
}

/// What is averaged over the picture to give `value`.
fn pooled<'a>(walk: &Walk<'a>, values: &Values<'_>, mut value: &'a str) -> Result<(&'a str, Layout), String> {
    for _ in 0..MOST_HOPS {
        let Some(node) = walk.producer(value) else { break };
        let op = node.op_type.as_str();
        let layout = match op {
            "GlobalAveragePool" => Layout::Nchw,
            "AveragePool" if is_whole(values, node) => Layout::Nchw,
            "ReduceMean" => match values.list(node, "axes", 1).as_deref().map(spatial) {
                Some(Some(layout)) => layout,
                _ => return Err("the mean that its last layer reads is not one over the picture".to_owned()),
            },
            "GlobalMaxPool" | "ReduceMax" => {
                return Err(format!("its last layer reads largest values, not means (a {op})"));
            }
            _ if node.is_integer_arithmetic() => {
                return Err("what its last layer reads is computed in integers of 8 bits".to_owned());
            }
            _ if is_transparent(op) || op == "Transpose" => {
                value = first(node);
                continue;
            }
            _ => return Err(format!("its last layer reads a {op}, not a mean over the picture")),
        };
        return Ok((first(node), layout));
    }
    Err("nothing is pooled before its last layer".to_owned())
}

fn first(node: &NodeProto) -> &str {
    node.input.first().map_or("", String::as_str)
}

/// Which of two operands the picture flows into, and which is a constant.
fn data_and_constant<'n>(values: &Values<'_>, node: &'n NodeProto) -> Option<(&'n str, &'n str)> {
    let [a, b] = &node.input[..] else { return None };
    match (values.is_inert(a), values.is_inert(b)) {
        (false, true) => Some((a, b)),
        (true, false) => Some((b, a)),
        _ => None,
    }
}

/// Whether an average pool has one window, and that is the picture.
fn is_whole(values: &Values<'_>, node: &NodeProto) -> bool {
    let Some(&[_, _, height, width]) = values.shape(first(node)) else { return false };
    let is_padded = node.ints("pads").is_some_and(|pads| pads.iter().any(|&pad| pad != 0));
    let auto = node.string("auto_pad").is_some_and(|auto| !matches!(auto, "NOTSET" | "VALID"));
    node.ints("kernel_shape") == Some(&[height as i64, width as i64]) && !is_padded && !auto
}

/// Where the channels are, if the axes are those of the picture.
fn spatial(axes: &[i64]) -> Option<Layout> {
    let mut axes: Vec<_> = axes.iter().map(|&axis| if axis < 0 { axis + 4 } else { axis }).collect();
    axes.sort_unstable();
    match axes[..] {
        [2, 3] => Some(Layout::Nchw),
        [1, 2] => Some(Layout::Nhwc),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        inspect::inspect,
        onnx::{AttributeProto, DataType, GraphBuilder, float_tensor, value_info},
    };

    /// What is found in a network of these operators, one after the other, after a convolution and a Relu.
    fn found(operators: &[&str]) -> Result<LastLayer, String> {
        let mut graph = GraphBuilder::new("chain");
        let mut value = graph.input(value_info("x", DataType::Float, &[3, 8, 8]));
        for (place, op) in ["Conv", "Relu"].iter().chain(operators).enumerate() {
            let name = format!("{op}{place}");
            let mut inputs = vec![value.clone()];
            let dims: &[usize] = match *op {
                "Conv" => &[3, 3, 1, 1],
                "Gemm" | "MatMul" | "Add" => &[3, 3],
                _ => &[],
            };
            if !dims.is_empty() {
                inputs.push(graph.initializer(float_tensor(
                    format!("{name}.w"),
                    dims,
                    &vec![0.5; dims.iter().product()],
                )));
            }
            let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
            let attributes = match *op {
                "ReduceMean" => vec![AttributeProto::of_ints("axes", &[-1, -2])],
                "AveragePool" => vec![AttributeProto::of_ints("kernel_shape", &[8, 8])],
                "Gemm" => vec![AttributeProto::of_int("transB", 1), AttributeProto::of_float("alpha", 2.0)],
                _ => Vec::new(),
            };
            value = graph.node(op, &name, &inputs, attributes);
        }
        graph.output(&value, value_info("y", DataType::Float, &[3]));
        inspect(&graph.finish(8, 12, &[])).unwrap().outputs.remove(0).last_layer
    }

    #[test]
    fn a_mean_over_the_picture_and_one_layer_of_weights_are_found_in_every_form() {
        for (operators, weight, by_class) in [
            (&["GlobalAveragePool", "Flatten", "Gemm"][..], "Gemm4.w", true),
            (&["GlobalAveragePool", "Conv", "Flatten"], "Conv3.w", true),
            (&["ReduceMean", "Dropout", "MatMul", "Softmax"], "MatMul4.w", false),
            (&["AveragePool", "Reshape", "MatMul", "Add"], "MatMul4.w", false),
            (&["ReduceMean", "QuantizeLinear", "DequantizeLinear", "Gemm", "Identity"], "Gemm5.w", true),
        ] {
            let layer = found(operators).unwrap_or_else(|reason| panic!("{operators:?}: {reason}"));
            assert_eq!((&*layer.map, layer.layout), ("Relu1", Layout::Nchw), "{operators:?}");
            assert_eq!((&*layer.weight, layer.by_class), (weight, by_class), "{operators:?}");
        }
        assert_eq!(found(&["GlobalAveragePool", "Flatten", "Gemm"]).unwrap().factor, 2.0);
        let biases = found(&["AveragePool", "Reshape", "MatMul", "Add"]).unwrap().biases;
        assert_eq!(biases, [("Add5.w".to_owned(), 1.0)]);
    }

    #[test]
    fn what_is_no_sum_over_places_is_refused_with_what_it_is() {
        for (operators, reason) in [
            (&["Flatten", "Gemm"][..], "reads a Relu"),
            (&["GlobalMaxPool", "Flatten", "Gemm"], "largest values"),
            (&["GlobalAveragePool", "Flatten", "Relu", "Gemm"], "reads a Relu"),
            (&["GlobalAveragePool", "Flatten", "Gemm", "Relu", "Gemm"], "reads a Relu"),
            (&["GlobalAveragePool", "Flatten", "Gemm", "Tanh"], "a Tanh follows"),
            (&["GlobalAveragePool", "Flatten"], "a GlobalAveragePool follows"),
            (&["GlobalAveragePool", "Flatten", "MatMulInteger"], "integers of 8 bits"),
        ] {
            let refusal = found(operators).unwrap_err();
            assert!(refusal.contains(reason), "{operators:?}: {refusal}");
        }
    }

    #[test]
    fn the_axes_of_a_mean_say_where_the_channels_are() {
        for (axes, layout) in [
            (&[2, 3][..], Some(Layout::Nchw)),
            (&[-1, -2], Some(Layout::Nchw)),
            (&[1, 2], Some(Layout::Nhwc)),
            (&[-2, 1], Some(Layout::Nhwc)),
            (&[1], None),
            (&[1, 2, 3], None),
        ] {
            assert_eq!(spatial(axes), layout, "{axes:?}");
        }
    }
}
