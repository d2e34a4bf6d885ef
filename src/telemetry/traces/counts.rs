//! What became of spans.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::telemetry::count::Count;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: &'static str,
}

/// The family of all outcomes.
#[derive(Debug, Default)]
pub(in crate::telemetry) struct SpanFamilies(Family<OutcomeLabel, Count>);

impl SpanFamilies {
    pub(in crate::telemetry) fn register(&self, registry: &mut Registry) {
        registry.register("spans_total", "Spans of recorded requests, by what became of them", self.0.clone());
    }

    /// The handles, which make the series appear.
    pub(in crate::telemetry) fn counts(&self) -> SpanCounts {
        let of = |outcome| self.0.get_or_create_owned(&OutcomeLabel { outcome }).0;
        SpanCounts { exported: of("exported"), queue_full: of("queue_full"), failed: of("export_failed") }
    }
}

/// Counts what becomes of spans.
#[derive(Clone, Debug, Default)]
pub struct SpanCounts {
    /// The collector has them.
    pub exported: Counter,
    /// Lost: as many as may wait did.
    pub queue_full: Counter,
    /// Lost: the collector did not take them.
    pub failed: Counter,
}
