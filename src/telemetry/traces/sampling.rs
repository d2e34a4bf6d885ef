//! Which requests are recorded. Pure.

use crate::telemetry::trace_parent::TraceParent;

/// Who decides, and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sampling {
    /// A trace whose lower 63 bits are below this is recorded.
    below: u64,
    parent_based: bool,
}

impl Sampling {
    /// * `ratio`: 0 to 1, of the requests whose callers do not decide
    /// * `parent_based`: whether callers may
    pub(super) fn new(ratio: f64, parent_based: bool) -> Self {
        Self { below: (ratio.clamp(0.0, 1.0) * (1u64 << 63) as f64) as u64, parent_based }
    }

    /// Whether a request is recorded. By its trace's id, as OpenTelemetry's `TraceIdRatioBased` has it, so that servers of the same
    /// ratio record the same traces.
    pub(super) fn keeps(self, parent: Option<TraceParent>, trace_id: u128) -> bool {
        match parent {
            Some(parent) if self.parent_based => parent.sampled,
            _ => trace_id as u64 >> 1 < self.below,
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{SpanKind, TraceId};
    use opentelemetry_sdk::trace::{Sampler, SamplingDecision, ShouldSample as _};

    use super::*;

    fn parent(sampled: bool) -> Option<TraceParent> {
        Some(TraceParent { trace_id: u128::MAX, span_id: 1, sampled })
    }

    #[test]
    fn a_caller_decides_where_it_may() {
        for ratio in [0.0, 1.0] {
            assert!(Sampling::new(ratio, true).keeps(parent(true), u128::MAX));
            assert!(!Sampling::new(ratio, true).keeps(parent(false), u128::MAX));
            assert_eq!(Sampling::new(ratio, false).keeps(parent(true), u128::MAX), ratio == 1.0);
        }
    }

    #[test]
    fn the_same_traces_are_recorded_as_by_the_librarys_own_sampler() {
        // A sequence of Weyl: as even as chance, and the same each time.
        let ids = (1..2_000u128).map(|step| step.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
        for ratio in [0.0, 0.01, 0.5, 1.0] {
            let (ours, theirs) = (Sampling::new(ratio, true), Sampler::TraceIdRatioBased(ratio));
            let mut kept = 0;
            for id in ids.clone() {
                let decision =
                    theirs.should_sample(None, TraceId::from(id), "request", &SpanKind::Server, &[], &[]).decision;
                assert_eq!(ours.keeps(None, id), decision == SamplingDecision::RecordAndSample, "{id:x} {ratio}");
                kept += usize::from(ours.keeps(None, id));
            }
            assert!((kept as f64 - ratio * 1_999.0).abs() < 5.0, "{kept} of {ratio}");
        }
    }
}
