//! What can be told of a version's part in its model's traffic.

use crate::telemetry::ShadowOutcome;

/// The part of one version that `[traffic]` names.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficView {
    /// Percent of the requests without a version that are meant for it; `None` where it only mirrors.
    pub share_percent: Option<f64>,
    /// Why it gets none of them any more, and mirrors nothing.
    pub turned_back: Option<String>,
    /// What became of the images that it mirrors, where it does.
    pub shadow: Option<ShadowView>,
}

/// The images of a version that mirrors.
#[derive(Clone, Debug, PartialEq)]
pub struct ShadowView {
    /// By what became of them.
    pub outcomes: [(ShadowOutcome, u64); ShadowOutcome::ALL.len()],
    /// Of those that were compared, the ones of which both versions say the same class.
    pub agreements: u64,
}
