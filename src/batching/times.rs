//! How long a run of each size takes, learned from those that were measured. Pure: no clock, no lock.

use std::time::Duration;

use super::view::ExpectedRun;

/// What a new measurement weighs beside what was known.
const WEIGHT: f64 = 0.125;

/// What share of the most images a second is about as many.
const ABOUT_AS_MANY: f64 = 0.95;

/// The same where a run is kept small for it: nothing but latency is gained there, so less may be lost.
const AS_MANY: f64 = 0.97;

/// The runs that a measurement remembers, by its weight.
const REMEMBERED_RUNS: u32 = 8;

/// After so many runs of a size, what they took is believed.
const ENOUGH_RUNS: u32 = 3;

/// The time of a run by the number of its images.
///
/// Sizes that never ran lie on the line between those that did; beyond them time is taken as proportional to images, which is
/// what a processor needs, and more than an accelerator does.
#[derive(Clone, Debug)]
pub struct ServiceTimes {
    /// Seconds by size, from one image on; `None` where no run had so many.
    measured: Vec<Option<f64>>,
    /// Runs by size.
    runs: Vec<u32>,
    /// The same for every size; empty before the first run.
    expected: Vec<Duration>,
    line: Line,
}

/// What all runs have in common: the seconds of a run whatever its size, and those of each image. Of one size alone the measurements scatter by
/// more than what is looked for.
#[derive(Clone, Copy, Debug, Default)]
struct Line {
    run: f64,
    image: f64,
}

impl Line {
    /// The line through what was measured, by least squares of what it is wrong by in proportion.
    ///
    /// * `known`: images, seconds and how many runs that comes from
    fn through(known: impl Iterator<Item = (f64, f64, u32)>) -> Self {
        let (mut n, mut x, mut y, mut xx, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for (images, seconds, runs) in known {
            let weight = f64::from(runs.min(REMEMBERED_RUNS)) / (seconds * seconds).max(f64::MIN_POSITIVE);
            n += weight;
            x += weight * images;
            y += weight * seconds;
            xx += weight * images * images;
            xy += weight * images * seconds;
        }
        let spread = n * xx - x * x;
        // Of one size: nothing is known that runs have in common.
        let image = if spread > 1e-9 * n * xx { (n * xy - x * y) / spread } else { y / x };
        let run = (y - image * x) / n;
        if run < 0.0 { Self { run: 0.0, image: xy / xx } } else { Self { run, image: image.max(0.0) } }
    }
}

impl ServiceTimes {
    /// Nothing is known yet of runs of up to `max_batch_size` images.
    pub fn new(max_batch_size: usize) -> Self {
        let sizes = max_batch_size.max(1);
        Self { measured: vec![None; sizes], runs: vec![0; sizes], expected: Vec::new(), line: Line::default() }
    }

    /// A run of `images` took `time`.
    pub fn note(&mut self, images: usize, time: Duration) {
        let Some(known) = images.checked_sub(1).and_then(|index| self.measured.get_mut(index)) else { return };
        let seconds = time.as_secs_f64();
        *known = Some(known.map_or(seconds, |known| known + (seconds - known) * WEIGHT));
        self.runs[images - 1] = self.runs[images - 1].saturating_add(1);
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

    /// How many of `waiting` images one run is to take: the fewest that do as many images a second as all of them would, if that is half of them
    /// or less. Where a processor needs twice the time for two, the first would only wait for the second, and another worker that falls
    /// idle would find nothing.
    ///
    /// All of them, as long as too few runs had so many: it has to be seen once what they take.
    pub fn worthwhile(&self, waiting: usize) -> usize {
        let is_known = self.runs.iter().skip(waiting.saturating_sub(1)).any(|runs| *runs >= ENOUGH_RUNS);
        if !is_known {
            return waiting;
        }
        let Line { run, image } = self.line;
        let rate = |images: usize| images as f64 / (run + image * images as f64).max(f64::MIN_POSITIVE);
        let enough = AS_MANY * rate(waiting);
        (1..=waiting / 2).find(|images| rate(*images) >= enough).unwrap_or(waiting)
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
        self.line = Line::through(known.iter().map(|(size, time)| (*size as f64, *time, self.runs[size - 1])));
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

    #[test]
    fn a_run_takes_no_more_than_it_gains_by() {
        let mut processor = ServiceTimes::new(8);
        assert_eq!(processor.worthwhile(5), 5, "nothing is known");
        (0..3).for_each(|_| processor.note(1, ms(60)));
        assert_eq!(processor.worthwhile(5), 5, "so many never ran");
        (0..3).for_each(|_| processor.note(5, ms(295)));
        assert_eq!(processor.worthwhile(5), 1, "five take five times as long");
        assert_eq!(processor.worthwhile(3), 1);
        assert_eq!(processor.worthwhile(6), 6, "six may be another matter");
        (0..3).for_each(|_| processor.note(2, ms(112)));
        assert_eq!(processor.worthwhile(5), 1, "one size that is quicker than the others was lucky");

        let mut accelerator = ServiceTimes::new(32);
        for size in 1..=32 {
            (0..3).for_each(|_| accelerator.note(size, ms(10 + size as u64)));
        }
        assert_eq!(accelerator.worthwhile(1), 1);
        assert_eq!(accelerator.worthwhile(8), 8);
        assert_eq!(accelerator.worthwhile(32), 32, "30 do nearly as many, and gain next to nothing");
    }
}
