//! The one way from a request to an answer, under every door: admit → preprocess → submit → top-k.
//!
//! Knows models and stages. Must not know HTTP, gRPC or the command line.

mod error;
mod models;
mod readiness;
mod stand_in;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

pub use error::{Error, ErrorKind};
pub use models::{ModelInfo, ModelState, ModelStatus, TensorInfo};
pub use readiness::{Limits, Readiness};
pub use stand_in::Service;

/// The default number of classes in an answer.
pub const DEFAULT_TOP_K: usize = 5;

/// One request: some images for one model.
#[derive(Clone, Debug)]
pub struct ClassifyRequest {
    /// The model's name, as in the route.
    pub model: String,
    /// A version, or the highest that is served.
    pub version: Option<u64>,
    /// The files as they came, at least one.
    pub images: Vec<Bytes>,
    /// What the client asked of the answer.
    pub options: ClassifyOptions,
    /// When the client stops waiting.
    pub deadline: Option<Instant>,
}

/// What the client asks of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassifyOptions {
    /// How many classes an image gets; 1 to the number of classes. `None`: [`DEFAULT_TOP_K`], or all where there are fewer.
    pub top_k: Option<usize>,
    /// Classes below this probability are left out; 0 to 1.
    pub min_probability: f32,
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

/// The answer to a [`ClassifyRequest`].
#[derive(Clone, Debug)]
pub struct Classification {
    /// The model that answered.
    pub model: Arc<str>,
    /// Its version.
    pub version: u64,
    /// Which ResNet it is, `resnet50` or `resnet20-cifar`, for instance.
    pub architecture: Arc<str>,
    /// One entry per image, in order; the most probable class first.
    pub predictions: Vec<Vec<Prediction>>,
    /// Where the time went.
    pub timing: Timing,
    /// The size of the largest batch that one of the images ran in.
    pub batch_size: usize,
}
