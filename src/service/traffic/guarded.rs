//! A guard with whose it is, and what happens when a rule is broken: a line of the log and a count.

use std::{sync::Arc, time::Instant};

use super::guard::{Guard, Outcome};
use crate::telemetry::TrafficFamilies;

/// What belongs to a version's guard: whose it is, for the line and the count when it breaks a rule.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) guard: Guard,
    pub(super) model: Arc<str>,
    pub(super) version: u64,
    /// The clock of its windows.
    pub(super) began: Instant,
    pub(super) families: Arc<TrafficFamilies>,
}

impl Guarded {
    /// Counts an outcome; the one that breaks a rule turns the version back.
    pub(super) fn note(&self, outcome: Outcome) {
        if let Some(broken) = self.guard.note(self.began.elapsed(), outcome) {
            let rule = broken.rule();
            self.families.tripped(&self.model, self.version, rule).inc();
            tracing::warn!(
                model = &*self.model,
                version = self.version,
                rule = rule.name(),
                "turned back: {broken}; the default version gets its requests until [traffic] in model.toml changes, the version is loaded \
                 again, or the server is started again"
            );
        }
    }
}
