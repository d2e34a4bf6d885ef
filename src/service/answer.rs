//! What the line answers: classes, named outputs, and where the time went.

use std::sync::Arc;

/// The answer to a [`Request`](super::Request).
#[derive(Clone, Debug)]
pub struct Answer {
    /// The model that answered.
    pub model: Arc<str>,
    /// Its version.
    pub version: u64,
    /// Which ResNet it is, `resnet50` or `resnet20-cifar`, for instance.
    pub architecture: Arc<str>,
    /// Where classes were wanted: one entry per image, in order; the most probable class first.
    pub predictions: Vec<Vec<Prediction>>,
    /// The outputs that were wanted, in the order of their names in the request.
    pub outputs: Vec<NamedOutput>,
    /// Where the time went.
    pub timing: Timing,
    /// The size of the largest batch that one of the images ran in; 0 where none had to.
    pub batch_size: usize,
    /// Whether every image's row was kept from an earlier one: nothing was run for it.
    pub cached: bool,
    /// Where a cascade was followed: the model that answered each image. Empty otherwise.
    pub answered_by: Vec<Arc<str>>,
}

/// One class of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class's index in the network's output.
    pub index: usize,
    /// The class's name; its index in digits where the model has no labels.
    pub label: Arc<str>,
    /// After the model's activation; 0 to 1 for softmax and sigmoid.
    pub probability: f32,
}

/// One output for all images of a request, nothing left out.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedOutput {
    /// The name that it was asked for by.
    pub name: Arc<str>,
    /// `[N, K]`, of features `[N, F]`.
    pub shape: [usize; 2],
    /// Row-major, row `i` for image `i`.
    pub values: Vec<f32>,
}

/// Where the time of a request went, in milliseconds. With several images: the longest of each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Decoding, resizing and cropping, without waiting for a thread.
    pub preprocess_ms: f64,
    /// From the end of preprocessing until a worker took the image.
    pub queue_ms: f64,
    /// The network's run, shared by the images of the batch.
    pub inference_ms: f64,
    /// From the door to the answer.
    pub total_ms: f64,
}
