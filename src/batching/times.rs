//! How long a run of each size takes, learned from those that were measured. Pure: no clock, no lock.

use std::time::Duration;

use super::view::ExpectedRun;

/// What a new measurement weighs beside what was known.
const WEIGHT: f64 = 0.125;

/// What share of the most images a second is about as many.
const ABOUT_AS_MANY: f64 = 0.95;

/// The time of a run by the number of its images.
///
/// Sizes that never ran lie on the line between those that did; beyond them time is taken as proportional to images, which is
/// what a processor needs, and more than an accelerator does.
#[derive(Clone, Debug)]
pub struct ServiceTimes {
    /// Seconds by size, from one image on; `None` where no run had so many.
    measured: Vec<Option<f64>>,
    /// The same for every size; empty before the first run.
    expected: Vec<Duration>,
}

impl ServiceTimes {
    /// Nothing is known yet of runs of up to `max_batch_size` images.
    pub fn new(max_batch_size: usize) -> Self {
        Self { measured: vec![None; max_batch_size.max(1)], expected: Vec::new() }
    }

    /// A run of `images` took `time`.
    pub fn note(&mut self, images: usize, time: Duration) {
        let Some(known) = images.checked_sub(1).and_then(|index| self.measured.get_mut(index)) else { return };
        let seconds = time.as_secs_f64();
        *known = Some(known.map_or(seconds, |known| known + (seconds - known) * WEIGHT));
        self.expect();
    }

    /// How long a run of `images` will take; `None` before the first run.
    pub fn of(&self, images: usize) -> Option<Duration> {
        let last = self.expected.len().checked_sub(1)?;
        self.expected.get(images.saturating_sub(1).min(last)).copied()
    }

    /// The size whose runs do the most images a second, of those that take no longer than `limit`: the smallest of those that do
    /// about as many. At least one image.
    pub(super) fn best_size(&self, limit: Duration) -> usize {
        let sizes = self.expected.iter().enumerate().take_while(|(_, time)| **time <= limit);
        let rates =
            sizes.map(|(index, time)| (index + 1, (index + 1) as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)));
        let best = rates.clone().map(|(_, rate)| rate).fold(0.0, f64::max);
        rates.filter(|(_, rate)| *rate >= ABOUT_AS_MANY * best).map(|(size, _)| size).next().unwrap_or(1)
    }

    /// What is known of each size; nothing before the first run.
    pub(super) fn all(&self) -> Vec<ExpectedRun> {
        let sizes = self.expected.iter().zip(&self.measured).enumerate();
        let run = |(index, (time, measured)): (usize, (&Duration, &Option<f64>))| ExpectedRun {
            images: index + 1,
            time: *time,
            is_measured: measured.is_some(),
        };
        sizes.map(run).collect()
    }

    fn expect(&mut self) {
        let known: Vec<(usize, f64)> =
            self.measured.iter().enumerate().filter_map(|(index, time)| Some((index + 1, (*time)?))).collect();
        let sizes = 1..=self.measured.len();
        self.expected = sizes.map(|size| Duration::from_secs_f64(on_the_line(&known, size))).collect();
    }
}

/// The time of `size` by what is `known`, in the order of sizes.
fn on_the_line(known: &[(usize, f64)], size: usize) -> f64 {
    let above = known.partition_point(|(other, _)| *other < size);
    match (above.checked_sub(1).and_then(|below| known.get(below)), known.get(above)) {
        (_, Some((other, time))) if *other == size => *time,
        (Some((small, quick)), Some((large, slow))) => {
            quick + (slow - quick) * (size - small) as f64 / (large - small) as f64
        }
        (Some((other, time)), None) | (None, Some((other, time))) => time * size as f64 / *other as f64,
        (None, None) => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn near(got: Option<Duration>, wanted: Duration) {
        let got = got.expect("something ran");
        assert!(got.abs_diff(wanted) < Duration::from_micros(1), "{got:?} instead of {wanted:?}");
    }

    #[test]
    fn nothing_is_expected_before_the_first_run() {
        assert_eq!(ServiceTimes::new(8).of(1), None);
    }

    #[test]
    fn sizes_that_never_ran_lie_between_those_that_did_and_beyond_them_in_proportion() {
        let mut times = ServiceTimes::new(8);
        times.note(2, ms(20));
        near(times.of(1), ms(10));
        near(times.of(8), ms(80));

        times.note(6, ms(40));

        near(times.of(4), ms(30));
        near(times.of(6), ms(40));
        near(times.of(9), Duration::from_secs_f64(0.32 / 6.0));
    }

    #[test]
    fn what_is_measured_again_moves_slowly() {
        let mut times = ServiceTimes::new(4);
        times.note(1, ms(10));
        times.note(1, ms(90));
        near(times.of(1), ms(20));
        (0..100).for_each(|_| times.note(1, ms(90)));
        near(times.of(1), ms(90));
    }

    #[test]
    fn a_run_of_more_images_than_a_batch_has_is_passed_over() {
        let mut times = ServiceTimes::new(4);
        times.note(5, ms(10));
        times.note(0, ms(10));
        assert_eq!(times.of(1), None);
    }

    #[test]
    fn the_best_size_does_the_most_images_a_second_in_the_time_that_there_is() {
        let mut accelerator = ServiceTimes::new(32);
        assert_eq!(accelerator.best_size(ms(10)), 1, "nothing is known");
        (1..=32).for_each(|size| accelerator.note(size, ms(10 + size as u64)));
        assert_eq!(accelerator.best_size(ms(5)), 1, "and no run is so short");
        assert_eq!(accelerator.best_size(ms(20)), 10);
        assert_eq!(accelerator.best_size(ms(100)), 27, "the last five add little");

        let mut processor = ServiceTimes::new(8);
        processor.note(1, ms(60));
        processor.note(8, ms(470));
        assert_eq!(processor.best_size(ms(500)), 1, "they are all alike");
    }
}
