//! What a client or an operator can learn about a model: the doors and the log show it.

use std::sync::Arc;

use crate::{
    inspect::Inspection,
    postprocess::ClassMaps,
    tensor::{ColorOrder, Layout, NumberType},
};

/// Where a version of a model stands; TensorFlow Serving's states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelState {
    /// Its sessions are being made or warmed up.
    Loading,
    /// It answers.
    Available,
    /// It cannot be served; why, and how to mend it.
    Failed(String),
    /// It is loaded when it is asked for, and requests wait for that; why it is not loaded now.
    NotLoaded(String),
}

impl ModelState {
    /// Whether requests are answered, if need be once it was loaded for them.
    pub fn answers(&self) -> bool {
        matches!(self, Self::Available | Self::NotLoaded(_))
    }
}

/// One version of one model, served or not.
#[derive(Clone, Debug)]
pub struct ModelStatus {
    /// The name in the route.
    pub name: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// Whether it answers.
    pub state: ModelState,
    /// What is known of it once it is loaded.
    pub info: Option<Arc<ModelInfo>>,
    /// Why it answers from earlier files than those that are there now; `None` where it does not.
    pub outdated: Option<String>,
    /// Why it gets no requests but those that name it, where a rule of its model's traffic says so.
    pub turned_back: Option<String>,
    /// The names that it has beside its number, sorted.
    pub labels: Vec<String>,
}

/// What a client can know about a loaded model.
#[derive(Clone, Debug)]
pub struct ModelInfo {
    /// `resnet50` and the like, as found in the graph; `unknown` for what is no ResNet.
    pub architecture: Arc<str>,
    /// All that the graph shows of its network; `None` where it could not be inspected.
    pub inspection: Option<Inspection>,
    /// The graph's input.
    pub input: TensorInfo,
    /// What the numbers of the graph's input are.
    pub numbers: NumberType,
    /// The graph's output.
    pub output: TensorInfo,
    /// How many features an image has, the pooled values that the last layer reads; else why there are none, as the end of a
    /// sentence.
    pub features: Result<usize, Arc<str>>,
    /// Its last layer, where the network ends in a mean over the picture and one layer; else why it does not, as the end of a sentence.
    pub class_maps: Result<Arc<ClassMaps>, Arc<str>>,
    /// How a batch lies in memory.
    pub layout: Layout,
    /// The order of the channels.
    pub color: ColorOrder,
    /// What becomes of a picture before the network, in words, one step each.
    pub preparation: Arc<[String]>,
    /// The labels, one a class, in index order.
    pub labels: Arc<[Arc<str>]>,
    /// The largest batch of one run.
    pub max_batch_size: usize,
    /// How many sessions run side by side.
    pub instances: usize,
    /// Threads that share one run.
    pub intra_threads: usize,
    /// The threads of the session for an image that is alone; `None` where there is none beside the others.
    pub alone_threads: Option<usize>,
    /// What its sessions take at least, in bytes, by the sizes of weights, images and layers.
    pub memory_bytes: u64,
    /// Where it runs: `cpu`, `openvino`, `cuda`, `tensorrt`.
    pub provider: String,
    /// The arithmetic: `fp32`, `bf16`, `fp16`, `int8`.
    pub precision: String,
    /// The largest difference of a probability from fp32's over the warm-up images; `None` where they were not compared.
    pub probability_drift: Option<f64>,
    /// How provider, precision, sessions and batch were chosen.
    pub choice: String,
    /// Whether the weights are random, for benchmarks.
    pub untrained: bool,
}

impl ModelInfo {
    /// Threads that run it: sessions times the threads of each, and those for an image that is alone.
    pub fn threads(&self) -> usize {
        self.instances * self.intra_threads.max(1) + self.alone_threads.unwrap_or_default()
    }
}

/// A tensor of the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the graph.
    pub name: String,
    /// `-1` where the size is free.
    pub shape: Vec<i64>,
}
