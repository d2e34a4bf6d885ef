//! How much was done in the last seconds. Pure: the second is given.

use std::sync::atomic::{AtomicU64, Ordering};

/// A second has its place again after so many.
const SECONDS: u64 = 64;

/// A place is its second, and in so many lower bits what was counted in it.
const COUNT_BITS: u32 = 28;
const MOST: u64 = (1 << COUNT_BITS) - 1;

/// Counts of the last minute by second.
#[derive(Debug)]
pub(super) struct Recent([AtomicU64; SECONDS as usize]);

impl Recent {
    pub(super) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; SECONDS as usize])
    }

    /// Counts `more` in this second.
    pub(super) fn add(&self, second: u64, more: u64) {
        let Some(place) = self.0.get((second % SECONDS) as usize) else { return };
        let add = |old: u64| {
            let so_far = if old >> COUNT_BITS == second { old & MOST } else { 0 };
            Some(second << COUNT_BITS | (so_far + more).min(MOST))
        };
        // It gives a number each time.
        let _ = place.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// The mean a second over so many that are over, at most a minute; of those since the first where there are fewer.
    pub(super) fn a_second(&self, now: u64, seconds: u64) -> f64 {
        let seconds = seconds.min(now).min(SECONDS - 2);
        let of = |second: u64| {
            let place = self.0.get((second % SECONDS) as usize).map_or(0, |place| place.load(Ordering::Relaxed));
            if place >> COUNT_BITS == second { place & MOST } else { 0 }
        };
        let sum: u64 = (now - seconds..now).map(of).sum();
        sum as f64 / seconds.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_that_are_over_count_as_long_as_they_are_asked_for() {
        let recent = Recent::new();
        (0..100).for_each(|second| recent.add(second, 5));
        recent.add(99, 5);
        recent.add(100, 1_000);
        assert_eq!(recent.a_second(100, 10), 5.5, "the second that is not over does not count");
        assert_eq!(recent.a_second(100, 1), 10.0);
        assert_eq!(recent.a_second(130, 60), (30.0 * 5.0 + 5.0 + 1_000.0) / 60.0);
        assert_eq!(recent.a_second(300, 60), 0.0);
    }

    #[test]
    fn what_has_just_begun_is_not_divided_by_seconds_that_were_not() {
        let recent = Recent::new();
        recent.add(0, 8);
        assert_eq!(recent.a_second(0, 10), 0.0);
        assert_eq!(recent.a_second(2, 10), 4.0);
        recent.add(3, u64::MAX >> 40);
        assert_eq!(recent.a_second(4, 1), (u64::MAX >> 40) as f64);
    }
}
