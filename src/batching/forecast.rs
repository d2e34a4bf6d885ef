//! When an image that came now would be answered: the runs under way, those who wait, and what a run takes. Pure: no clock, no lock.

use std::time::Instant;

use super::times::ServiceTimes;

/// One worker, as the queue knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// It waits for images, or is about to.
    Free,
    /// It runs a batch.
    Running { since: Instant, images: usize },
    /// It has broken for good.
    Gone,
}

/// What an image has before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Forecast {
    /// When its batch begins to run.
    pub(super) begins: Instant,
    /// When it is answered.
    pub(super) ends: Instant,
}

/// Foresees an image that has `ahead` others before it, when workers take up to `max_batch_size` of them as soon as they can.
/// `None` while nobody knows how long a run takes, or where every worker is gone.
///
/// * `company`: how many images its own batch will have at least if it has to wait, because others come meanwhile
pub(super) fn forecast(
    lanes: &[Lane],
    times: &ServiceTimes,
    max_batch_size: usize,
    ahead: usize,
    company: usize,
    now: Instant,
) -> Option<Forecast> {
    let full = times.of(max_batch_size)?;
    let mut free = Vec::with_capacity(lanes.len());
    for lane in lanes {
        match *lane {
            Lane::Free => free.push(now),
            // One that takes longer than expected may end at any moment.
            Lane::Running { since, images } => free.push((since + times.of(images)?).max(now)),
            Lane::Gone => {}
        }
    }
    // Rounds in which others fill every worker's batch, without looking at each.
    let round = (max_batch_size * free.len()).max(1);
    let rounds = ahead / round;
    let mut left = ahead % round + 1;
    free.iter_mut().for_each(|free| *free += full * u32::try_from(rounds).unwrap_or(u32::MAX));
    loop {
        let next = free.iter_mut().min()?;
        let begins = *next;
        // Idle workers share what waits, as `policy::decide` has it.
        let sharing = free.iter().filter(|free| **free <= begins).count();
        let images = left.div_ceil(sharing.max(1)).min(max_batch_size);
        let ends = begins + times.of(images)?;
        if images >= left {
            let grown = if begins > now { images.max(company) } else { images };
            return Some(Forecast { begins, ends: begins + times.of(grown)? });
        }
        left -= images;
        *free.iter_mut().min()? = ends;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// 10 ms an image, whatever the size.
    fn times() -> ServiceTimes {
        let mut times = ServiceTimes::new(4);
        times.note(1, ms(10));
        times
    }

    fn check(lanes: &[Lane], ahead: usize, now: Instant, begins: u64, ends: u64) {
        let forecast = forecast(lanes, &times(), 4, ahead, 1, now).expect("a forecast");
        assert_eq!((forecast.begins - now, forecast.ends - now), (ms(begins), ms(ends)), "{lanes:?}, {ahead} ahead");
    }

    #[test]
    fn an_idle_worker_takes_what_comes_at_once() {
        check(&[Lane::Free], 0, Instant::now(), 0, 10);
    }

    #[test]
    fn the_run_under_way_and_every_batch_before_it_count() {
        let now = Instant::now();
        let running = Lane::Running { since: now - ms(15), images: 4 };
        check(&[running], 0, now, 25, 35);
        check(&[running], 3, now, 25, 65);
        // Four run first.
        check(&[running], 4, now, 65, 75);
        check(&[running], 4 * 1000 + 1, now, 25 + 40_000, 25 + 40_000 + 20);
    }

    #[test]
    fn a_run_that_takes_longer_than_expected_may_end_at_any_moment() {
        let now = Instant::now();
        check(&[Lane::Running { since: now - ms(500), images: 1 }], 0, now, 0, 10);
    }

    #[test]
    fn several_workers_take_turns_and_idle_ones_share() {
        let now = Instant::now();
        let (early, late) = (Lane::Running { since: now - ms(5), images: 1 }, Lane::Running { since: now, images: 3 });
        check(&[late, early], 0, now, 5, 15);
        // The early one takes four, the late one the fifth.
        check(&[late, early], 4, now, 30, 40);
        check(&[Lane::Free, Lane::Free], 1, now, 0, 10);
        check(&[Lane::Free, Lane::Free], 5, now, 0, 30);
        check(&[Lane::Gone, late], 0, now, 30, 40);
    }

    #[test]
    fn nothing_is_foreseen_before_the_first_run_or_without_a_worker() {
        let now = Instant::now();
        assert_eq!(forecast(&[Lane::Free], &ServiceTimes::new(4), 4, 0, 1, now), None);
        assert_eq!(forecast(&[Lane::Gone], &times(), 4, 0, 1, now), None);
    }
}
