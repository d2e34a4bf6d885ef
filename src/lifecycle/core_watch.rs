//! Whether the cores that the process may use have become more or fewer: its affinity or its container's quota was changed while it
//! runs. Pure: time is given.

use std::time::{Duration, Instant};

/// As long a new number must stay for anything to follow it: what follows takes seconds of work, and an autoscaler may try.
const STEADY: Duration = Duration::from_secs(10);

/// What is known of the cores.
#[derive(Debug)]
pub(super) struct CoreWatch {
    known: usize,
    /// Another number, and since when it was seen.
    other: Option<(usize, Instant)>,
}

/// The number of cores has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CoreChange {
    pub(super) from: usize,
    pub(super) to: usize,
}

impl CoreWatch {
    pub(super) fn new(cores: usize) -> Self {
        Self { known: cores, other: None }
    }

    /// How many there are, as far as it is certain.
    pub(super) fn known(&self) -> usize {
        self.known
    }

    /// There are so many at this moment; something if they have changed for good.
    pub(super) fn look(&mut self, cores: usize, now: Instant) -> Option<CoreChange> {
        if cores == self.known {
            self.other = None;
            return None;
        }
        match self.other {
            Some((other, since)) if other == cores => {
                if now.saturating_duration_since(since) < STEADY {
                    return None;
                }
                let change = CoreChange { from: self.known, to: cores };
                (self.known, self.other) = (cores, None);
                Some(change)
            }
            _ => {
                self.other = Some((cores, now));
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The changes that are seen when it is looked every five seconds.
    fn seen(looks: &[usize]) -> Vec<(u64, CoreChange)> {
        let (start, mut watch) = (Instant::now(), CoreWatch::new(4));
        let looks = (0u64..).step_by(5).zip(looks);
        looks.filter_map(|(at, cores)| Some((at, watch.look(*cores, start + Duration::from_secs(at))?))).collect()
    }

    #[test]
    fn a_number_that_stays_is_told_once() {
        assert_eq!(seen(&[4, 2, 2, 2, 2, 2]), [(15, CoreChange { from: 4, to: 2 })]);
        assert_eq!(
            seen(&[2, 2, 2, 4, 4, 4, 4]),
            [(10, CoreChange { from: 4, to: 2 }), (25, CoreChange { from: 2, to: 4 })]
        );
    }

    #[test]
    fn a_number_that_comes_and_goes_is_passed_over() {
        assert_eq!(seen(&[2, 2, 4, 2, 2, 4, 3, 3, 2, 2]), []);
    }
}
