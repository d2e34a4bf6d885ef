//! A replica as `resnetd capacity --format json` describes it, under `replica`.

use std::{path::Path, time::Duration};

use anyhow::{Context, Result};
use resnetd::capacity::{Policy, ReplicaModel, RunTimes, Scatter};
use serde::Deserialize;

/// ResNet-50 in fp32 on two cores of an AMD EPYC (Zen 4), as docs/load.md has it: two sessions of one thread, 84 ms for a lone picture, 22.5 pictures a
/// second together. Scatter and the time of decoding are assumed.
const RESNET50: &str = r#"{"sessions":2,"max_batch_size":8,"max_queue_delay_us":0,"queue_capacity":256,"preparation_ms":3.0,
    "runs":[{"images":1,"ms":84.0},{"images":8,"ms":711.0}],"run_log_deviation":0.05}"#;

#[derive(Deserialize)]
pub(crate) struct ReplicaSpec {
    sessions: usize,
    max_batch_size: usize,
    max_queue_delay_us: u64,
    queue_capacity: usize,
    preparation_ms: f64,
    runs: Vec<MeasuredRun>,
    run_log_deviation: f64,
}

#[derive(Deserialize)]
struct MeasuredRun {
    images: usize,
    ms: f64,
}

impl ReplicaSpec {
    /// The built-in one.
    pub(crate) fn resnet50() -> Result<Self> {
        Ok(serde_json::from_str(RESNET50)?)
    }

    /// From a file that `resnetd capacity --format json` has written.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).with_context(|| path.display().to_string())?;
        let mut document: serde_json::Value = serde_json::from_slice(&text)?;
        serde_json::from_value(document["replica"].take())
            .context("it has no `replica` as `resnetd capacity --format json` writes it")
    }

    pub(crate) fn model(&self) -> Result<ReplicaModel> {
        let ms = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).context("no time");
        let runs = self.runs.iter().map(|run| Ok((run.images, ms(run.ms)?))).collect::<Result<Vec<_>>>()?;
        let scatter =
            if self.run_log_deviation > 0.0 { Scatter::LogNormal(self.run_log_deviation) } else { Scatter::Even };
        Ok(ReplicaModel {
            policy: Policy {
                max_batch_size: self.max_batch_size,
                max_queue_delay: Duration::from_micros(self.max_queue_delay_us),
                queue_capacity: self.queue_capacity,
            },
            sessions: self.sessions,
            times: RunTimes::new(&runs, scatter).context("it has no run")?,
            preparation: ms(self.preparation_ms)?,
        })
    }
}
