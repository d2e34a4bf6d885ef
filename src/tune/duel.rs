//! Two ways of running a network by turns: how much faster is one than the other?
//!
//! Short slices of both alternate, and their ratio counts. Another process that takes a core slows both down. One slice that it hits alone
//! is outvoted by the others.

use std::time::{Duration, Instant};

use super::line::{self, PreparationLoad, Slice};
use crate::{
    runtime::{Executor, RunError},
    tensor::Batch,
};

/// How long to look at each candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Pairs of slices for each batch size.
    pub slices: usize,
    /// The length of a slice; it holds one run at least.
    pub slice: Duration,
    /// After this long, two pairs are enough where they agree which side is faster, and a third decides where they do not.
    pub patience: Duration,
}

impl Effort {
    /// For loading a model: a quick impression, accurate to some percent.
    pub const QUICK: Self = Self { slices: 3, slice: Duration::from_millis(20), patience: Duration::from_millis(700) };
    /// For `resnetd tune`.
    pub const THOROUGH: Self = Self { slices: 5, slice: Duration::from_millis(250), patience: Duration::from_secs(20) };
}

/// A pair that is nearer to equal than this says nothing: two runs of the same kind differ by as much.
const CLOSE: f64 = 0.05;

/// What alternating slices came to.
pub(super) struct Pairs {
    /// Images a second of the yardstick.
    pub(super) pace: f64,
    /// The rivals' speed by the yardstick's, the median.
    pub(super) ratio: f64,
    /// What two thirds of the pairs reach at least.
    pub(super) sure_ratio: f64,
    /// Every run of the rivals, sorted, in milliseconds.
    pub(super) run_ms: Vec<f64>,
}

/// What a duel is fought over.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) batch: &'a Batch,
    /// What runs beside the executors.
    pub(super) beside: Option<&'a PreparationLoad>,
    pub(super) effort: Effort,
    /// After it, one pair of slices has to do; two that contradict each other get a third.
    pub(super) deadline: Instant,
}

impl Setting<'_> {
    fn slice<E: Executor>(&self, executors: &mut [E], length: Duration) -> Result<Slice, RunError> {
        match self.beside {
            Some(beside) => line::served(executors, self.batch, length, beside),
            None => line::alone(executors, self.batch, length),
        }
    }

    fn is_enough(&self, ratios: &[f64], begun: Instant) -> bool {
        let pairs = ratios.len();
        let tired = pairs >= 2 && begun.elapsed() >= self.effort.patience;
        let late = pairs >= 1 && Instant::now() >= self.deadline;
        let third_decides = pairs == 2 && !agree(ratios);
        pairs >= self.effort.slices || ((tired || late) && !third_decides)
    }
}

/// Whether each pair shows the same side to be clearly faster. Those of the yardstick with itself, all 1, have nothing to show.
fn agree(ratios: &[f64]) -> bool {
    let all = |holds: fn(f64) -> bool| ratios.iter().all(|&ratio| holds(ratio));
    all(|ratio| ratio == 1.0) || all(|ratio| ratio > 1.0 + CLOSE) || all(|ratio| ratio < 1.0 - CLOSE)
}

/// Alternates slices of both; with no rivals, times the yardstick. The first run of a batch size costs several times
/// the next, so it is not timed.
pub(super) fn duel<E: Executor>(
    yardstick: &mut [E],
    rivals: &mut [E],
    setting: Setting<'_>,
) -> Result<Pairs, RunError> {
    for executors in [&mut *yardstick, &mut *rivals] {
        line::alone(executors, setting.batch, Duration::ZERO)?;
    }
    let (mut ratios, mut paces, mut run_ms) = (Vec::new(), Vec::new(), Vec::new());
    let begun = Instant::now();
    while !setting.is_enough(&ratios, begun) {
        let yard = setting.slice(yardstick, setting.effort.slice)?;
        let pace = yard.images_per_second;
        let timed = if rivals.is_empty() { yard } else { setting.slice(rivals, setting.effort.slice)? };
        paces.push(pace);
        ratios.push(timed.images_per_second / pace);
        run_ms.extend(timed.run_ms);
    }
    run_ms.sort_by(f64::total_cmp);
    ratios.sort_by(f64::total_cmp);
    paces.sort_by(f64::total_cmp);
    Ok(Pairs { pace: median(&paces), ratio: median(&ratios), sure_ratio: reached_by_two_thirds(&ratios), run_ms })
}

/// Of sorted values: one that something disturbed must not hide what the others show. 0 where there are none.
fn reached_by_two_thirds(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 3).copied().unwrap_or_default()
}

/// The middle of sorted values. Of two it is neither: the lower one would make every rival slower than it is.
fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    match sorted.len() % 2 {
        0 => sorted.get(middle.saturating_sub(1)..=middle).map_or(0.0, |two| two.iter().sum::<f64>() / 2.0),
        _ => sorted[middle],
    }
}

/// The nearest-rank percentile of sorted values; 0 where there are none.
pub(super) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Layout;

    #[test]
    fn percentiles_are_runs_that_happened() {
        let runs: Vec<_> = (1..=100).map(f64::from).collect();
        assert_eq!((percentile(&runs, 0.5), percentile(&runs, 0.99)), (50.0, 99.0));
        assert_eq!((percentile(&[7.0], 0.99), percentile(&[], 0.5)), (7.0, 0.0));
    }

    #[test]
    fn one_unlucky_pair_of_three_hides_no_gain_and_one_of_two_does() {
        // A network of 15 % more in two sessions, and a slice that something else disturbed.
        assert_eq!(reached_by_two_thirds(&[0.91, 1.15]), 0.91);
        assert_eq!(reached_by_two_thirds(&[0.64, 1.12, 1.2]), 1.12);
        assert_eq!(reached_by_two_thirds(&[0.91, 1.12, 1.15, 1.16, 1.2]), 1.12);
        assert_eq!((median(&[0.91, 1.15]), median(&[0.9, 1.1, 1.2]), median(&[])), (1.03, 1.1, 0.0));
    }

    #[test]
    fn a_third_pair_decides_between_two_that_contradict_each_other_however_late_it_is() {
        let batch = Batch::new(Layout::Nchw, 1, 1, 1);
        let effort = Effort { slices: 5, slice: Duration::ZERO, patience: Duration::ZERO };
        let (now, later) = (Instant::now(), Instant::now() + Duration::from_secs(600));
        let setting = Setting { batch: &batch, beside: None, effort, deadline: now };
        for (ratios, enough) in [
            (&[][..], false),
            (&[1.02], true),
            (&[1.2, 1.1], true),
            (&[0.8, 0.9], true),
            (&[1.0, 1.0], true),
            (&[1.2, 1.02], false),
            (&[1.2, 0.9], false),
            (&[1.2, 0.9, 1.1], true),
        ] {
            assert_eq!(setting.is_enough(ratios, now), enough, "{ratios:?}");
        }
        let patient = Setting { effort: Effort { patience: Duration::from_secs(600), ..effort }, ..setting };
        assert!(!Setting { deadline: later, ..patient }.is_enough(&[1.2, 1.1], now), "there is time for more");
    }
}
