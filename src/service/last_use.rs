//! When a model was used last, for whoever has to choose one that can go. Pure: the time is given.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// Written by every request, read when room is needed.
#[derive(Debug)]
pub(super) struct LastUse {
    since: Instant,
    after_ns: AtomicU64,
}

impl LastUse {
    /// It is used now for the first time.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, after_ns: AtomicU64::new(0) }
    }

    pub(super) fn note(&self, now: Instant) {
        let after = now.saturating_duration_since(self.since);
        self.after_ns.store(u64::try_from(after.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn at(&self) -> Instant {
        self.since + Duration::from_nanos(self.after_ns.load(Ordering::Relaxed))
    }
}

impl Clone for LastUse {
    fn clone(&self) -> Self {
        Self { since: self.since, after_ns: AtomicU64::new(self.after_ns.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_is_told_and_a_copy_goes_its_own_way() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let used = LastUse::new(start);
        assert_eq!(used.at(), start);
        used.note(at(5));
        let copy = used.clone();
        used.note(at(7));
        assert_eq!((used.at(), copy.at()), (at(7), at(5)));
    }
}
