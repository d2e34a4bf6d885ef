//! Times in a histogram of high dynamic range: any number of them in the same memory, three significant digits. Pure.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;

/// An hour; what takes longer counts as that.
const LONGEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 3;
/// Between each two of the marks 50 %, 75 %, 87.5 %, … a curve has so many points.
const POINTS_A_HALF: u32 = 8;

/// Times, from a microsecond to an hour.
#[derive(Clone, Debug)]
pub(super) struct Distribution {
    /// In microseconds.
    times: Histogram<u64>,
    sum: Duration,
    least: Option<Duration>,
    most: Duration,
}

/// What people read of it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many times these are of.
    pub count: u64,
    /// The mean.
    pub mean: f64,
    /// The shortest.
    pub min: f64,
    /// The median.
    pub p50: f64,
    /// 90 of 100 are not longer.
    pub p90: f64,
    /// 95 of 100 are not longer.
    pub p95: f64,
    /// 99 of 100 are not longer.
    pub p99: f64,
    /// 999 of 1,000 are not longer.
    pub p99_9: f64,
    /// The longest.
    pub max: f64,
}

impl Distribution {
    /// An empty one.
    ///
    /// # Errors
    /// Never with these bounds; the histogram's constructor has no other form.
    pub(super) fn new() -> Result<Self, CreationError> {
        let times = Histogram::new_with_bounds(1, LONGEST_US, DIGITS)?;
        Ok(Self { times, sum: Duration::ZERO, least: None, most: Duration::ZERO })
    }

    /// Counts one time.
    pub(super) fn record(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_nanos().div_ceil(1000)).unwrap_or(LONGEST_US);
        self.times.saturating_record(micros);
        self.sum = self.sum.saturating_add(time);
        self.least = Some(self.least.map_or(time, |least| least.min(time)));
        self.most = self.most.max(time);
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.times.len()
    }

    /// The time, in milliseconds, that a `share` of all are not longer than, 0 to 1; never above the longest.
    pub(super) fn at(&self, share: f64) -> f64 {
        (self.times.value_at_quantile(share) as f64 / 1e3).min(ms(self.most))
    }

    /// `None` of none.
    pub(super) fn quantiles(&self) -> Option<Quantiles> {
        let count = self.count();
        (count > 0).then(|| Quantiles {
            count,
            mean: ms(self.sum) / count as f64,
            min: self.least.map_or(0.0, ms),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p95: self.at(0.95),
            p99: self.at(0.99),
            p99_9: self.at(0.999),
            max: ms(self.most),
        })
    }

    /// Points of the curve of times over shares: closer and closer together towards 1, and none at 1 itself.
    pub(super) fn curve(&self) -> Vec<(f64, f64)> {
        let mut points = Vec::new();
        for value in self.times.iter_quantiles(POINTS_A_HALF) {
            let share = value.quantile_iterated_to();
            if share < 1.0 {
                points.push((share, (value.value_iterated_to() as f64 / 1e3).min(ms(self.most))));
            }
        }
        points
    }
}

/// In milliseconds.
pub(super) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_have_three_digits_and_the_ends_are_exact() {
        let mut times = Distribution::new().expect("bounds");
        assert_eq!(times.quantiles(), None);
        // 0.1 ms to 1 s, in any order.
        for step in (1..=10_000u64).rev() {
            times.record(Duration::from_micros(step * 100));
        }
        let found = times.quantiles().expect("some");
        assert_eq!((found.count, found.min, found.max), (10_000, 0.1, 1000.0));
        assert!((found.mean - 500.05).abs() < 1e-9, "{}", found.mean);
        let expected =
            [(found.p50, 500.0), (found.p90, 900.0), (found.p95, 950.0), (found.p99, 990.0), (found.p99_9, 999.0)];
        for (got, exact) in expected {
            assert!((got / exact - 1.0).abs() < 1e-3, "{got} for {exact}");
        }
    }

    #[test]
    fn no_percentile_is_above_the_longest_and_what_is_too_long_counts_as_an_hour() {
        let mut times = Distribution::new().expect("bounds");
        times.record(Duration::from_nanos(1_234_567));
        assert_eq!(times.quantiles().expect("one").p50, 1.234_567);
        times.record(Duration::from_secs(90_000));
        assert_eq!(times.quantiles().expect("two").max, 90_000_000.0);
        assert!((times.at(1.0) / 3.6e6 - 1.0).abs() < 1e-3);
    }

    #[test]
    fn the_curve_rises_and_ends_below_one() {
        let mut times = Distribution::new().expect("bounds");
        (1..=5000u64).for_each(|step| times.record(Duration::from_micros(step)));
        let curve = times.curve();
        assert!(curve.len() > 30 && curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 <= b.1), "{curve:?}");
        assert!(curve.last().is_some_and(|last| last.0 < 1.0 && last.0 > 0.999), "{curve:?}");
    }
}
