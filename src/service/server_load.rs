//! How loaded a server is, for whoever shares requests out among several of them; and the last such report, which holds for a moment.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// A report is as old as this at most: with thousands of answers a second, not each asks all queues.
const FRESH: Duration = Duration::from_millis(100);

/// What the server is like at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ServerLoad {
    /// The load of the model that is nearest to its limit, as `resnetd_load_ratio`: 0 idle, 1 saturated.
    pub utilization: f64,
    /// Requests answered a second, of all models, in the last ten seconds that are over.
    pub requests_a_second: f64,
    /// Images that wait for a worker, of all models.
    pub waiting: usize,
}

/// The last report.
#[derive(Debug, Default)]
pub(super) struct LastLoad(Mutex<Option<(Instant, ServerLoad)>>);

impl LastLoad {
    /// The last report where it is fresh, else one that `look` makes. Whoever asks meanwhile waits for it: it takes microseconds.
    pub(super) fn get(&self, now: Instant, look: impl FnOnce() -> ServerLoad) -> ServerLoad {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match *last {
            Some((at, report)) if now.saturating_duration_since(at) < FRESH => report,
            _ => last.insert((now, look())).1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_made_anew_when_it_is_no_longer_fresh() {
        let (last, now) = (LastLoad::default(), Instant::now());
        let at = |milliseconds: u64, waiting| {
            last.get(now + Duration::from_millis(milliseconds), || ServerLoad { waiting, ..ServerLoad::default() })
                .waiting
        };
        assert_eq!([at(0, 1), at(99, 2), at(100, 3), at(150, 4), at(300, 5)], [1, 1, 3, 3, 5]);
    }
}
