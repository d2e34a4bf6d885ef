//! The numbers behind the metrics, and why engines were chosen, batches are as large as they are, and images are refused.
//!
//! Nothing is counted here: what is told are the counters of the metrics, the statistics' sums, and what queues know.

use std::{sync::Arc, time::Duration};

use super::{Service, TrafficView, cores, registry::Snapshot, served::Served};
use crate::{
    batching::QueueView,
    model::ModelInfo,
    telemetry::{CacheState, ModelCounts, ModelLatencies, RunStatistics},
};

/// The server and all versions that answer.
#[derive(Clone, Debug)]
pub struct ServerStats {
    /// Since the service began.
    pub uptime: Duration,
    /// The cores that the process may use.
    pub cores: usize,
    /// Images decoded side by side.
    pub decode_threads: usize,
    /// The bytes that the requests in work take, and the most that they may.
    pub in_flight_bytes: [usize; 2],
    /// What is kept of answers.
    pub cache: CacheState,
    /// By name, then version.
    pub models: Vec<VersionStats>,
}

/// One version that answers.
#[derive(Clone, Debug)]
pub struct VersionStats {
    /// The name in the route.
    pub model: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// What it is, and how it runs.
    pub info: Arc<ModelInfo>,
    /// Images between admission and answer, and the most that there may be.
    pub in_work: [usize; 2],
    /// Its queue.
    pub queue: QueueView,
    /// What it has done.
    pub statistics: RunStatistics,
    /// What was counted beside that.
    pub counts: ModelCounts,
    /// How long it takes; of all versions of the model together.
    pub latencies: ModelLatencies,
    /// Its part in the model's shared-out and mirrored traffic, where it has one.
    pub traffic: Option<TrafficView>,
}

impl Service {
    /// All of it at this moment.
    pub fn stats(&self) -> ServerStats {
        let snapshot = self.registry().current();
        let served: Vec<_> = snapshot.served().cloned().collect();
        let text = self.metrics().own_text();
        ServerStats {
            uptime: self.inner.began.elapsed(),
            cores: cores(),
            decode_threads: self.inner.decoders.threads(),
            in_flight_bytes: [self.in_flight_bytes(), self.limits().max_in_flight_bytes],
            cache: self.cache_state(),
            models: served.iter().map(|served| of_version(&snapshot, served, &text)).collect(),
        }
    }
}

fn of_version(snapshot: &Snapshot, served: &Served, text: &str) -> VersionStats {
    let (model, metrics) = (&served.model, &served.metrics);
    VersionStats {
        model: model.name.clone(),
        version: model.version,
        info: model.info.clone(),
        in_work: [model.capacity.saturating_sub(model.permits.available_permits()), model.capacity],
        queue: model.batcher.view(),
        statistics: metrics.statistics(),
        counts: metrics.counts(),
        latencies: ModelLatencies::of(text, &model.name),
        traffic: snapshot.ways.get(&model.name).and_then(|ways| ways.view(model.version)),
    }
}
