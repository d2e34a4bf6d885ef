//! `GET /v1/stats`: the numbers behind the metrics, in one document for people and tools.

use std::{collections::BTreeMap, sync::Arc};

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    description::{Described, Tag},
    door::HttpDoor,
    reply,
};
use crate::service::{Quantiles, RunsOfSize, ServerStats, TrafficView, VersionStats};

/// The server and every version that answers, at this moment.
#[derive(Serialize, ToSchema)]
#[schema(as = ServerStats)]
struct StatsDocument<'a> {
    /// The server's version.
    version: &'a str,
    uptime_s: f64,
    threads: ThreadCounts,
    memory: MemoryInUse,
    /// Open connections by door.
    connections: BTreeMap<&'a str, i64>,
    models: Vec<ModelDocument<'a>>,
}

/// Threads, and the cores that they were derived from.
#[derive(Serialize, ToSchema)]
struct ThreadCounts {
    /// Those of the process's affinity and its container's CPU quota.
    cores: usize,
    /// For connections: `[server] io_threads`, else one for every four cores.
    io: usize,
    /// Images decoded side by side: `[server] decode_threads`, else one a core.
    decode: usize,
}

/// What requests and kept answers take.
#[derive(Serialize, ToSchema)]
struct MemoryInUse {
    in_flight_bytes: usize,
    max_in_flight_bytes: usize,
    cache_bytes: usize,
    max_cache_bytes: usize,
    /// Images whose answer is kept.
    cache_rows: usize,
    cache_evictions: u64,
}

/// A version of a model.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelNumbers)]
struct ModelDocument<'a> {
    name: &'a str,
    /// A positive integer.
    version: u64,
    architecture: &'a str,
    engine: EngineDocument<'a>,
    queue: QueueDocument,
    /// How long a run of so many images takes, as it is measured now; empty before the first one.
    service_times: Vec<ServiceTime>,
    /// The runs so far, by their number of images.
    batches: Vec<RunsDocument>,
    /// Images that were refused although nothing was wrong with them, by the reason; of all versions of the model.
    refused_images: BTreeMap<&'a str, u64>,
    throughput: ThroughputDocument,
    latencies: LatenciesDocument,
    cache: CacheCounts,
    /// Workers that broke and began anew; of all versions of the model.
    worker_restarts: u64,
    /// Its part in the model's shared-out and mirrored requests; only where `[traffic]` names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    traffic: Option<TrafficDocument>,
}

/// What a version gets of the requests that name none.
#[derive(Serialize, ToSchema)]
#[schema(as = TrafficPart)]
struct TrafficDocument {
    /// The share that is meant for it; `null` where it only mirrors.
    #[schema(required = true)]
    share_percent: Option<f64>,
    /// The rule of `[traffic.guard]` that it broke, with the figures: it gets nothing and mirrors nothing since. `null` where it did not.
    #[schema(required = true)]
    turned_back: Option<String>,
    /// Images that it was to run for comparison, by what became of them; `null` where it mirrors none.
    #[schema(required = true)]
    shadow_requests: Option<BTreeMap<&'static str, u64>>,
    /// Of those that were compared, the ones of which both versions say the same class.
    #[schema(required = true)]
    shadow_agreements: Option<u64>,
}

/// How it runs, and why.
#[derive(Serialize, ToSchema)]
#[schema(as = Engine)]
struct EngineDocument<'a> {
    provider: &'a str,
    precision: &'a str,
    /// Sessions side by side.
    instances: usize,
    /// Threads that share one run.
    intra_threads: usize,
    /// Threads of the session for an image that is alone; `null` where there is none.
    #[schema(required = true)]
    alone_threads: Option<usize>,
    max_batch_size: usize,
    /// What was measured, and what was chosen of it; that it was set, where it was.
    choice: &'a str,
    /// The largest difference of a probability from fp32's; `null` where they were not compared.
    #[schema(required = true)]
    probability_drift: Option<f64>,
}

/// Who waits, and what is foreseen.
#[derive(Serialize, ToSchema)]
#[schema(as = Queue)]
struct QueueDocument {
    /// Images that wait for a worker.
    waiting: usize,
    /// Images that are being decoded and will wait.
    coming: usize,
    /// Images between admission and answer.
    in_work: usize,
    /// The most that there may be: `[batching] queue_capacity`.
    capacity: usize,
    workers: usize,
    busy_workers: usize,
    /// The share of the workers that were busy in the last 10 seconds.
    load_ratio: f64,
    /// What expected times are multiplied by before they are held against a deadline: 1 takes them as they are.
    care_factor: f64,
    /// From the announcement of an image until it is decoded, of late.
    preparation_ms: f64,
    /// Images that were taken and not answered before their deadline.
    deadline_misses: u64,
    /// The share of the images refused for their deadline that would have been answered in time, by sampling.
    refused_in_vain_ratio: f64,
}

/// How long a run takes.
#[derive(Serialize, ToSchema)]
struct ServiceTime {
    images: usize,
    run_ms: f64,
    /// Whether there were such runs; else it is foreseen from other sizes.
    measured: bool,
}

/// The runs of one size.
#[derive(Serialize, ToSchema)]
#[schema(as = RunsBySize)]
struct RunsDocument {
    images: usize,
    runs: u64,
    /// The mean of a run, with the filling of its batch.
    mean_run_ms: f64,
}

/// Means over the seconds that are over.
#[derive(Serialize, ToSchema)]
#[schema(as = Throughput)]
struct ThroughputDocument {
    requests_per_second_10s: f64,
    requests_per_second_60s: f64,
    images_per_second_10s: f64,
    images_per_second_60s: f64,
}

/// Of all versions of the model, since they are served, from the histograms of `GET /metrics`.
#[derive(Serialize, ToSchema)]
#[schema(as = Latencies)]
struct LatenciesDocument {
    /// A request from its head to its answer or refusal.
    request: LatencyDocument,
    /// Decoding, resizing and cropping of an image.
    preprocess: LatencyDocument,
    /// An image's wait for a worker.
    queue: LatencyDocument,
    /// A run of the network.
    inference: LatencyDocument,
}

/// Half of the values, and 99 of 100, are no larger; within their bucket as Prometheus' `histogram_quantile` has it.
#[derive(Serialize, ToSchema)]
#[schema(as = Latency)]
struct LatencyDocument {
    count: u64,
    /// `null` before the first value.
    #[schema(required = true)]
    p50_ms: Option<f64>,
    #[schema(required = true)]
    p99_ms: Option<f64>,
}

/// Images that needed no run of their own; of all versions of the model.
#[derive(Serialize, ToSchema)]
struct CacheCounts {
    hits: u64,
    misses: u64,
    shared_runs: u64,
}

/// All of it.
pub(super) async fn stats(State(door): State<Arc<HttpDoor>>) -> Response {
    let service = door.service();
    let stats = service.stats();
    let open = |name: &'static str| (name, service.door_metrics(name).connections.get());
    let io = tokio::runtime::Handle::current().metrics().num_workers();
    let document = document(&stats, io, BTreeMap::from(["http", "grpc"].map(open)));
    reply::json(StatusCode::OK, &document, 1024 + 4096 * stats.models.len())
}

fn document<'a>(stats: &'a ServerStats, io: usize, connections: BTreeMap<&'a str, i64>) -> StatsDocument<'a> {
    let [in_flight_bytes, max_in_flight_bytes] = stats.in_flight_bytes;
    let cache = &stats.cache;
    StatsDocument {
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: rounded(stats.uptime.as_secs_f64()),
        threads: ThreadCounts { cores: stats.cores, io, decode: stats.decode_threads },
        memory: MemoryInUse {
            in_flight_bytes,
            max_in_flight_bytes,
            cache_bytes: cache.bytes,
            max_cache_bytes: cache.max_bytes,
            cache_rows: cache.rows,
            cache_evictions: cache.evictions,
        },
        connections,
        models: stats.models.iter().map(of_model).collect(),
    }
}

fn of_model(of: &VersionStats) -> ModelDocument<'_> {
    let VersionStats { model, version, info, queue, counts, latencies, .. } = of;
    let [in_work, capacity] = of.in_work;
    let [requests_per_second_10s, requests_per_second_60s] = counts.requests_a_second.map(rounded);
    let [images_per_second_10s, images_per_second_60s] = counts.images_a_second.map(rounded);
    let time = |run: &crate::service::ExpectedRun| ServiceTime {
        images: run.images,
        run_ms: rounded(run.time.as_secs_f64() * 1e3),
        measured: run.is_measured,
    };
    ModelDocument {
        name: model,
        version: *version,
        architecture: &info.architecture,
        engine: EngineDocument {
            provider: &info.provider,
            precision: &info.precision,
            instances: info.instances,
            intra_threads: info.intra_threads,
            alone_threads: info.alone_threads,
            max_batch_size: info.max_batch_size,
            choice: &info.choice,
            probability_drift: info.probability_drift,
        },
        queue: QueueDocument {
            waiting: queue.waiting,
            coming: queue.coming,
            in_work,
            capacity,
            workers: queue.workers,
            busy_workers: queue.busy_workers,
            load_ratio: rounded(queue.load),
            care_factor: rounded(queue.care_factor),
            preparation_ms: rounded(queue.preparation.as_secs_f64() * 1e3),
            deadline_misses: queue.deadline_misses,
            refused_in_vain_ratio: rounded(queue.refused_in_vain),
        },
        service_times: queue.runs.iter().map(time).collect(),
        batches: of.statistics.runs.iter().map(runs).collect(),
        refused_images: counts.refusals.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
        throughput: ThroughputDocument {
            requests_per_second_10s,
            requests_per_second_60s,
            images_per_second_10s,
            images_per_second_60s,
        },
        latencies: LatenciesDocument {
            request: latency(latencies.request),
            preprocess: latency(latencies.preprocess),
            queue: latency(latencies.queue),
            inference: latency(latencies.inference),
        },
        cache: CacheCounts { hits: counts.cache_hits, misses: counts.cache_misses, shared_runs: counts.shared_runs },
        worker_restarts: counts.worker_restarts,
        traffic: of.traffic.as_ref().map(traffic),
    }
}

fn traffic(TrafficView { share_percent, turned_back, shadow }: &TrafficView) -> TrafficDocument {
    TrafficDocument {
        share_percent: *share_percent,
        turned_back: turned_back.clone(),
        shadow_requests: shadow
            .as_ref()
            .map(|shadow| shadow.outcomes.iter().map(|(outcome, count)| (outcome.name(), *count)).collect()),
        shadow_agreements: shadow.as_ref().map(|shadow| shadow.agreements),
    }
}

fn runs(RunsOfSize { images, count, phases }: &RunsOfSize) -> RunsDocument {
    let seconds = (phases.input + phases.infer).as_secs_f64();
    RunsDocument { images: *images, runs: *count, mean_run_ms: rounded(seconds * 1e3 / (*count).max(1) as f64) }
}

fn latency(Quantiles { count, p50, p99 }: Quantiles) -> LatencyDocument {
    let ms = |seconds: f64| rounded(seconds * 1e3);
    LatencyDocument { count, p50_ms: p50.map(ms), p99_ms: p99.map(ms) }
}

/// To a thousandth: more digits are noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

pub(super) fn described() -> Described {
    let latency = json!({ "count": 30, "p50_ms": 0.8, "p99_ms": 2.4 });
    Described::new(
        Tag::Server,
        "stats",
        "The numbers behind the metrics",
        "How each model runs and why, what its queue foresees, why images were refused, how long things take.",
    )
    .answers::<StatsDocument<'_>>(
        "The server at this moment.",
        json!({
            "version": "0.1.0",
            "uptime_s": 12.5,
            "threads": { "cores": 2, "io": 1, "decode": 2 },
            "memory": {
                "in_flight_bytes": 0, "max_in_flight_bytes": 1073741824, "cache_bytes": 0, "max_cache_bytes": 0,
                "cache_rows": 0, "cache_evictions": 0,
            },
            "connections": { "grpc": 0, "http": 1 },
            "models": [{
                "name": "resnet20-cifar10",
                "version": 1,
                "architecture": "resnet20-cifar",
                "engine": {
                    "provider": "cpu", "precision": "fp32", "instances": 2, "intra_threads": 1, "alone_threads": null, "max_batch_size": 8,
                    "choice": "as set; [runtime] tune is off", "probability_drift": null,
                },
                "queue": {
                    "waiting": 0, "coming": 0, "in_work": 0, "capacity": 256, "workers": 2, "busy_workers": 0, "load_ratio": 0.02,
                    "care_factor": 1.0, "preparation_ms": 0.3, "deadline_misses": 0, "refused_in_vain_ratio": 0.0,
                },
                "service_times": [{ "images": 1, "run_ms": 0.9, "measured": true }],
                "batches": [{ "images": 1, "runs": 30, "mean_run_ms": 0.9 }],
                "refused_images": { "client_share": 0, "deadline": 0, "expired": 0, "memory": 0, "places": 0, "queue_full": 0, "target_queue": 0, "unloading": 0 },
                "throughput": {
                    "requests_per_second_10s": 3.0, "requests_per_second_60s": 0.5, "images_per_second_10s": 3.0, "images_per_second_60s": 0.5,
                },
                "latencies": { "request": latency, "preprocess": latency, "queue": latency, "inference": latency },
                "cache": { "hits": 0, "misses": 0, "shared_runs": 0 },
                "worker_restarts": 0,
            }],
        }),
    )
}
