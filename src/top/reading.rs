//! What a server says of itself at one moment: its documents, as far as they are shown. Anything may be missing, for the
//! server may be of another version.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::telemetry::Buckets;

/// The phases of a request, in their order, and the histogram of each.
pub const PHASES: [(&str, &str); 4] = [
    ("request", "resnetd_request_duration_seconds"),
    ("preprocess", "resnetd_preprocess_duration_seconds"),
    ("queue", "resnetd_queue_duration_seconds"),
    ("inference", "resnetd_inference_duration_seconds"),
];

/// Models beyond it are listed without their histograms.
const MOST_HISTOGRAMS: usize = 64;

/// A look at a server.
#[derive(Clone, Debug, Default)]
pub struct ServerLook {
    /// When, since the watch began.
    pub at: Duration,
    /// `None` where the server is ready, else why it is not.
    pub unready: Option<String>,
    /// `GET /v1/stats`.
    pub stats: StatsReading,
    /// `GET /v1/models`.
    pub list: ListReading,
    /// By model, those of [`PHASES`]; from `GET /metrics`.
    pub phases: BTreeMap<String, [Buckets; 4]>,
}

impl ServerLook {
    /// Takes the histograms of the models that are shown out of `GET /metrics`.
    pub fn read_phases(&mut self, metrics: &str) {
        for model in self.stats.models.iter().take(MOST_HISTOGRAMS) {
            if !self.phases.contains_key(&model.name) {
                let phases = PHASES.map(|(_, family)| Buckets::of(metrics, family, &model.name));
                self.phases.insert(model.name.clone(), phases);
            }
        }
    }
}

/// `GET /v1/stats`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct StatsReading {
    /// The server's version.
    pub version: String,
    /// Since it began.
    pub uptime_s: f64,
    /// What it runs on.
    pub threads: ThreadsReading,
    /// What requests take.
    pub memory: MemoryReading,
    /// By door.
    pub connections: BTreeMap<String, i64>,
    /// Every version that answers.
    pub models: Vec<ModelReading>,
}

/// Of the process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ThreadsReading {
    /// That it may use.
    pub cores: usize,
}

/// Of the process.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct MemoryReading {
    /// What requests are charged for.
    pub in_flight_bytes: u64,
    /// The most of it.
    pub max_in_flight_bytes: u64,
}

/// One version of a model.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ModelReading {
    /// The route.
    pub name: String,
    /// A positive integer.
    pub version: u64,
    /// Which network it is.
    pub architecture: String,
    /// How it runs.
    pub engine: EngineReading,
    /// Who waits.
    pub queue: QueueReading,
    /// Runs by their number of images.
    pub batches: Vec<BatchReading>,
    /// By reason; of all versions of the model.
    pub refused_images: BTreeMap<String, u64>,
    /// Of late.
    pub throughput: ThroughputReading,
    /// Workers that broke.
    pub worker_restarts: u64,
}

/// How a version runs.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct EngineReading {
    /// `cpu`, `cuda`.
    pub provider: String,
    /// `fp32`, `int8`.
    pub precision: String,
    /// Sessions.
    pub instances: usize,
    /// Threads of a session.
    pub intra_threads: usize,
    /// The largest batch.
    pub max_batch_size: usize,
    /// Why.
    pub choice: String,
}

/// Who waits.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct QueueReading {
    /// For a worker.
    pub waiting: usize,
    /// Between admission and answer.
    pub in_work: usize,
    /// The most of them.
    pub capacity: usize,
    /// 0 idle, 1 saturated.
    pub load_ratio: f64,
    /// Taken, and not answered in time.
    pub deadline_misses: u64,
}

/// Runs of one size.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct BatchReading {
    /// In each.
    pub images: usize,
    /// How many.
    pub runs: u64,
}

/// Means over the last ten seconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ThroughputReading {
    /// Requests.
    pub requests_per_second_10s: f64,
    /// Images.
    pub images_per_second_10s: f64,
}

/// `GET /v1/models`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListReading {
    /// Every version, also of what does not answer.
    pub model_versions: Vec<ListedReading>,
}

/// One of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ListedReading {
    /// The route.
    pub name: String,
    /// A positive integer.
    pub version: u64,
    /// `AVAILABLE`, `FAILED`.
    pub state: String,
    /// Names beside the number.
    pub labels: Vec<String>,
    /// Why it does not answer.
    pub reason: String,
}
