//! A model that answers: what the service needs of it for one request.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::ModelInfo;
use crate::{batching::Batcher, postprocess::Activation, preprocess::Spec};

/// One loaded version of a model, with its own queue and sessions: one slow model never blocks another.
pub struct ServedModel {
    /// The name in the route.
    pub name: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// What can be known of it.
    pub info: Arc<ModelInfo>,
    /// How its images are prepared.
    pub spec: Spec,
    /// Height and width of what the network takes.
    pub size: (usize, usize),
    /// What makes probabilities of its output.
    pub activation: Activation,
    /// Its queue and workers.
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
}
