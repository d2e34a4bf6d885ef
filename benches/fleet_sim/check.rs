//! Predictions beside what real replicas did behind a real proxy: runs as `against_real.py` writes them.

use std::{fmt::Write as _, fs, path::Path, time::Duration};

use anyhow::{Context, Result};
use serde::Deserialize;

use crate::{balance::Rule, fleet::Fleet, spec::ReplicaSpec, traffic::Shape};

#[derive(Deserialize)]
struct RealRun {
    model: String,
    proxy: String,
    replicas: usize,
    /// Pictures a second that were asked for.
    rate: f64,
    seconds: f64,
    deadline_ms: f64,
    /// One replica alone, with nobody beside it.
    replica: ReplicaSpec,
    /// What a lone picture's answer takes beside decoding and run, through the proxy.
    hop_ms: f64,
    measured: Measured,
}

#[derive(Deserialize)]
struct Measured {
    p50_ms: f64,
    p99_ms: f64,
    goodput: f64,
}

pub(crate) fn predicted_and_measured(file: &Path) -> Result<String> {
    let text = fs::read(file).with_context(|| file.display().to_string())?;
    let runs: Vec<RealRun> = serde_json::from_slice(&text).context("not as against_real.py writes it")?;
    let mut table = "| model | proxy | replicas | images/s (load) | p50: predicted, measured | p99: predicted, measured | in time: predicted, measured |\n\
                     | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for run in &runs {
        let model = run.replica.model()?;
        let load = run.rate / (run.replicas as f64 * model.most_images_per_second());
        let fleet = Fleet {
            replica: model,
            count: run.replicas,
            slow: (0, 1.0),
            // Envoy's least request is the better of two.
            rule: if run.proxy == "envoy" { Rule::PowerOfTwo } else { Rule::LeastRequest },
            balancers: 1,
            shape: Shape::Steady,
            rate: run.rate,
            hop: Duration::from_secs_f64(run.hop_ms / 1e3),
            deadline: Duration::from_secs_f64(run.deadline_ms / 1e3),
            warm_up: Duration::from_secs(5),
            // Longer than the real run: its own scatter is not to be in the prediction.
            length: Duration::from_secs_f64(run.seconds * 20.0),
            scaler: None,
            seed: 1,
        };
        let found = fleet.run();
        let Measured { p50_ms, p99_ms, goodput } = run.measured;
        let _ = writeln!(
            table,
            "| {} | {} | {} | {:.0} ({load:.2}) | {:.1}, {p50_ms:.1} ms | {:.1}, {p99_ms:.1} ms | {:.2}, {:.2} % |",
            run.model,
            run.proxy,
            run.replicas,
            run.rate,
            found.p50,
            found.p99,
            100.0 * found.goodput(),
            100.0 * goodput
        );
    }
    Ok(table)
}
