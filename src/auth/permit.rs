//! What somebody may who was let in, whatever they showed, and how much of it.

use std::{sync::Arc, time::Instant};

use super::{
    allowance::{Allowance, InUse, Limits, Spent},
    key_file::Right,
};
use crate::telemetry::{KeyMeter, KeyMetrics, KeyOutcome};

/// Rights, models and limits, and what was used of them.
#[derive(Debug)]
pub struct Permit {
    rights: Vec<Right>,
    models: Vec<String>,
    allowance: Allowance,
    meter: KeyMeter,
}

impl Permit {
    /// * `name`: what the metrics call it
    pub(super) fn new(
        name: &Arc<str>,
        (rights, models): (&[Right], &[String]),
        limits: &Limits,
        metrics: &KeyMetrics,
    ) -> Self {
        let (allowance, meter) = (Allowance::of(limits), metrics.key(name));
        Self { rights: rights.to_vec(), models: models.to_vec(), allowance, meter }
    }

    /// Whether it allows that. Whoever manages models may look at them.
    pub fn may(&self, right: Right) -> bool {
        let has = |right| self.rights.contains(&right);
        has(right) || (right == Right::Read && has(Right::Manage))
    }

    /// What it allows, as it is written.
    pub fn rights(&self) -> String {
        self.rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(", ")
    }

    /// Whether it is for that model.
    pub fn is_for(&self, model: &str) -> bool {
        self.models.iter().any(|name| name == "*" || name == model)
    }

    /// Whether there are no models that it is not for.
    pub fn is_for_all(&self) -> bool {
        self.models.iter().any(|name| name == "*")
    }

    /// A request begins.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn begin(&self, now: Instant) -> Result<InUse, Spent> {
        let begun = self.allowance.begin(&self.meter, now);
        self.meter.note(if begun.is_ok() { KeyOutcome::Admitted } else { KeyOutcome::Limited });
        begun
    }

    /// So many images are to be looked at.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn images(&self, count: usize, now: Instant) -> Result<(), Spent> {
        match self.allowance.images(count, now) {
            Ok(()) => self.meter.note_images(count),
            Err(spent) => {
                self.meter.note(KeyOutcome::Limited);
                return Err(spent);
            }
        }
        Ok(())
    }

    /// Counts a request that it does not allow.
    pub fn note_denied(&self) {
        self.meter.note(KeyOutcome::Denied);
    }
}
