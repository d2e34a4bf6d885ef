//! The gauges: looked up anew at every scrape, so that a model that is gone leaves no stale value behind.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{count::Count, log::lost_lines};

/// One version of a model at the moment of a scrape.
#[derive(Clone, Debug)]
pub struct VersionState {
    /// The name in the route.
    pub model: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// The requests that wait for its load; `None` where nobody has to.
    pub waiting: Option<usize>,
    /// `None` while it is loading, or where it failed.
    pub serving: Option<ServingState>,
}

/// What can be said of a version that answers.
#[derive(Clone, Debug)]
pub struct ServingState {
    /// Images that wait for a worker.
    pub queue_depth: usize,
    /// 0 idle, 1 saturated.
    pub load_ratio: f64,
    /// Images that were taken and not answered before their deadline.
    pub deadline_misses: u64,
    /// The share of the images refused for their deadline that would have been answered in time.
    pub refused_in_vain: f64,
    /// Where it runs: `cpu`, `openvino`, `cuda`, `tensorrt`.
    pub provider: String,
    /// The arithmetic: `fp32`, `bf16`, `fp16`, `int8`.
    pub precision: String,
    /// The largest difference of a probability from fp32's over the warm-up images, where it was measured.
    pub probability_drift: Option<f64>,
    /// Threads that run it: sessions times the threads of each.
    pub threads: usize,
    /// What its sessions take at least.
    pub memory_bytes: u64,
}

/// What is true in the moment of a scrape.
#[derive(Clone, Copy, Debug)]
pub struct ScrapeState<'s> {
    /// Every version that is known.
    pub versions: &'s [VersionState],
    /// What requests in work are charged for.
    pub in_flight_bytes: usize,
    /// What is kept of answers.
    pub cache: CacheState,
    /// The cores that the process may use.
    pub cores: usize,
    /// Images decoded side by side.
    pub decode_threads: usize,
}

/// What is kept of answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheState {
    /// Rows, one an image.
    pub rows: usize,
    /// What they take.
    pub bytes: usize,
    /// What they may take; 0 where nothing is kept.
    pub max_bytes: usize,
    /// Rows that made room for others so far.
    pub evictions: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabel {
    model: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct VersionLabels {
    model: Arc<str>,
    version: u64,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EngineLabels {
    model: Arc<str>,
    version: u64,
    provider: String,
    precision: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

type RatioGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

/// The gauges of `versions`.
pub(super) fn registry(now: &ScrapeState<'_>) -> Registry {
    let &ScrapeState { versions, in_flight_bytes, cache, cores, decode_threads } = now;
    let queue_depth = Family::<ModelLabel, Gauge>::default();
    let load_ratio = Family::<ModelLabel, RatioGauge>::default();
    let deadline_misses = Family::<ModelLabel, Count>::default();
    let refused_in_vain = Family::<ModelLabel, RatioGauge>::default();
    let waiting_for_load = Family::<ModelLabel, Gauge>::default();
    let loaded = Family::<VersionLabels, Gauge>::default();
    let drift = Family::<EngineLabels, RatioGauge>::default();
    let memory = Family::<VersionLabels, Gauge>::default();
    let threads = Family::<VersionLabels, Gauge>::default();
    let build = Family::<BuildLabels, Gauge>::default();
    build.get_or_create(&BuildLabels { version: env!("CARGO_PKG_VERSION") }).set(1);
    for VersionState { model, version, waiting, serving } in versions {
        if let Some(waiting) = waiting {
            let of_model = waiting_for_load.get_or_create(&ModelLabel { model: model.clone() });
            of_model.inc_by(i64::try_from(*waiting).unwrap_or(i64::MAX));
        }
        let labels = VersionLabels { model: model.clone(), version: *version };
        loaded.get_or_create(&labels).set(serving.is_some().into());
        let Some(serving) = serving else { continue };
        memory.get_or_create(&labels).set(i64::try_from(serving.memory_bytes).unwrap_or(i64::MAX));
        threads.get_or_create(&labels).set(i64::try_from(serving.threads).unwrap_or(i64::MAX));
        let label = ModelLabel { model: model.clone() };
        // Each version of a model has its own queue: the depths are added up, and of the loads the largest counts.
        queue_depth.get_or_create(&label).inc_by(i64::try_from(serving.queue_depth).unwrap_or(i64::MAX));
        let ratio = load_ratio.get_or_create(&label);
        ratio.set(ratio.get().max(serving.load_ratio));
        deadline_misses.get_or_create(&label).0.inc_by(serving.deadline_misses);
        let share = refused_in_vain.get_or_create(&label);
        share.set(share.get().max(serving.refused_in_vain));
        if let Some(distance) = serving.probability_drift {
            let ServingState { provider, precision, .. } = serving.clone();
            drift
                .get_or_create(&EngineLabels { model: model.clone(), version: *version, provider, precision })
                .set(distance);
        }
    }

    let mut registry = Registry::with_prefix("resnetd");
    registry.register("queue_depth", "Images that wait for a worker", queue_depth);
    registry.register(
        "load_ratio",
        "The larger of the share of workers busy in the last 10 s and the share of the queue's capacity in use",
        load_ratio,
    );
    registry.register(
        "deadline_misses_total",
        "Images that were taken and not answered before their deadline, since the version is served",
        deadline_misses,
    );
    registry.register(
        "refused_in_vain",
        "The share of the images refused because of their deadline that would have been answered in time, by sampling",
        refused_in_vain,
    );
    registry.register(
        "waiting_for_load_requests",
        "Requests that wait for a version that is loaded when it is asked for",
        waiting_for_load,
    );
    registry.register(
        "model_loaded",
        "1 where a version answers, 0 while it loads, where it failed or is not loaded",
        loaded,
    );
    registry.register(
        "model_probability_drift",
        "The largest difference of a probability from fp32 over the warm-up images",
        drift,
    );
    registry.register(
        "model_memory_bytes",
        "What the sessions of a version take at least, by the sizes of its weights, images and layers",
        memory,
    );
    registry.register("model_threads", "Threads that run a version: its sessions times the threads of each", threads);
    for (name, help, count) in [
        ("cores", "Cores that the process may use", cores),
        ("decode_threads", "Images that are decoded side by side at most", decode_threads),
    ] {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        registry.register(name, help, gauge);
    }
    registry.register("build_info", "The version that runs", build);
    let bytes = Gauge::<i64>::default();
    bytes.set(i64::try_from(in_flight_bytes).unwrap_or(i64::MAX));
    registry.register("in_flight_bytes", "Memory that requests in work are charged for", bytes);
    let bytes = Gauge::<i64>::default();
    bytes.set(i64::try_from(cache.bytes).unwrap_or(i64::MAX));
    registry.register("cache_bytes", "Memory of the rows that are kept", bytes);
    let evictions = Count::default();
    evictions.0.inc_by(cache.evictions);
    registry.register("cache_evictions_total", "Rows that made room for others", evictions);
    let lost = Count::default();
    lost.0.inc_by(lost_lines());
    registry.register(
        "log_lines_lost_total",
        "Lines of the log that stderr did not take, or that nobody read in time",
        lost,
    );
    registry
}
