//! A replica as a running server has seen itself under load: `GET /v1/stats`.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use hyper::{HeaderMap, header::AUTHORIZATION};
use serde::Deserialize;
use tokio::{runtime::Builder, time::timeout};

use super::basis::{Basis, replica};
use crate::{
    capacity::{Policy, Scatter},
    cli::{auth::ApiKeyArgs, tls::ClientTlsArgs},
    loadgen::{Endpoint, ServerDesk},
};

const PATIENCE: Duration = Duration::from_secs(10);
/// The document has means only. Runs of one size scattered by about this much wherever they were measured.
const SCATTER: Scatter = Scatter::LogNormal(0.1);
/// Sizes that ran less often say little.
const FEWEST_RUNS: u64 = 5;

/// `GET /v1/stats`, as far as it is reckoned with.
#[derive(Deserialize)]
struct Stats {
    threads: Threads,
    models: Vec<Model>,
}

#[derive(Deserialize)]
struct Threads {
    cores: usize,
}

#[derive(Deserialize)]
struct Model {
    name: String,
    version: u64,
    engine: Engine,
    queue: Queue,
    batches: Vec<Runs>,
}

#[derive(Deserialize)]
struct Engine {
    provider: String,
    precision: String,
    instances: usize,
    intra_threads: usize,
    max_batch_size: usize,
}

#[derive(Deserialize)]
struct Queue {
    capacity: usize,
    preparation_ms: f64,
}

#[derive(Deserialize)]
struct Runs {
    images: usize,
    runs: u64,
    mean_run_ms: f64,
}

/// * `model`: its name; the server's first one where there is none
pub(super) fn basis(url: &str, model: Option<&str>, tls: &ClientTlsArgs, key: &ApiKeyArgs) -> anyhow::Result<Basis> {
    let headers: HeaderMap = key.authorization()?.map(|key| (AUTHORIZATION, key)).into_iter().collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let asked = runtime.block_on(async { timeout(PATIENCE, ask(url, tls, headers)).await });
    runtime.shutdown_background();
    let (place, stats) = asked.with_context(|| format!("{url} says nothing for {} s", PATIENCE.as_secs()))??;
    of(stats, model, &place)
}

async fn ask(url: &str, tls: &ClientTlsArgs, headers: HeaderMap) -> anyhow::Result<(String, Stats)> {
    let endpoint = Endpoint::find_with(url, || tls.read()?.config(false)).await?;
    if tls.is_used() && !endpoint.has_tls() {
        bail!("--ca, --cert and --key mean nothing to {endpoint}: write https:// for http://");
    }
    endpoint.check().await?;
    let place = endpoint.to_string();
    let stats = ServerDesk::http1(endpoint, headers).get("/v1/stats").await?;
    Ok((place, stats))
}

fn of(stats: Stats, model: Option<&str>, place: &str) -> anyhow::Result<Basis> {
    // The highest version of a model is the last of its name.
    let first = stats.models.first().map(|first| first.name.clone());
    let wanted = model.map(str::to_owned).or(first).with_context(|| format!("{place} serves no model yet"))?;
    let found = stats.models.iter().rfind(|found| found.name == wanted);
    let Some(Model { name, version, engine, queue, batches }) = found else {
        let known: Vec<_> = stats.models.iter().map(|model| model.name.as_str()).collect();
        bail!("{place} serves no model `{wanted}`; it has {}", known.join(", "));
    };
    let seen = batches.iter().filter(|runs| runs.runs >= FEWEST_RUNS);
    let runs: Vec<(usize, f64)> = seen.map(|runs| (runs.images, runs.mean_run_ms)).collect();
    ensure!(
        !runs.is_empty(),
        "{place} has not run {name} yet, so it does not know how long that takes: put load on it (`resnetd bench --url {place}`) and ask again"
    );
    let policy = Policy {
        max_batch_size: engine.max_batch_size.max(1),
        // What it waits for on purpose is not in the document; it is off unless somebody has set it.
        max_queue_delay: Duration::ZERO,
        queue_capacity: queue.capacity,
    };
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let Engine { provider, precision, instances, intra_threads, max_batch_size } = engine;
    Ok(Basis {
        engine: format!(
            "version {version}, {provider} {precision}, {instances} session{} of {intra_threads} thread{}, batches of up to {max_batch_size}",
            plural(*instances),
            plural(*intra_threads)
        ),
        origin: format!("as {place} has seen it under load, {} cores", stats.threads.cores),
        cores: stats.threads.cores,
        replica: replica(policy, *instances, &runs, SCATTER, queue.preparation_ms)?,
        model: name.clone(),
        runs,
        scatter: SCATTER,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATS: &str = r#"{"threads":{"cores":4},"models":[
        {"name":"a","version":1,"engine":{"provider":"cpu","precision":"fp32","instances":2,"intra_threads":2,"max_batch_size":8},
         "queue":{"capacity":64,"preparation_ms":3.0},
         "batches":[{"images":1,"runs":9,"mean_run_ms":50.0},{"images":7,"runs":2,"mean_run_ms":1.0},{"images":8,"runs":5,"mean_run_ms":200.0}]},
        {"name":"b","version":3,"engine":{"provider":"cpu","precision":"int8","instances":1,"intra_threads":4,"max_batch_size":1},
         "queue":{"capacity":64,"preparation_ms":0.0},"batches":[]}]}"#;

    fn found(model: Option<&str>) -> anyhow::Result<Basis> {
        of(serde_json::from_str(STATS).expect("as the server writes it"), model, "http://a:1")
    }

    #[test]
    fn a_servers_numbers_are_a_replica() {
        let basis = found(None).expect("a basis");
        assert_eq!((basis.model.as_str(), basis.cores, basis.replica.sessions), ("a", 4, 2));
        assert_eq!(basis.runs, [(1, 50.0), (8, 200.0)], "two runs of seven say little");
        assert_eq!(basis.replica.preparation, Duration::from_millis(3));
        assert!((basis.replica.most_images_per_second() - 80.0).abs() < 1e-9);
        assert!(basis.engine.contains("2 sessions of 2 threads"), "{}", basis.engine);
    }

    #[test]
    fn a_model_that_never_ran_or_is_not_there_is_said() {
        let error = found(Some("b")).err().expect("no run").to_string();
        assert!(error.contains("resnetd bench --url http://a:1"), "{error}");
        let error = found(Some("c")).err().expect("no model").to_string();
        assert!(error.contains("no model `c`") && error.contains("a, b"), "{error}");
    }
}
