//! The many ways to write padding: of the image before a convolution, and zero channels for a shortcut that keeps its input.

use super::{
    layer::Kind,
    shape::{index, indices},
    values::Values,
    window::Window,
};
use crate::onnx::{NodeProto, Walk};

/// What a layer that pads the image adds to the window of the layer after it.
pub(super) fn padding_before(kind: &Kind<'_>) -> Option<[i64; 4]> {
    match kind {
        Kind::PadImage(pads) => Some(*pads),
        _ => None,
    }
}

/// `window` with the padding of the layer before it.
pub(super) fn grown(mut window: Window, pads: [i64; 4]) -> Window {
    for (own, more) in window.pads.iter_mut().zip(pads) {
        *own = own.saturating_add(more);
    }
    window
}

/// What a Pad does: to the image, or to the channels.
pub(super) fn padding(node: &NodeProto, values: &Values<'_>, channels_last: bool) -> Kind<'static> {
    match values.list(node, "pads", 1).as_deref() {
        Some(&[0, a, b, c, 0, d, e, f]) => {
            let ([front, top, left], [back, bottom, right]) =
                if channels_last { ([c, a, b], [f, d, e]) } else { ([a, b, c], [d, e, f]) };
            match ([front, back], [top, left, bottom, right]) {
                ([0, 0], pads) => Kind::PadImage(pads),
                (channels, [0, 0, 0, 0]) => Kind::PadChannels(both(channels)),
                _ => Kind::Other("Pad"),
            }
        }
        Some(_) => Kind::Other("Pad"),
        None => Kind::PadChannels(None),
    }
}

fn both([front, back]: [i64; 2]) -> Option<[usize; 2]> {
    Some([usize::try_from(front).ok()?, usize::try_from(back).ok()?])
}

/// Zero channels by concatenation: with a constant, or with the value itself times zero.
pub(super) fn concat_padding(
    node: &NodeProto,
    values: &Values<'_>,
    walk: &Walk<'_>,
    channels_last: bool,
) -> Kind<'static> {
    let axis = if channels_last { 3 } else { 1 };
    if index(node.int("axis").unwrap_or(1), 4) != Some(axis) {
        return Kind::Other("Concat");
    }
    let is_zeros = |name: &str| {
        values.is_inert(name)
            || walk
                .producer(name)
                .is_some_and(|made| matches!(made.op_type.as_str(), "Mul" | "Sub" | "ConstantOfShape"))
    };
    let Some(kept) = node.input.iter().position(|name| !is_zeros(name)) else { return Kind::Other("Concat") };
    let channels =
        |names: &[String]| names.iter().try_fold(0_usize, |sum, name| sum.checked_add(*values.shape(name)?.get(axis)?));
    let (before, after) = (channels(&node.input[..kept]), channels(&node.input[kept + 1..]));
    Kind::PadChannels(before.zip(after).map(|(before, after)| [before, after]))
}

/// The steps of a Slice along height and width.
pub(super) fn steps(node: &NodeProto, values: &Values<'_>, channels_last: bool) -> Option<[usize; 2]> {
    let steps = values.list(node, "steps", 4)?;
    let axes = match values.list(node, "axes", 3) {
        Some(axes) => indices(&axes, 4),
        None => (0..steps.len()).collect(),
    };
    let height = if channels_last { 1 } else { 2 };
    let mut strides = [1, 1];
    for (axis, step) in axes.into_iter().zip(steps) {
        match (axis.checked_sub(height), usize::try_from(step)) {
            (Some(axis @ (0 | 1)), Ok(step)) => strides[axis] = step,
            (_, Ok(1)) => {}
            _ => return None,
        }
    }
    Some(strides)
}
