//! How busy the workers of a queue were of late. Pure: no clock, no lock.

use std::time::{Duration, Instant};

/// The time constant of the mean: what was so long ago counts 1/e of what is now.
const MEMORY: Duration = Duration::from_secs(10);

/// The share of the workers that run a batch, as a mean over time with weights that fade with [`MEMORY`].
///
/// The number of busy workers only changes in steps, so the mean is exact and takes two numbers to keep.
#[derive(Debug)]
pub(super) struct Load {
    workers: usize,
    busy: usize,
    /// The mean at `since`, 0 to 1, as if there had been idle time for ever before `born`.
    mean: f64,
    since: Instant,
    born: Instant,
}

impl Load {
    /// All of `workers` are idle and have been.
    pub(super) fn new(workers: usize, now: Instant) -> Self {
        Self { workers: workers.max(1), busy: 0, mean: 0.0, since: now, born: now }
    }

    /// One more worker runs a batch.
    pub(super) fn begin_run(&mut self, now: Instant) {
        self.settle(now);
        self.busy += 1;
    }

    /// One worker's batch is done.
    pub(super) fn end_run(&mut self, now: Instant) {
        self.settle(now);
        self.busy = self.busy.saturating_sub(1);
    }

    /// The mean at `now`: 0 idle, 1 where no worker ever rests. A batch that still runs counts. The time before `born` does
    /// not: a young replica would look idle, and whoever weighs replicas by their load would send it more than it can do.
    pub(super) fn at(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.born);
        let seen = -(-age.as_secs_f64() / MEMORY.as_secs_f64()).exp_m1();
        if seen > 0.0 { (self.since_ever(now) / seen).min(1.0) } else { 0.0 }
    }

    fn since_ever(&self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.since);
        // The worker for one image alone may still run beside them.
        let share = (self.busy as f64 / self.workers as f64).min(1.0);
        share + (self.mean - share) * (-passed.as_secs_f64() / MEMORY.as_secs_f64()).exp()
    }

    fn settle(&mut self, now: Instant) {
        self.mean = self.since_ever(now);
        self.since = self.since.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_rises_to_one_while_no_worker_rests_and_falls_to_zero_without_work() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut load = Load::new(1, start);
        assert_eq!(load.at(after(60)), 0.0);

        load.begin_run(after(60));
        // One time constant of full work: 1 - 1/e.
        assert!((load.at(after(70)) - 0.632).abs() < 1e-3, "{}", load.at(after(70)));
        assert!(load.at(after(120)) > 0.99, "a run that never ends is full load");

        load.end_run(after(120));
        assert!((load.at(after(130)) - 0.368).abs() < 5e-3, "{}", load.at(after(130)));
        assert!(load.at(after(200)) < 0.01);
    }

    #[test]
    fn a_young_worker_is_as_busy_as_it_has_been_all_its_life() {
        let born = Instant::now();
        let after = |milliseconds| born + Duration::from_millis(milliseconds);
        let mut load = Load::new(1, born);
        assert_eq!(load.at(born), 0.0);
        load.begin_run(born);
        assert_eq!(load.at(after(1)), 1.0);
        load.end_run(after(500));
        let half = load.at(after(1_000));
        assert!((half - 0.5).abs() < 0.02, "{half}");
    }

    #[test]
    fn short_runs_give_the_share_of_time_and_of_workers_that_they_take() {
        let mut now = Instant::now();
        let mut load = Load::new(2, now);
        // One of two workers is busy 30 ms in every 100.
        for _ in 0..1_000 {
            load.begin_run(now);
            now += Duration::from_millis(30);
            load.end_run(now);
            now += Duration::from_millis(70);
        }
        assert!((load.at(now) - 0.15).abs() < 2e-3, "{}", load.at(now));
    }
}
