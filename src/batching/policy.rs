//! How many of the waiting jobs an idle worker takes, and when. Pure: no clock, no lock.

use std::time::Duration;

/// The limits of a model's queue and batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The most images of one run.
    pub max_batch_size: usize,
    /// How long the first image may wait for others although a worker is idle.
    pub max_queue_delay: Duration,
    /// The most images that wait; one more is refused.
    pub queue_capacity: usize,
}

impl Policy {
    /// Whether a run takes no more than it gains by. Whoever is asked to wait for others is meant to run with them.
    pub fn keeps_runs_small(&self) -> bool {
        self.max_queue_delay.is_zero()
    }
}

/// How urgent a job is, in Triton's numbers: 1 overtakes everything that waits, larger numbers overtake what is larger
/// still. Jobs of one priority keep their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(pub u32);

impl Priority {
    /// What a request has that says nothing.
    pub const DEFAULT: Self = Self(100);

    /// What work has that fills what others leave.
    pub const BULK: Self = Self(200);

    /// What nobody waits for: run where nothing else is to be run, and in no count of what is served.
    pub const SHADOW: Self = Self(u32::MAX);

    /// The last that somebody may ask for.
    pub const LAST: Self = Self(u32::MAX - 1);
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an idle worker does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Takes so many of the oldest jobs.
    Take(usize),
    /// Waits for more jobs, but no longer than this.
    WaitFor(Duration),
    /// Waits for a first job.
    Sleep,
}

/// Decides for one idle worker.
///
/// * `waiting`: jobs in the queue
/// * `oldest`: how long the one that came first has waited
/// * `idle`: idle workers, this one included; a short queue is shared among them
pub fn decide(policy: &Policy, waiting: usize, oldest: Duration, idle: usize) -> Decision {
    if waiting == 0 {
        return Decision::Sleep;
    }
    if waiting >= policy.max_batch_size {
        return Decision::Take(policy.max_batch_size);
    }
    match policy.max_queue_delay.checked_sub(oldest) {
        Some(left) if !left.is_zero() => Decision::WaitFor(left),
        _ => Decision::Take(waiting.div_ceil(idle.max(1))),
    }
}

/// Whether an image is alone, when nobody runs anything: then all cores are its own, and a session over all of them is the quickest. Two
/// that wait are done sooner side by side, as is all that comes while somebody runs; and whoever is asked to wait for others does.
pub fn one_is_alone(policy: &Policy, waiting: usize) -> bool {
    waiting == 1 && policy.max_queue_delay.is_zero()
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy { max_batch_size: 8, max_queue_delay: Duration::ZERO, queue_capacity: 64 };
    const DELAYED: Policy = Policy { max_queue_delay: Duration::from_millis(2), ..POLICY };

    #[test]
    fn an_idle_worker_takes_what_is_there_at_once() {
        assert_eq!(decide(&POLICY, 1, Duration::ZERO, 1), Decision::Take(1));
        assert_eq!(decide(&POLICY, 5, Duration::ZERO, 1), Decision::Take(5));
    }

    #[test]
    fn a_batch_never_exceeds_the_limit() {
        assert_eq!(decide(&POLICY, 64, Duration::ZERO, 1), Decision::Take(8));
        assert_eq!(decide(&DELAYED, 9, Duration::ZERO, 2), Decision::Take(8));
    }

    #[test]
    fn idle_workers_share_a_short_queue() {
        assert_eq!(decide(&POLICY, 5, Duration::ZERO, 2), Decision::Take(3));
        assert_eq!(decide(&POLICY, 1, Duration::ZERO, 4), Decision::Take(1));
    }

    #[test]
    fn a_delay_holds_a_partial_batch_no_longer_than_asked() {
        let waited = Duration::from_micros(500);
        assert_eq!(decide(&DELAYED, 3, waited, 1), Decision::WaitFor(Duration::from_micros(1500)));
        assert_eq!(decide(&DELAYED, 3, Duration::from_millis(2), 1), Decision::Take(3));
        assert_eq!(decide(&DELAYED, 3, Duration::from_secs(1), 1), Decision::Take(3));
    }
}
