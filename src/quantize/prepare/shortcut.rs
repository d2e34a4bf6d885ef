//! Identity shortcuts as convolutions.

use super::PrepareError;
use crate::onnx::{AttributeProto, GraphProto, NodeProto, TensorProto, Walk, f32_values, float_tensor, i64_values};

/// The identity shortcut that changes the number of channels (every stride-th pixel, zeros for the new channels) becomes
/// a 1x1 convolution with ones on the diagonal. Exact in 8 bits too, and fused by every engine, while a Pad in 8 bits
/// makes them leave their own layout; it costs under 1 % of the network's products.
pub(super) fn shortcuts_to_convolutions(graph: &mut GraphProto) -> Result<(), PrepareError> {
    let mut shortcuts = Vec::new();
    {
        let walk = Walk::new(graph);
        for pad in graph.node.iter().filter(|node| node.op_type == "Pad") {
            if let Some(shortcut) = padded_channels(&walk, pad)? {
                shortcuts.push(shortcut);
            }
        }
    }
    for (shortcut, kernel) in shortcuts {
        let output = &shortcut.output[0];
        if let Some(place) = graph.node.iter_mut().find(|node| node.output.first() == Some(output)) {
            *place = shortcut;
            graph.initializer.push(kernel);
        }
    }
    Ok(())
}

fn padded_channels(walk: &Walk<'_>, pad: &NodeProto) -> Result<Option<(NodeProto, TensorProto)>, PrepareError> {
    let zero = match pad.input.get(2).filter(|name| !name.is_empty()) {
        None => true,
        Some(value) => match walk.constant(value) {
            Some(tensor) => f32_values(tensor)?.iter().all(|&value| value == 0.0),
            None => false,
        },
    };
    let Some(pads) = pad.input.get(1).and_then(|name| walk.constant(name)) else { return Ok(None) };
    let pads = i64_values(pads)?;
    let [0, before, 0, 0, 0, after, 0, 0] = pads[..] else { return Ok(None) };
    let constant_mode = pad.string("mode").unwrap_or("constant") == "constant";
    if before < 0 || after < 0 || !zero || !constant_mode || pad.input.len() > 3 {
        return Ok(None);
    }
    let (mut input, mut stride) = (&pad.input[0], 1);
    let read_once = walk.consumers(input).len() == 1 && !walk.is_output(input);
    if let Some(pool) = walk.producer(input).filter(|node| read_once && is_subsample(node)) {
        (input, stride) = (&pool.input[0], pool.ints("strides").map_or(1, |strides| strides[0]));
    }
    let Some(channels) = channels_of(walk, input) else { return Ok(None) };
    let (before, outputs) = (before as usize, channels + before as usize + after as usize);
    let mut weights = vec![0.0; outputs * channels];
    (0..channels).for_each(|channel| weights[(before + channel) * channels + channel] = 1.0);
    let output = &pad.output[0];
    let kernel = float_tensor(format!("{output}.identity"), &[outputs, channels, 1, 1], &weights);
    let node = NodeProto {
        op_type: "Conv".into(),
        name: pad.name.clone(),
        input: vec![input.clone(), kernel.name.clone()],
        output: vec![output.clone()],
        attribute: vec![
            AttributeProto::of_ints("kernel_shape", &[1, 1]),
            AttributeProto::of_ints("strides", &[stride, stride]),
        ],
        ..NodeProto::default()
    };
    Ok(Some((node, kernel)))
}

/// A max-pool of single pixels.
fn is_subsample(node: &NodeProto) -> bool {
    let equal = |name: &str, value: i64| node.ints(name).is_none_or(|values| values.iter().all(|&v| v == value));
    node.op_type == "MaxPool"
        && node.ints("kernel_shape") == Some(&[1, 1])
        && equal("pads", 0)
        && node.ints("strides").is_none_or(|strides| strides.len() == 2 && strides[0] == strides[1])
}

/// The number of channels of a value, found from the weights of the nearest convolution before it.
fn channels_of(walk: &Walk<'_>, value: &str) -> Option<usize> {
    let mut value = value;
    // A bound, because a graph with a cycle would never end; no shortcut is this far from a convolution.
    for _ in 0..1000 {
        let node = walk.producer(value)?;
        match node.op_type.as_str() {
            "Conv" => return walk.constant(node.input.get(1)?)?.dims.first().map(|&dim| dim as usize),
            "Relu" | "MaxPool" | "BatchNormalization" => value = node.input.first()?,
            "Add" => {
                let by_conv = |name: &&String| walk.producer(name).is_some_and(|node| node.op_type == "Conv");
                value = node.input.iter().find(by_conv).or(node.input.first())?;
            }
            _ => return None,
        }
    }
    None
}
