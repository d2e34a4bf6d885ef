//! What is reckoned with: a replica as it was measured, and where that comes from.

use std::time::Duration;

use anyhow::Context;

use crate::{
    capacity::{Policy, ReplicaModel, RunTimes, Scatter},
    cli::subject::TuneSubject,
    model::TuningReport,
    service::cores,
    tune::{Candidate, Circumstances, Measurement},
};

/// A replica, and how it came to be known.
pub(super) struct Basis {
    pub(super) model: String,
    /// How it is run, in words.
    pub(super) engine: String,
    /// When and where it was measured, in words.
    pub(super) origin: String,
    /// Cores of a replica.
    pub(super) cores: usize,
    /// What was measured: images of a run, milliseconds.
    pub(super) runs: Vec<(usize, f64)>,
    /// How those runs differ.
    pub(super) scatter: Scatter,
    pub(super) replica: ReplicaModel,
}

impl Basis {
    /// From what [`tune`](crate::tune) has measured: a run takes what it took while all sessions were busy and a picture was decoded for each
    /// image on the same cores.
    pub(super) fn measured(
        subject: &TuneSubject,
        report: &TuningReport,
        taken: Option<&Circumstances>,
    ) -> anyhow::Result<Self> {
        let chosen = &report.found.chosen;
        let Candidate { engine, shape } = chosen.candidate;
        let same = |row: &&Measurement| row.candidate == chosen.candidate && row.batch_size <= chosen.batch_size;
        let busy = |row: &Measurement| {
            let seconds = (shape.instances * row.batch_size) as f64 / row.images_per_second;
            (row.batch_size, seconds * 1e3)
        };
        let mut runs: Vec<(usize, f64)> = report.found.measurements.iter().filter(same).map(busy).collect();
        // A start measures one size only; how long a lone image takes is always there.
        if runs.iter().all(|(images, _)| *images > 1) {
            runs.insert(0, (1, chosen.alone_ms));
        }
        let scatter = Scatter::between(chosen.p50_ms, chosen.p99_ms);
        let batching = &subject.manifest.batching;
        let policy = Policy {
            max_batch_size: chosen.batch_size,
            max_queue_delay: Duration::from_micros(batching.max_queue_delay_us),
            queue_capacity: batching.queue_capacity,
        };
        let when = taken.map_or_else(|| "just now".to_owned(), ToString::to_string);
        Ok(Self {
            model: subject.name.clone(),
            engine: format!(
                "{} {}, {shape}, batches of up to {}",
                engine.provider,
                report.precision(engine),
                chosen.batch_size
            ),
            origin: format!("measured {when} on {}, {} cores", report.processor, cores()),
            cores: cores(),
            replica: replica(policy, shape.instances, &runs, scatter, report.found.preparation_ms.unwrap_or(0.0))?,
            runs,
            scatter,
        })
    }
}

/// * `runs`: images, milliseconds
pub(super) fn replica(
    policy: Policy,
    sessions: usize,
    runs: &[(usize, f64)],
    scatter: Scatter,
    preparation_ms: f64,
) -> anyhow::Result<ReplicaModel> {
    let ms = |ms: f64| Duration::try_from_secs_f64(ms / 1e3).unwrap_or_default();
    let measured: Vec<_> = runs.iter().map(|(images, time)| (*images, ms(*time))).collect();
    let times = RunTimes::new(&measured, scatter).context("they have no time of a run")?;
    Ok(ReplicaModel { policy, sessions: sessions.max(1), times, preparation: ms(preparation_ms) })
}
