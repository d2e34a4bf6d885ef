//! What choosing how a model is run comes to: the plan, and the report of it for people.

use crate::{
    runtime::Engine,
    tune::{Candidate, Measurement, cache::Found},
};

/// How a model is run.
#[derive(Clone, Debug)]
pub(super) struct EnginePlan {
    pub(super) candidate: Candidate,
    /// The session for an image that is alone, where it is another one.
    pub(super) alone: Option<Candidate>,
    pub(super) max_batch_size: usize,
    /// The largest difference of a probability from the reference's; `None` where they were not compared.
    pub(super) probability_drift: Option<f64>,
    /// With all sessions busy; `None` where nothing was measured.
    pub(super) images_per_second: Option<f64>,
    /// Why this plan, for the log and the metadata.
    pub(super) reason: String,
}

/// What was found out about a model on this machine, for people.
#[derive(Clone, Debug)]
pub struct TuningReport {
    /// What was measured, which row was chosen, and why. The first row is the default: what would be used without
    /// measuring.
    pub found: Found,
    /// What was not measured, and why.
    pub passed_over: Vec<(Candidate, String)>,
    /// The processor's name.
    pub processor: String,
    /// Whether the network's weights are integers. An engine's precision then applies only to the layers that stayed in
    /// floats.
    pub quantized: bool,
}

impl TuningReport {
    /// The arithmetic that an engine computes this network in, as `/metadata` names it.
    pub fn precision(&self, engine: Engine) -> &'static str {
        if self.quantized { "int8" } else { engine.precision.name() }
    }
}

/// What becomes of the measurements of earlier loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// They are taken over.
    Counts,
    /// They turned out wrong: it is measured again, and that takes their place.
    IsPassedOver,
}

impl EnginePlan {
    pub(super) fn of(row: &Measurement, alone: Option<&Measurement>, reason: String) -> Self {
        let also = |alone: &Measurement| {
            let (shape, ms) = (alone.candidate.shape, alone.alone_ms);
            format!("; an image that is alone has a session of its own, {shape}: {ms:.2} ms")
        };
        let reason = reason + &alone.map(also).unwrap_or_default();
        Self {
            candidate: row.candidate,
            alone: alone.map(|alone| alone.candidate),
            max_batch_size: row.batch_size,
            probability_drift: row.drift.map(|drift| drift.probability),
            images_per_second: Some(row.images_per_second),
            reason,
        }
    }
}
