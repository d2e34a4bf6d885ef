//! What a run is to do. Numbers only.

use std::time::Duration;

use super::arrivals::Arrivals;

/// How requests follow each other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each of so many clients waits for its answer before it asks again.
    Closed {
        /// The clients.
        clients: usize,
    },
    /// Requests come when they come, whether or not earlier ones were answered.
    Open {
        /// Requests a second.
        rate: f64,
        /// How their moments lie.
        arrivals: Arrivals,
        /// Of the random moments.
        seed: u64,
        /// What comes while so many are unanswered is not sent, and counted.
        most_outstanding: usize,
    },
}

/// One run.
#[derive(Clone, Copy, Debug)]
pub struct LoadPlan {
    /// Its pace.
    pub pace: Pace,
    /// Requests that are sent before anything counts.
    pub warm_up: Duration,
    /// How long requests are sent that count; for ever where only their number ends it.
    pub duration: Option<Duration>,
    /// How many are sent that count.
    pub requests: Option<u64>,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// What an answer is worth only in: an answer that comes later is no goodput.
    pub deadline: Option<Duration>,
    /// Pictures a request has.
    pub images: usize,
}
