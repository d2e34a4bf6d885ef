//! Histograms that remember, for each bucket, the trace of the last recorded request in it.

use std::time::{Duration, SystemTime};

use prometheus_client::{encoding::EncodeLabelSet, metrics::exemplar::HistogramWithExemplars};

use super::trace_parent::TraceId;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct TraceLabel {
    trace_id: String,
}

/// A histogram of what requests wait for.
pub(super) type TracedHistogram = HistogramWithExemplars<TraceLabel>;

/// Counts a time.
///
/// * `trace`: of a request that is recorded; without one nothing is allocated
pub(super) fn observe(histogram: &TracedHistogram, time: Duration, trace: Option<TraceId>) {
    let label = trace.map(|trace| TraceLabel { trace_id: trace.to_string() });
    let at = label.as_ref().map(|_| SystemTime::now());
    histogram.observe(time.as_secs_f64(), label, at);
}
