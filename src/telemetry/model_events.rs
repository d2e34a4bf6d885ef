//! How often versions of models came, failed to come, and made room for others. Knows no request.

use prometheus_client::{encoding::EncodeLabelSet, metrics::family::Family, registry::Registry};

use super::count::Count;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EventLabels {
    model: String,
    version: u64,
}

/// What became of the loads of each version.
#[derive(Clone, Debug, Default)]
pub struct ModelEvents {
    loads: Family<EventLabels, Count>,
    failures: Family<EventLabels, Count>,
    evictions: Family<EventLabels, Count>,
}

impl ModelEvents {
    pub(super) fn register(&self, registry: &mut Registry) {
        for (name, help, family) in [
            ("model_loads_total", "Loads of a version that was served then", &self.loads),
            (
                "model_load_failures_total",
                "Loads of a version that failed; what was served before goes on",
                &self.failures,
            ),
            (
                "model_evictions_total",
                "How often a version was unloaded to make room for another model",
                &self.evictions,
            ),
        ] {
            registry.register(name, help, family.clone());
        }
    }

    /// Counts a load that came to its end.
    pub fn note_load(&self, model: &str, version: u64) {
        note(&self.loads, model, version);
    }

    /// Counts a load that failed, of a version that is on disk.
    pub fn note_failure(&self, model: &str, version: u64) {
        note(&self.failures, model, version);
    }

    /// Counts a version that made room.
    pub fn note_eviction(&self, model: &str, version: u64) {
        note(&self.evictions, model, version);
    }

    /// The version is gone, and so is what was counted of it.
    pub(super) fn end(&self, model: &str, version: u64) {
        for family in [&self.loads, &self.failures, &self.evictions] {
            family.remove(&labels(model, version));
        }
    }
}

fn note(family: &Family<EventLabels, Count>, model: &str, version: u64) {
    family.get_or_create(&labels(model, version)).0.inc();
}

fn labels(model: &str, version: u64) -> EventLabels {
    EventLabels { model: model.to_owned(), version }
}
