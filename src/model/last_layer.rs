//! The last layer of a model's network in numbers, for who wants to know what in a picture led to a class.
//!
//! It is read from the file while that is at hand, and believed only after a run: the mean of the maps, through these weights, must
//! give what the network itself gives.

use std::path::Path;

use super::warm_up::WarmUpImages;
use crate::{
    inspect::{Inspection, LastLayer},
    onnx::{Constant, Ending, ModelProto, Walk},
    postprocess::{Activation, ClassMaps},
    runtime::{Executor as _, OrtExecutor},
    tensor::{FeatureMaps, Layout, Logits},
};

/// A layer of more weights than this is not kept in memory a second time: 256 MB.
const MOST_WEIGHTS: usize = 64 << 20;

/// So far from the network's own answer may be what is put together of its parts, as a share of the largest number of it. Roundings of
/// fp16, bf16 and 8 bits are within; weights of another layer are not.
const TOLERANCE: f32 = 0.1;

/// Weights and biases of a last layer, by the output that it belongs to.
#[derive(Clone, Debug)]
pub(super) struct LayerOfOutput {
    pub(super) output: String,
    /// Else why there are none, as the end of a sentence.
    pub(super) numbers: Result<LayerNumbers, String>,
}

#[derive(Clone, Debug)]
pub(super) struct LayerNumbers {
    layout: Layout,
    channels: usize,
    weights: Box<[f32]>,
    bias: Box<[f32]>,
}

/// Reads the last layer before each output.
///
/// * `folder`: where the files are that the graph keeps weights in
pub(super) fn read(model: &ModelProto, inspection: &Inspection, folder: Option<&Path>) -> Vec<LayerOfOutput> {
    let Some(graph) = &model.graph else { return Vec::new() };
    let walk = Walk::new(graph);
    let of = |layer: &Result<LastLayer, String>| numbers(&walk, layer.as_ref().map_err(String::clone)?, folder);
    let outputs = inspection.outputs.iter();
    outputs.map(|it| LayerOfOutput { output: it.name.clone(), numbers: of(&it.last_layer) }).collect()
}

fn numbers(walk: &Walk<'_>, layer: &LastLayer, folder: Option<&Path>) -> Result<LayerNumbers, String> {
    let unread = |reason: String| format!("the weights of its last layer cannot be read: {reason}");
    let weights = Constant::of(walk, &layer.weight, folder).map_err(unread)?;
    // Those of a convolution have two axes more, of one place each.
    let weights = if weights.dims.len() > 2 { weights.squeezed() } else { weights };
    let by_class = if layer.by_class { weights } else { weights.transposed() };
    let [classes, channels] = by_class.dims[..] else {
        return Err(unread(format!("their shape is {:?}", by_class.dims)));
    };
    if by_class.values.len() > MOST_WEIGHTS {
        return Err(format!("its last layer has {} weights, more than are kept for it", by_class.values.len()));
    }
    let mut bias = vec![0.0; classes];
    for (name, factor) in &layer.biases {
        let added = Constant::of(walk, name, folder).map_err(unread)?.values;
        if added.len() != classes && added.len() != 1 {
            return Err(unread(format!("`{name}` has {} numbers for {classes} classes", added.len())));
        }
        let added = added.iter().cycle();
        bias.iter_mut().zip(added).for_each(|(sum, added): (&mut f32, _)| *sum += factor * added);
    }
    let mut weights = by_class.values.into_boxed_slice();
    if layer.factor != 1.0 {
        weights.iter_mut().for_each(|weight| *weight *= layer.factor);
    }
    Ok(LayerNumbers { layout: layer.layout, channels, weights, bias: bias.into() })
}

/// What the maps of an image become, from a run of one image.
///
/// * `ending`: what the graph has inside behind its last layer
/// * `features`: gets those of the image, where the network gives any
///
/// # Errors
/// Why there are none, as the end of a sentence. The model is served without them.
pub(super) fn checked(
    layers: &[LayerOfOutput],
    output: &str,
    executor: &mut OrtExecutor,
    images: &mut WarmUpImages,
    ending: Option<Ending>,
    features: &mut Logits,
) -> Result<ClassMaps, String> {
    let layer = layers.iter().find(|layer| layer.output == output);
    let layer = layer.ok_or("its graph could not be looked through")?;
    let LayerNumbers { layout, channels, weights, bias } = layer.numbers.clone()?;
    if let Some(reason) = executor.lacks_maps() {
        return Err(reason.to_owned());
    }
    let (mut logits, mut maps) = (Logits::default(), FeatureMaps::default());
    let features = executor.lacks_features().is_none().then_some(features);
    let batch = images.batch(0, 1);
    let run = batch.and_then(|batch| executor.run_with_maps(batch, &mut logits, features, &mut maps));
    run.map_err(|error| format!("a run with its maps fails: {error}"))?;
    let [a, b, c] = maps.dims;
    let (height, width, found, channels_last) = match layout {
        Layout::Nchw => (b, c, a, false),
        Layout::Nhwc => (a, b, c, true),
    };
    if found != channels {
        return Err(format!("its last layer has weights for {channels} channels, and {found} are averaged"));
    }
    let layer = ClassMaps { height, width, channels, channels_last, weights, bias };
    let (Some(row), Some(maps)) = (logits.rows().next(), maps.rows.rows().next()) else {
        return Err("a run with its maps gives none".to_owned());
    };
    let mut sums = layer.logits(maps).ok_or("its maps are of another size than its last layer")?;
    let mut said = row.to_vec();
    match ending {
        Some(Ending::Softmax) => Activation::Softmax.apply(&mut sums),
        Some(Ending::Sigmoid) => Activation::Sigmoid.apply(&mut sums),
        Some(Ending::LogSoftmax) => {
            Activation::Softmax.apply(&mut sums);
            Activation::Exp.apply(&mut said);
        }
        Some(Ending::Logits | Ending::Unknown) | None => {}
    }
    if said.len() != sums.len() {
        return Err(format!("its last layer has {} classes, and its answers {}", sums.len(), said.len()));
    }
    let largest = said.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    let off = said.iter().zip(&sums).map(|(said, sum)| (said - sum).abs()).fold(0.0, f32::max);
    if sums.iter().all(|sum| sum.is_finite()) && off <= TOLERANCE * largest {
        return Ok(layer);
    }
    Err(format!("its parts do not come to what it says: off by {off}, where {largest} is the largest value"))
}
