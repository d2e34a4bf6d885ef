//! Whether a network is still as fast as it was measured. Pure: time comes from whoever watches.
//!
//! A measurement that was taken beside a busy neighbour, or on a machine that has changed since, keeps a choice that was
//! right then. What is served tells, but only while there is enough to do: an idle server is not slow.

use std::time::Duration;

/// The share of their time that workers have to compute for their speed to say anything.
const SATURATED: f64 = 0.8;

/// How far from the measurement the served speed may be, either way, as a share of the measurement.
const TOLERANCE: f64 = 1.0 / 3.0;

/// How long it has to be off.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest that it takes to be believed after measurements that changed nothing.
const LONGEST_PATIENCE: Duration = Duration::from_secs(3600);

/// A stretch of time in which the workers of a model were watched: some seconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WatchedStretch {
    /// How long it was.
    pub length: Duration,
    /// Images that were computed.
    pub images: u64,
    /// The share of the time that the workers computed, 0 to 1, over all of them.
    pub busy: f64,
}

impl WatchedStretch {
    /// Images a second, had the workers had no rest.
    pub fn speed(&self) -> f64 {
        self.images as f64 / (self.length.as_secs_f64() * self.busy.min(1.0))
    }
}

/// Judges the served speed of one model against the measurement that chose how it runs.
#[derive(Clone, Debug, PartialEq)]
pub struct PaceJudge {
    /// Images a second.
    measured: f64,
    off_for: Duration,
    first_patience: Duration,
    patience: Duration,
}

impl PaceJudge {
    /// * `measured`: images a second with all sessions busy, as the measurement says
    pub fn new(measured: f64) -> Self {
        Self::with_patience(measured, PATIENCE)
    }

    /// The same for a speed that is believed after `patience`, instead of a minute.
    pub fn with_patience(measured: f64, patience: Duration) -> Self {
        Self { measured, off_for: Duration::ZERO, first_patience: patience, patience }
    }

    /// Images a second, as the last measurement says.
    pub fn measured(&self) -> f64 {
        self.measured
    }

    /// Takes note of what was served, and says whether it is time to measure again. Then [`measured_again`] is to follow.
    ///
    /// [`measured_again`]: Self::measured_again
    pub fn observe(&mut self, served: WatchedStretch) -> bool {
        if served.busy < SATURATED || served.length.is_zero() {
            // It says nothing, neither for nor against.
            return false;
        }
        self.off_for =
            if is_off(served.speed(), self.measured) { self.off_for + served.length } else { Duration::ZERO };
        self.off_for >= self.patience
    }

    /// What a new measurement says. One that says the same as the last does not explain what was served: then it is longer
    /// until the next.
    pub fn measured_again(&mut self, images_per_second: f64) {
        let explains = is_off(images_per_second, self.measured);
        self.patience = if explains { self.first_patience } else { (self.patience * 2).min(LONGEST_PATIENCE) };
        self.measured = images_per_second;
        self.off_for = Duration::ZERO;
    }
}

fn is_off(speed: f64, measured: f64) -> bool {
    (speed - measured).abs() > TOLERANCE * measured
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten seconds at so many images a second, with busy workers.
    fn stretch(speed: u64) -> WatchedStretch {
        WatchedStretch { length: Duration::from_secs(10), images: speed * 10, busy: 1.0 }
    }

    fn is_due_after(judge: &mut PaceJudge, stretches: impl IntoIterator<Item = WatchedStretch>) -> Option<usize> {
        stretches.into_iter().position(|stretch| judge.observe(stretch))
    }

    #[test]
    fn a_minute_off_by_more_than_a_third_is_time_to_measure_again() {
        // Beside a busy neighbour 7 images/s were measured, and 18 are usual.
        assert_eq!(is_due_after(&mut PaceJudge::new(7.0), [stretch(18); 10]), Some(5));
        assert_eq!(is_due_after(&mut PaceJudge::new(18.0), [stretch(7); 10]), Some(5));
        for near in [13, 18, 23] {
            assert_eq!(is_due_after(&mut PaceJudge::new(18.0), [stretch(near); 100]), None, "{near}");
        }
    }

    #[test]
    fn one_good_moment_begins_the_minute_anew() {
        let mut stretches = vec![stretch(7); 5];
        stretches.push(stretch(18));
        stretches.extend([stretch(7); 5]);
        assert_eq!(is_due_after(&mut PaceJudge::new(18.0), stretches), None);
    }

    #[test]
    fn a_server_with_little_to_do_is_not_slow() {
        let idle = WatchedStretch { busy: 0.5, ..stretch(7) };
        assert_eq!(is_due_after(&mut PaceJudge::new(18.0), [idle; 100]), None);
        // Workers that computed nine tenths of the time would have done more in all of it.
        let nearly = WatchedStretch { busy: 0.9, images: 162, ..stretch(0) };
        assert_eq!(is_due_after(&mut PaceJudge::new(18.0), [nearly; 100]), None);
        // What says nothing is left out.
        let mixed: Vec<_> = [stretch(7), idle].into_iter().cycle().take(20).collect();
        assert_eq!(is_due_after(&mut PaceJudge::new(18.0), mixed), Some(10));
        let nothing = WatchedStretch { length: Duration::ZERO, ..stretch(7) };
        assert!(!PaceJudge::new(18.0).observe(nothing));
    }

    #[test]
    fn a_measurement_that_changes_nothing_is_repeated_less_and_less() {
        let mut judge = PaceJudge::new(18.0);
        let mut waited = Vec::new();
        for _ in 0..8 {
            waited.push(is_due_after(&mut judge, [stretch(7); 1000]).map(|last| (last + 1) * 10));
            judge.measured_again(18.0);
        }
        assert_eq!(waited, [60, 120, 240, 480, 960, 1920, 3600, 3600].map(Some));
        judge.measured_again(7.0);
        assert_eq!(is_due_after(&mut judge, [stretch(7); 1000]), None);
        assert_eq!(is_due_after(&mut judge, [stretch(18); 10]), Some(5));
    }
}
