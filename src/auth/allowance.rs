//! How much somebody may ask for: requests and images a second, and requests at a time. Pure but for a lock: the clock is given.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use crate::telemetry::KeyMeter;

/// Longer waits are as good as never.
const LONGEST_WAIT_S: f64 = 86_400.0;

/// How much somebody may ask for. 0 everywhere: as much as they like.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Limits {
    /// The most requests a second; 0: no limit.
    pub requests_per_second: f64,
    /// The most images a second; 0: no limit.
    pub images_per_second: f64,
    /// The most requests at a time; 0: no limit.
    pub max_in_flight: usize,
}

/// What is left of somebody's limits. Requests hold a part of it while they last.
#[derive(Debug)]
pub(super) struct Allowance {
    requests: Option<Rate>,
    images: Option<Rate>,
    most_in_flight: usize,
    in_flight: Arc<AtomicUsize>,
}

/// A limit that is used up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// The setting that says so.
    pub limit: &'static str,
    /// What it is.
    pub most: f64,
    /// When it is worth asking again.
    pub retry_after: Duration,
}

/// A request, until it is dropped.
#[derive(Debug)]
pub struct InUse {
    in_flight: Arc<AtomicUsize>,
    meter: KeyMeter,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.meter.end();
    }
}

/// So much a second. What was not used in the last second may come at once; more than that may not.
#[derive(Debug)]
struct Rate {
    per_second: f64,
    /// What is left, and when that was so; nothing was used yet where there is nothing.
    state: Mutex<Option<(f64, Instant)>>,
}

impl Rate {
    fn new(per_second: f64) -> Option<Self> {
        (per_second > 0.0).then(|| Self { per_second, state: Mutex::default() })
    }

    /// Takes `amount` where one is left: what is more than that is owed, so that a request larger than a second's worth is not refused for ever.
    fn take(&self, amount: f64, now: Instant) -> Result<(), Duration> {
        let most = self.per_second.max(1.0);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = match *state {
            None => (most, now),
            // Another request may have looked at the clock before this one and come here after it.
            Some((left, at)) => {
                let back = now.saturating_duration_since(at).as_secs_f64() * self.per_second;
                ((left + back).min(most), now.max(at))
            }
        };
        let missing = 1.0 - left;
        if missing > 1e-9 {
            *state = Some((left, at));
            return Err(Duration::from_secs_f64((missing / self.per_second).min(LONGEST_WAIT_S)));
        }
        *state = Some((left - amount, at));
        Ok(())
    }
}

impl Allowance {
    pub(super) fn of(limits: &Limits) -> Self {
        Self {
            requests: Rate::new(limits.requests_per_second),
            images: Rate::new(limits.images_per_second),
            most_in_flight: limits.max_in_flight,
            in_flight: Arc::default(),
        }
    }

    /// A request begins.
    pub(super) fn begin(&self, meter: &KeyMeter, now: Instant) -> Result<InUse, Spent> {
        let before = self.in_flight.fetch_add(1, Ordering::Relaxed);
        meter.begin();
        // Given back where the request is refused.
        let in_use = InUse { in_flight: self.in_flight.clone(), meter: meter.clone() };
        let most = self.most_in_flight;
        if most > 0 && before >= most {
            // Nobody knows when one of them ends.
            return Err(Spent { limit: "max_in_flight", most: most as f64, retry_after: Duration::from_secs(1) });
        }
        if let Some(requests) = &self.requests {
            let most = requests.per_second;
            let spent = |retry_after| Spent { limit: "requests_per_second", most, retry_after };
            requests.take(1.0, now).map_err(spent)?;
        }
        Ok(in_use)
    }

    /// So many images are to be looked at.
    pub(super) fn images(&self, count: usize, now: Instant) -> Result<(), Spent> {
        let Some(images) = self.images.as_ref().filter(|_| count > 0) else { return Ok(()) };
        let spent = |retry_after| Spent { limit: "images_per_second", most: images.per_second, retry_after };
        images.take(count as f64, now).map_err(spent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::KeyMetrics;

    fn allowance(requests_per_second: f64, images_per_second: f64, max_in_flight: usize) -> (Allowance, KeyMeter) {
        let limits = Limits { requests_per_second, images_per_second, max_in_flight };
        (Allowance::of(&limits), KeyMetrics::default().key(&"front".into()))
    }

    #[test]
    fn a_rate_gives_back_with_time_and_a_large_request_is_owed() {
        let ((allowance, meter), start) = (allowance(2.0, 10.0, 0), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        drop((allowance.begin(&meter, start).unwrap(), allowance.begin(&meter, start).unwrap()));
        let spent = allowance.begin(&meter, start).unwrap_err();
        assert_eq!((spent.limit, spent.retry_after), ("requests_per_second", Duration::from_millis(500)));
        allowance.begin(&meter, at(500)).unwrap();
        allowance.begin(&meter, at(500)).unwrap_err();
        // Whoever looked at the clock earlier takes nothing from time.
        allowance.begin(&meter, at(400)).unwrap_err();
        allowance.begin(&meter, at(1_000)).unwrap();
        allowance.begin(&meter, at(1_400)).unwrap_err();

        allowance.images(40, start).unwrap();
        let spent = allowance.images(1, at(1_000)).unwrap_err();
        assert_eq!((spent.limit, spent.retry_after), ("images_per_second", Duration::from_millis(2_100)));
        allowance.images(1, at(3_100)).unwrap();
    }

    #[test]
    fn hours_of_silence_save_up_one_second() {
        let ((allowance, meter), start) = (allowance(2.0, 0.0, 0), Instant::now());
        let later = start + Duration::from_secs(7_200);
        drop(allowance.begin(&meter, start).unwrap());
        let answered = (0..10).filter(|_| allowance.begin(&meter, later).is_ok()).count();
        assert_eq!(answered, 2);
    }

    #[test]
    fn less_than_one_a_second_is_one_in_a_while() {
        let ((allowance, meter), start) = (allowance(0.1, 0.0, 0), Instant::now());
        drop(allowance.begin(&meter, start).unwrap());
        assert_eq!(allowance.begin(&meter, start).unwrap_err().retry_after, Duration::from_secs(10));
        allowance.begin(&meter, start + Duration::from_secs(10)).unwrap();
    }

    #[test]
    fn requests_at_a_time_are_counted_until_they_end() {
        let ((allowance, meter), now) = (allowance(0.0, 0.0, 1), Instant::now());
        let first = allowance.begin(&meter, now).unwrap();
        assert_eq!(allowance.begin(&meter, now).unwrap_err().limit, "max_in_flight");
        drop(first);
        allowance.begin(&meter, now).unwrap();
    }
}
