//! The handles of one version of a model: what a request, an image and a run of it count up.
//!
//! Found once, when the version is served ([`Metrics::model`](super::Metrics::model)); nothing here hashes a label or allocates.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::metrics::{counter::Counter, histogram::Histogram};

use super::{
    exemplars::{TracedHistogram, observe},
    labels::Protocol,
    model_numbers::ModelCounts,
    recent::Recent,
    refusal_reason::RefusalReason,
    statistics::{PhaseTimes, RunStatistics, RunSums},
    trace_parent::TraceId,
};

/// The handles of one version of a model.
#[derive(Debug)]
pub struct ModelMetrics {
    pub(super) model: Arc<str>,
    pub(super) version: u64,
    pub(super) answered: [AnsweredRequests; 2],
    pub(super) preprocess_duration: TracedHistogram,
    pub(super) queue_duration: TracedHistogram,
    pub(super) inference_duration: Histogram,
    pub(super) batch_size: Histogram,
    pub(super) worker_restarts: Counter,
    /// By the reason's number.
    pub(super) refusals: [Counter; RefusalReason::ALL.len()],
    /// When this version was served.
    pub(super) began: Instant,
    pub(super) recent_requests: Recent,
    pub(super) recent_images: Recent,
    pub(super) cache_hits: Counter,
    pub(super) cache_misses: Counter,
    pub(super) shared_runs: Counter,
    /// One a class, or none.
    pub(super) predictions: Vec<Counter>,
    pub(super) sums: RunSums,
}

#[derive(Debug)]
pub(super) struct AnsweredRequests {
    pub(super) requests: Counter,
    pub(super) duration: TracedHistogram,
}

impl ModelMetrics {
    /// Counts a request that was answered.
    ///
    /// * `trace`: where it is recorded
    pub(super) fn note_answer(&self, protocol: Protocol, time: Duration, trace: Option<TraceId>) {
        let answered = &self.answered[protocol as usize];
        answered.requests.inc();
        observe(&answered.duration, time, trace);
        self.sums.note_success(time);
        self.recent_requests.add(self.began.elapsed().as_secs(), 1);
    }

    /// Counts where the time of one request went that was answered.
    ///
    /// * `looked`: how long what is kept was looked for in vain, where it was
    pub fn note_request(&self, times: PhaseTimes, looked: Option<Duration>) {
        self.sums.note_request(times);
        if let Some(time) = looked {
            self.sums.note_miss(time);
        }
    }

    /// Counts a request that was answered of what is kept.
    ///
    /// * `time`: of looking for it
    pub fn note_kept_request(&self, time: Duration) {
        self.sums.note_hit(time);
    }

    /// What this version has done since it is served.
    pub fn statistics(&self) -> RunStatistics {
        self.sums.read()
    }

    /// Whether it counts classes.
    pub fn counts_predictions(&self) -> bool {
        !self.predictions.is_empty()
    }

    /// Counts one image that went through the line.
    ///
    /// * `preprocess`: `None` where that was done for another model, and counts there
    /// * `trace`: where its request is recorded
    pub fn note_image(&self, preprocess: Option<Duration>, queued: Duration, trace: Option<TraceId>) {
        if let Some(preprocess) = preprocess {
            observe(&self.preprocess_duration, preprocess, trace);
        }
        observe(&self.queue_duration, queued, trace);
    }

    /// Counts an image that was refused.
    pub fn note_refused(&self, reason: RefusalReason) {
        if let Some(count) = self.refusals.get(reason as usize) {
            count.inc();
        }
    }

    /// What was counted, at this moment.
    pub fn counts(&self) -> ModelCounts {
        let now = self.began.elapsed().as_secs();
        let refused = |reason| (reason, self.refusals.get(reason as usize).map_or(0, Counter::get));
        ModelCounts {
            cache_hits: self.cache_hits.get(),
            cache_misses: self.cache_misses.get(),
            shared_runs: self.shared_runs.get(),
            worker_restarts: self.worker_restarts.get(),
            refusals: RefusalReason::ALL.map(refused),
            requests_a_second: [10, 60].map(|seconds| self.recent_requests.a_second(now, seconds)),
            images_a_second: [10, 60].map(|seconds| self.recent_images.a_second(now, seconds)),
        }
    }

    /// Counts whether the row of an image was kept.
    pub fn note_cache(&self, is_hit: bool) {
        if is_hit { &self.cache_hits } else { &self.cache_misses }.inc();
    }

    /// Counts an image that was answered from the run of another one.
    pub fn note_shared_run(&self) {
        self.shared_runs.inc();
    }

    /// Counts the most probable class of an image, where there is any.
    pub fn note_class(&self, class: Option<usize>) {
        if let Some(count) = class.and_then(|class| self.predictions.get(class)) {
            count.inc();
        }
    }

    /// Counts one run of the network.
    ///
    /// * `fill`: the part of its time in which the batch was filled
    pub fn note_run(&self, images: usize, time: Duration, fill: Duration, succeeded: bool) {
        self.batch_size.observe(images as f64);
        self.inference_duration.observe(time.as_secs_f64());
        if succeeded {
            self.recent_images.add(self.began.elapsed().as_secs(), images as u64);
            let infer = time.saturating_sub(fill);
            self.sums.note_run(images, PhaseTimes { input: fill, infer, ..PhaseTimes::default() });
        }
    }

    /// Counts how long it took to give the answers of a run to those who wait.
    pub fn note_answers(&self, images: usize, time: Duration) {
        self.sums.note_answers(images, time);
    }

    /// Counts a worker that began anew.
    pub fn note_restart(&self) {
        self.worker_restarts.inc();
    }
}
