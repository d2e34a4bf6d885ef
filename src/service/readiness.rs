//! Whether traffic may come.

/// Whether a load balancer should send requests here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// At least one model still warms up and none has been served yet.
    Loading,
    /// Models answer.
    Ready,
    /// Models answered once, and the last of them has broken down.
    Broken,
    /// The process is about to leave: requests are still answered, but new ones should go elsewhere.
    Draining,
}
