//! A model's numbers as they are told to people and programs that ask for them at once.

use super::{
    quantiles::{Quantiles, quantiles},
    refusal_reason::RefusalReason,
};

/// What was counted of a version; what has no version among the metrics is counted for all versions of the model together.
#[derive(Clone, Debug)]
pub struct ModelCounts {
    /// Images whose row was kept.
    pub cache_hits: u64,
    /// Images whose row was looked for and not kept.
    pub cache_misses: u64,
    /// Images that were answered from the run of another request.
    pub shared_runs: u64,
    /// Workers that broke and began anew.
    pub worker_restarts: u64,
    /// Images that were refused, by the reason.
    pub refusals: [(RefusalReason, u64); RefusalReason::ALL.len()],
    /// Requests answered a second, in the last 10 and 60 seconds that are over. Of this version.
    pub requests_a_second: [f64; 2],
    /// Images run a second, likewise.
    pub images_a_second: [f64; 2],
}

/// How long things take at a model, in seconds, since it is served.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ModelLatencies {
    /// A request from its head to its answer or refusal.
    pub request: Quantiles,
    /// Decoding, resizing and cropping of an image.
    pub preprocess: Quantiles,
    /// An image's wait for a worker.
    pub queue: Quantiles,
    /// A run of the network.
    pub inference: Quantiles,
}

impl ModelLatencies {
    /// From the histograms in `text`, as they are given to Prometheus.
    pub fn of(text: &str, model: &str) -> Self {
        let of = |what: &str| quantiles(text, &format!("resnetd_{what}_duration_seconds"), model);
        Self { request: of("request"), preprocess: of("preprocess"), queue: of("queue"), inference: of("inference") }
    }
}
