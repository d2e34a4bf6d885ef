//! `GET …/stats`: what models have done, in the shape of Triton's statistics.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::path::NamedVersion;
use crate::{
    server::http::{door::HttpDoor, error::Failure, reply},
    service::{Error, RunStatistics, RunsOfSize, TimedCount, VersionStatistics},
};

#[derive(Serialize, ToSchema)]
#[schema(as = Statistics)]
pub(super) struct StatisticsDocument {
    /// An entry a version.
    model_stats: Vec<ModelStats>,
}

/// What a version has done since it is served.
#[derive(Serialize, ToSchema)]
struct ModelStats {
    name: String,
    version: String,
    /// Milliseconds since 1970; 0: never.
    last_inference: u64,
    /// Pictures or tensors.
    inference_count: u64,
    /// Runs of the network.
    execution_count: u64,
    inference_stats: InferenceStats,
    response_stats: Nothing,
    /// By the number of images in a run.
    batch_stats: Vec<BatchStats>,
    /// Always empty.
    #[schema(value_type = Vec<u8>)]
    memory_usage: [u8; 0],
}

/// An object without entries.
#[derive(Serialize, ToSchema)]
#[schema(as = ResponseStats)]
struct Nothing {}

/// Of requests; of several images in one the one counts that took longest.
#[derive(Serialize, ToSchema)]
struct InferenceStats {
    success: Counted,
    fail: Counted,
    queue: Counted,
    compute_input: Counted,
    compute_infer: Counted,
    compute_output: Counted,
    /// Answered of what is kept (`[cache]`): looking for it. They are in no `compute_…`.
    cache_hit: Counted,
    /// Looked for what is kept in vain: looking for it and keeping it.
    cache_miss: Counted,
}

/// Of runs with so many images.
#[derive(Serialize, ToSchema)]
struct BatchStats {
    batch_size: usize,
    compute_input: Counted,
    compute_infer: Counted,
    compute_output: Counted,
}

/// How often, and how long all together.
#[derive(Serialize, ToSchema)]
struct Counted {
    count: u64,
    /// Nanoseconds.
    ns: u64,
}

/// Of every version of every model.
pub(super) async fn of_all(State(door): State<Arc<HttpDoor>>) -> Result<Response, Failure> {
    Ok(answer(door.service().statistics(None, None))?)
}

/// Of one model, or of one version of it.
pub(super) async fn of_model(State(door): State<Arc<HttpDoor>>, path: NamedVersion) -> Result<Response, Failure> {
    Ok(answer(door.service().statistics(Some(path.model()?), path.version()?))?)
}

fn answer(versions: Result<Vec<VersionStatistics>, Error>) -> Result<Response, Error> {
    let model_stats: Vec<_> = versions?.into_iter().map(model_stats).collect();
    let capacity = 64 + 1024 * model_stats.len();
    Ok(reply::json(StatusCode::OK, &StatisticsDocument { model_stats }, capacity))
}

fn model_stats(version: VersionStatistics) -> ModelStats {
    let VersionStatistics { model, version, statistics } = version;
    let last = statistics.last.and_then(|last| last.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    ModelStats {
        name: model.to_string(),
        version: version.to_string(),
        last_inference: u64::try_from(last.as_millis()).unwrap_or(u64::MAX),
        inference_count: statistics.images(),
        execution_count: statistics.executions(),
        inference_stats: inference_stats(&statistics),
        response_stats: Nothing {},
        batch_stats: statistics.runs.iter().map(batch_stats).collect(),
        memory_usage: [],
    }
}

fn inference_stats(statistics: &RunStatistics) -> InferenceStats {
    let RunStatistics { success, fail, requests, phases, cache_hit, cache_miss, .. } = statistics;
    let of = |time| counted(statistics.computed(), time);
    let sum = |TimedCount { count, time }: TimedCount| counted(count, time);
    InferenceStats {
        success: sum(*success),
        fail: sum(*fail),
        queue: counted(*requests, phases.queue),
        compute_input: of(phases.input),
        compute_infer: of(phases.infer),
        compute_output: of(phases.output),
        cache_hit: sum(*cache_hit),
        cache_miss: sum(*cache_miss),
    }
}

fn batch_stats(RunsOfSize { images, count, phases }: &RunsOfSize) -> BatchStats {
    BatchStats {
        batch_size: *images,
        compute_input: counted(*count, phases.input),
        compute_infer: counted(*count, phases.infer),
        compute_output: counted(*count, phases.output),
    }
}

fn counted(count: u64, time: Duration) -> Counted {
    Counted { count, ns: u64::try_from(time.as_nanos()).unwrap_or(u64::MAX) }
}
