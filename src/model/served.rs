//! A model that answers: what the service needs of it for one request.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::ModelInfo;
use crate::{
    batching::{Batcher, Workers},
    postprocess::Activation,
    preprocess::Spec,
    tune::PaceJudge,
};

/// One loaded version of a model, with its own queue: one slow model never blocks another. Light: its network belongs to
/// its [`Workers`].
#[derive(Clone)]
pub struct ServedModel {
    /// The name in the route.
    pub name: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// What can be known of it.
    pub info: Arc<ModelInfo>,
    /// How its images are prepared.
    pub spec: Spec,
    /// What makes probabilities of its output.
    pub activation: Activation,
    /// Its queue.
    pub batcher: Batcher,
    /// One permit for each image between admission and answer.
    pub permits: Arc<Semaphore>,
    /// How many permits there are.
    pub capacity: usize,
}

impl ServedModel {
    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.info.labels.len()
    }

    /// The same network, whose classes have other names.
    ///
    /// * `labels`: one a class
    pub fn relabelled(&self, labels: Arc<[Arc<str>]>) -> Self {
        let info = ModelInfo { labels, ..ModelInfo::clone(&self.info) };
        Self { info: Arc::new(info), ..self.clone() }
    }
}

/// A model fresh from disk: what requests need of it, and the threads that own its sessions.
pub struct LoadedModel {
    /// For the requests.
    pub model: ServedModel,
    /// For whoever ends it.
    pub workers: Workers,
    /// For whoever watches its speed; `None` where nothing was measured.
    pub pace: Option<PaceJudge>,
    /// What its sessions take at least, in bytes, by the sizes of weights, images and layers.
    pub bytes: u64,
}
