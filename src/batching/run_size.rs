//! How many of those who wait one run takes, by their deadlines. Pure: no clock, no lock.

use std::time::{Duration, Instant};

/// Below this share of what the machine can do, a batch that is small for the sake of one deadline costs others theirs.
const WORTH_IT: f64 = 0.8;

/// What a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RunSize {
    /// How many images.
    pub(super) images: usize,
    /// When they are answered. What must be answered before that is passed over: it is too late for this run and for every other.
    pub(super) ends: Instant,
}

/// Decides for a run that begins `now`: as many as can be answered before the first of their deadlines, so that none is late. An accelerator does
/// a batch of 32 in little more time than one image; there, a batch that is kept small for one deadline may be so much work undone that
/// everybody behind it is late, and again the batches have to be small. So where the small batch does far less than the machine can, the
/// size that answers the most images a second in time is taken, without those that it is too late for.
///
/// * `deadlines`: of those who wait, in their order; each can be met by a run of one image
/// * `most`: the most images of one run
/// * `ends`: when a run of so many images ends
pub(super) fn run_size(
    deadlines: &[Option<Instant>],
    most: usize,
    now: Instant,
    ends: impl Fn(usize) -> Instant,
) -> RunSize {
    let all = deadlines.len().min(most);
    let images = before_the_first(deadlines, all, &ends);
    let gentle = RunSize { images, ends: ends(images.max(1)) };
    if images == all {
        return gentle;
    }
    let rate = |size: &RunSize| rate(size.images, size.ends - now);
    let strict = (images + 1..=most).map(|images| {
        let ends = ends(images);
        let in_time = deadlines.iter().filter(|deadline| deadline.is_none_or(|deadline| ends <= deadline)).count();
        RunSize { images: in_time.min(images), ends }
    });
    let best = strict.max_by(|a, b| rate(a).total_cmp(&rate(b)));
    best.filter(|best| rate(&gentle) < WORTH_IT * rate(best)).unwrap_or(gentle)
}

/// The same for images without a deadline that are not to wait long: company in a run is waiting too. Up to `most`, as many as can be answered before the
/// first of them has waited enough, and one at least. Where so few are far less than the machine can do, everybody would wait longer for it: then `most`.
///
/// * `patience`: of those who wait, in their order, until when each is to be answered; whoever it is too late for wants the smallest run
pub(super) fn brief_run(
    patience: &[Option<Instant>],
    most: usize,
    now: Instant,
    ends: impl Fn(usize) -> Instant,
) -> usize {
    let all = patience.len().min(most);
    let images = before_the_first(patience, all, &ends).max(all.min(1));
    let rate = |images| rate(images, ends(images) - now);
    if images == all || rate(images) < WORTH_IT * rate(all) { most } else { images }
}

/// The same for clients that take turns: whoever comes during a run waits for its end, so a run takes the images of one `round` of turns, and no client's
/// second one, of up to `most`. Where so few are far less than the machine can do, everybody would wait longer for it: then `most`.
pub(super) fn fair_run(round: usize, most: usize, now: Instant, ends: impl Fn(usize) -> Instant) -> usize {
    let rate = |images| rate(images, ends(images) - now);
    if round == 0 || round >= most || rate(round) < WORTH_IT * rate(most) { most } else { round }
}

/// The most of the first `all` images that one run answers before the first of their deadlines.
fn before_the_first(deadlines: &[Option<Instant>], all: usize, ends: impl Fn(usize) -> Instant) -> usize {
    let mut soonest = None;
    let fits = |&images: &usize| {
        soonest = soonest.into_iter().chain(deadlines[images - 1]).min();
        soonest.is_none_or(|soonest: Instant| ends(images) <= soonest)
    };
    (1..=all).take_while(fits).last().unwrap_or(0)
}

/// Images a second.
fn rate(images: usize, time: Duration) -> f64 {
    images as f64 / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// The images of a run and the milliseconds that it has, when a run takes `alone` and `each` milliseconds for an image.
    fn size(alone: u64, each: u64, deadlines: &[Option<u64>], most: usize) -> (usize, Duration) {
        let now = Instant::now();
        let deadlines: Vec<_> = deadlines.iter().map(|deadline| deadline.map(|deadline| now + ms(deadline))).collect();
        let size = run_size(&deadlines, most, now, |images| now + ms(alone + each * images as u64));
        (size.images, size.ends - now)
    }

    #[test]
    fn without_deadlines_all_are_taken_up_to_the_most() {
        assert_eq!(size(0, 10, &[None; 3], 8), (3, ms(30)));
        assert_eq!(size(0, 10, &[None; 9], 8), (8, ms(80)));
    }

    #[test]
    fn where_images_take_their_time_one_after_the_other_nobody_is_passed_over() {
        assert_eq!(size(0, 10, &[Some(35); 8], 8), (3, ms(30)));
        assert_eq!(size(0, 10, &[Some(10), None, None, None], 8), (1, ms(10)));
        assert_eq!(size(0, 10, &[None, Some(25), None], 8), (2, ms(20)));
    }

    #[test]
    fn one_deadline_does_not_keep_an_accelerators_batch_small() {
        let mut deadlines = vec![Some(12)];
        deadlines.extend([Some(100); 31]);
        // One image in 11 ms, or 31 in 42.
        assert_eq!(size(10, 1, &deadlines, 32), (31, ms(41)));
        // 24 of 32 are not so much less that anybody should be too late for it.
        assert_eq!(size(10, 1, &[Some(34); 32], 32), (24, ms(34)));
    }

    #[test]
    fn company_is_waiting_too_unless_nobody_gains_by_a_smaller_run() {
        let now = Instant::now();
        let brief = |alone: u64, each: u64, patience: &[Option<u64>], most| {
            let patience: Vec<_> = patience.iter().map(|until| until.map(|until| now + ms(until))).collect();
            brief_run(&patience, most, now, |images| now + ms(alone + each * images as u64))
        };
        assert_eq!(brief(0, 10, &[None; 6], 8), 8);
        assert_eq!(brief(0, 10, &[Some(35); 6], 8), 3);
        assert_eq!(brief(0, 10, &[Some(80), Some(25), Some(80)], 8), 2);
        // One that has waited too long already is not let wait longer for it.
        assert_eq!(brief(0, 10, &[Some(0); 6], 8), 1);
        // An accelerator: one image in 11 ms, or six in 16.
        assert_eq!(brief(10, 1, &[Some(0); 6], 32), 32);
        assert_eq!(brief(10, 1, &[Some(15); 6], 32), 5);
        assert_eq!(brief(0, 10, &[], 8), 8);
    }

    #[test]
    fn a_second_image_of_a_client_waits_for_the_next_run_unless_all_would_wait_longer_for_it() {
        let now = Instant::now();
        let fair = |alone: u64, each: u64, round, most| {
            fair_run(round, most, now, |images| now + ms(alone + each * images as u64))
        };
        assert_eq!(fair(0, 10, 1, 8), 1);
        assert_eq!(fair(6, 42, 3, 8), 3);
        assert_eq!(fair(0, 10, 9, 8), 8);
        assert_eq!(fair(0, 10, 0, 8), 8, "nobody takes turns");
        // An accelerator: one image in 11 ms, or 32 in 42; 24 of them are not so much less.
        assert_eq!(fair(10, 1, 1, 32), 32);
        assert_eq!(fair(10, 1, 24, 32), 24);
        assert_eq!(fair(0, 10, 0, 0), 0);
    }

    #[test]
    fn nothing_waits_for_nobody() {
        assert_eq!(size(0, 10, &[], 8), (0, ms(10)));
    }
}
