//! What happened when: a run in equal intervals, never more than a few hundred, however long it lasts. Pure.

use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;

use super::reply::Fate;

/// More intervals are of no use on a screen: two become one.
const MOST: usize = 240;
const FIRST_INTERVAL: Duration = Duration::from_millis(100);
const LONGEST_US: u64 = 3_600_000_000;
const DIGITS: u8 = 2;

/// The run so far.
#[derive(Clone, Debug)]
pub(super) struct Series {
    interval: Duration,
    parts: Vec<Part>,
    empty: Part,
}

#[derive(Clone, Debug)]
struct Part {
    /// Of what was answered, in microseconds.
    times: Histogram<u32>,
    refused: u32,
    other: u32,
}

/// One interval, as it is reported.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Moment {
    /// Its middle, in seconds from the start on.
    pub at_s: f64,
    /// Answers a second.
    pub answered_per_s: f64,
    /// Refusals a second.
    pub refused_per_s: f64,
    /// What expired, failed, broke or was not sent, a second.
    pub failed_per_s: f64,
    /// Of the answers that came in it, in milliseconds.
    pub p50_ms: Option<f64>,
    /// The same.
    pub p99_ms: Option<f64>,
    /// The same.
    pub max_ms: Option<f64>,
}

impl Series {
    /// # Errors
    /// Never with these bounds.
    pub(super) fn new() -> Result<Self, CreationError> {
        let times = Histogram::new_with_bounds(1, LONGEST_US, DIGITS)?;
        Ok(Self { interval: FIRST_INTERVAL, parts: Vec::new(), empty: Part { times, refused: 0, other: 0 } })
    }

    /// Counts what came `at` this time after the start.
    pub(super) fn record(&mut self, at: Duration, fate: Fate, latency: Duration) {
        while at.as_nanos() / self.interval.as_nanos() >= MOST as u128 {
            self.halve();
        }
        let place = (at.as_nanos() / self.interval.as_nanos()) as usize;
        while self.parts.len() <= place {
            self.parts.push(self.empty.clone());
        }
        let Some(part) = self.parts.get_mut(place) else { return };
        match fate {
            Fate::Answered => part.times.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(LONGEST_US)),
            Fate::Refused => part.refused += 1,
            Fate::Expired | Fate::Failed => part.other += 1,
        }
    }

    /// What there is up to `end`, after which nothing was sent: an interval that is cut there counts as long as it is.
    pub(super) fn moments(&self, end: Duration) -> Vec<Moment> {
        let (interval, end) = (self.interval.as_secs_f64(), end.as_secs_f64());
        let mut moments = Vec::new();
        for (place, part) in self.parts.iter().enumerate() {
            let from = place as f64 * interval;
            let seconds = interval.min(end - from);
            // What is answered when nothing is sent any more, and a sliver of an interval, have rates that mean nothing.
            if seconds < interval / 4.0 {
                continue;
            }
            let ms = |share: f64| (!part.times.is_empty()).then(|| part.times.value_at_quantile(share) as f64 / 1e3);
            moments.push(Moment {
                at_s: from + seconds / 2.0,
                answered_per_s: part.times.len() as f64 / seconds,
                refused_per_s: f64::from(part.refused) / seconds,
                failed_per_s: f64::from(part.other) / seconds,
                p50_ms: ms(0.5),
                p99_ms: ms(0.99),
                max_ms: (!part.times.is_empty()).then(|| part.times.max() as f64 / 1e3),
            });
        }
        moments
    }

    fn halve(&mut self) {
        let parts = std::mem::take(&mut self.parts);
        let mut parts = parts.into_iter();
        while let Some(mut part) = parts.next() {
            if let Some(next) = parts.next() {
                // Both have the same bounds.
                let _ = part.times.add(&next.times);
                part.refused += next.refused;
                part.other += next.other;
            }
            self.parts.push(part);
        }
        self.interval *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_interval_has_its_rates_and_percentiles() {
        let mut series = Series::new().expect("bounds");
        for step in 0..10 {
            series.record(step * 10 * MS, Fate::Answered, (step + 1) * MS);
        }
        series.record(150 * MS, Fate::Refused, MS);
        series.record(199 * MS, Fate::Failed, MS);
        let moments = series.moments(200 * MS);
        assert_eq!(moments.len(), 2);
        assert_eq!((moments[0].at_s, moments[0].answered_per_s), (0.05, 100.0));
        assert!((moments[0].p50_ms.expect("answers") - 5.0).abs() < 0.05);
        assert!((moments[0].max_ms.expect("answers") - 10.0).abs() < 0.1);
        assert_eq!((moments[1].refused_per_s, moments[1].failed_per_s, moments[1].p50_ms), (10.0, 10.0, None));
    }

    #[test]
    fn a_long_run_has_longer_intervals_and_loses_nothing() {
        let mut series = Series::new().expect("bounds");
        for second in 0..3600 {
            series.record(second * 1000 * MS, Fate::Answered, MS);
        }
        let moments = series.moments(3600 * 1000 * MS);
        assert!(moments.len() <= MOST && moments.len() > MOST / 4, "{}", moments.len());
        for moment in &moments {
            assert!((moment.answered_per_s - 1.0).abs() < 0.1, "{moment:?}");
        }
    }

    #[test]
    fn an_interval_that_the_end_cuts_counts_as_long_as_it_is() {
        let mut series = Series::new().expect("bounds");
        for step in 0..15 {
            series.record(step * 10 * MS, Fate::Answered, MS);
        }
        let moments = series.moments(150 * MS);
        let rates: Vec<_> = moments.iter().map(|moment| moment.answered_per_s.round()).collect();
        assert_eq!(rates, [100.0, 100.0]);
    }
}
