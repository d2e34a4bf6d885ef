//! What a version did in the last while: outcomes and times, in slices that are forgotten one after the other. Pure: the time is given.

use std::time::Duration;

/// A window has so many.
const SLICES: usize = 10;

/// The times that are told apart: from this one on, each larger by this factor than the one before.
const SHORTEST: f64 = 1e-5;
const STEP: f64 = 1.02;
/// Up to about 100 seconds.
const STEPS: usize = 815;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Answers and refusals.
    pub(super) answers: u64,
    /// Of them, faults of the server.
    pub(super) faults: u64,
    /// Images that were compared.
    pub(super) compared: u64,
    /// Of them, those of one mind.
    pub(super) agreed: u64,
}

/// Counts and times of the last while.
#[derive(Debug)]
pub(super) struct Window {
    slice: Duration,
    slices: Vec<Slice>,
}

#[derive(Debug)]
struct Slice {
    number: u64,
    counts: Counts,
    times: Vec<u32>,
}

impl Window {
    /// * `length`: how far back it reaches; a tenth of it is forgotten at a time
    pub(super) fn new(length: Duration) -> Self {
        let slice = || Slice { number: 0, counts: Counts::default(), times: vec![0; STEPS] };
        let slices = (0..SLICES).map(|_| slice()).collect();
        Self { slice: (length / SLICES as u32).max(Duration::from_millis(1)), slices }
    }

    /// Counts something.
    ///
    /// * `at`: since anything that stays the same
    /// * `time`: how long an answer took
    pub(super) fn note(&mut self, at: Duration, count: impl FnOnce(&mut Counts), time: Option<Duration>) {
        let number = self.number(at);
        let Some(slice) = self.slices.get_mut((number % SLICES as u64) as usize) else { return };
        // Whoever comes a little late counts with those of now.
        if slice.number < number {
            (slice.number, slice.counts) = (number, Counts::default());
            slice.times.fill(0);
        }
        count(&mut slice.counts);
        if let Some(times) = time.and_then(|time| slice.times.get_mut(step_of(time))) {
            *times = times.saturating_add(1);
        }
    }

    /// What was counted within the window.
    pub(super) fn counts(&self, at: Duration) -> Counts {
        self.recent(at).fold(Counts::default(), |sum, Slice { counts, .. }| Counts {
            answers: sum.answers + counts.answers,
            faults: sum.faults + counts.faults,
            compared: sum.compared + counts.compared,
            agreed: sum.agreed + counts.agreed,
        })
    }

    /// The middle one of the times within the window, to a hundredth, and how many there are.
    pub(super) fn median(&self, at: Duration) -> Option<(Duration, u64)> {
        let mut sums = [0_u64; STEPS];
        for slice in self.recent(at) {
            sums.iter_mut().zip(&slice.times).for_each(|(sum, times)| *sum += u64::from(*times));
        }
        let all: u64 = sums.iter().sum();
        let mut below = 0;
        let step = sums.iter().position(|times| {
            below += times;
            2 * below >= all && below > 0
        })?;
        Some((Duration::from_secs_f64(SHORTEST * STEP.powf(step as f64 + 0.5)), all))
    }

    fn recent(&self, at: Duration) -> impl Iterator<Item = &Slice> {
        let now = self.number(at);
        self.slices.iter().filter(move |slice| slice.number + SLICES as u64 > now)
    }

    fn number(&self, at: Duration) -> u64 {
        // From 1 on, so that what was never written to is in no window.
        u64::try_from(at.as_nanos() / self.slice.as_nanos().max(1)).unwrap_or(u64::MAX / 2) + SLICES as u64
    }
}

fn step_of(time: Duration) -> usize {
    let steps = (time.as_secs_f64().max(SHORTEST) / SHORTEST).ln() / STEP.ln();
    (steps as usize).min(STEPS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let mut window = Window::new(seconds(60.0));
        for second in 0..200 {
            window.note(seconds(f64::from(second)), |counts| counts.answers += 1, None);
        }
        let counted = |at| window.counts(seconds(at)).answers;
        assert!((54..=60).contains(&counted(199.0)), "{}", counted(199.0));
        assert!((24..=36).contains(&counted(230.0)), "{}", counted(230.0));
        assert_eq!(counted(262.0), 0);
        assert_eq!(Window::new(seconds(1.0)).counts(seconds(0.0)), Counts::default());
    }

    #[test]
    fn the_middle_time_is_found_to_a_hundredth() {
        let mut window = Window::new(seconds(10.0));
        assert_eq!(window.median(seconds(0.0)), None);
        for millis in 1..=101 {
            window.note(seconds(1.0), |_| (), Some(Duration::from_millis(millis)));
        }
        let (median, all) = window.median(seconds(2.0)).unwrap();
        assert!(all == 101 && (median.as_secs_f64() / 0.051 - 1.0).abs() < 0.011, "{median:?}");
        assert_eq!(window.median(seconds(30.0)), None);
        let mut odd = Window::new(seconds(10.0));
        for time in [Duration::ZERO, Duration::MAX] {
            odd.note(seconds(1.0), |_| (), Some(time));
        }
        assert_eq!(odd.median(seconds(1.0)).unwrap().1, 2);
    }
}
