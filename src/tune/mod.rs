//! The fastest way to run a network on this machine, found by measurement, and never a worse answer.
//!
//! ```text
//! settings, providers, processor ─ space ─▶ candidates ─ bench ─▶ measurements ─ choose ─▶ a plan ─ cache ─▶ disk
//! ```
//!
//! [`space`], [`choose`] and the judge of the served pace are pure; [`mod@bench`] runs executors against the clock, by turns (`duel`), in a `line` as the server's;
//! [`cache`] keeps what was found.
//! Knows executors and tensors. Must not know models, files of models, image formats or the command line.

pub mod bench;
pub mod cache;
pub mod choose;
mod circumstances;
mod duel;
mod line;
mod pace;
pub mod space;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use circumstances::{Circumstances, CircumstancesWatch};
pub use line::{PreparationLoad, Prepare};
pub use pace::{PaceJudge, WatchedStretch};

use crate::runtime::Engine;

/// Sessions side by side, and the threads that share one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionShape {
    /// Sessions.
    pub instances: usize,
    /// Threads of each.
    pub intra_threads: usize,
}

impl fmt::Display for SessionShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sessions, threads) = (self.instances, self.intra_threads);
        let plural = |count| if count == 1 { "" } else { "s" };
        write!(f, "{sessions} session{} of {threads} thread{}", plural(sessions), plural(threads))
    }
}

/// One way to run a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Candidate {
    /// Where and in which arithmetic.
    #[serde(flatten)]
    pub engine: Engine,
    /// In how many sessions.
    #[serde(flatten)]
    pub shape: SessionShape,
}

/// How far answers are from the reference's, over the warm-up images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    /// The largest difference of a probability.
    pub probability: f64,
    /// Whether the most probable class is the same for every image, apart from those where the reference is undecided.
    pub same_top: bool,
}

/// Where the reference's first two classes are nearer than this, it is undecided itself, and either may come first.
const DECIDED_LEAD: f32 = 0.02;

/// What a candidate does in batches of one size.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured.
    #[serde(flatten)]
    pub candidate: Candidate,
    /// Images of each run.
    pub batch_size: usize,
    /// All sessions busy, and for each image another one prepared on the same cores.
    pub images_per_second: f64,
    /// The same, as two thirds of the comparisons with the default show it. If it is far below `images_per_second`, the machine was busy.
    pub at_least: f64,
    /// The median of a run while all sessions are busy, in milliseconds.
    pub p50_ms: f64,
    /// The 99th percentile of the same.
    pub p99_ms: f64,
    /// The median of a run of one image while nothing else runs, in milliseconds.
    pub alone_ms: f64,
    /// By how much the process grew when all sessions were made. Rough, since allocators keep memory that was freed.
    pub memory_bytes: u64,
    /// How far the answers are from [`Engine::REFERENCE`]'s, or for a quantized network from those of the same network
    /// without rounding. `None` for the reference itself.
    pub drift: Option<Drift>,
}

impl Drift {
    /// Compares probabilities, a row an image.
    pub fn between<R: AsRef<[f32]>>(reference: &[R], other: &[R]) -> Self {
        let mut drift = Self { probability: 0.0, same_top: reference.len() == other.len() };
        for (want, got) in reference.iter().zip(other) {
            let (want, got) = (want.as_ref(), got.as_ref());
            drift.same_top &= want.len() == got.len() && same_top(want, got);
            for (want, got) in want.iter().zip(got) {
                let difference = f64::from((want - got).abs());
                // A network that answers NaN is as far off as can be.
                drift.probability = if difference.is_nan() { 1.0 } else { drift.probability.max(difference) };
            }
        }
        drift
    }
}

/// Whether `got` puts a class first that `want` does, or nearly does.
fn same_top(want: &[f32], got: &[f32]) -> bool {
    let highest = want.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let first = (0..got.len()).max_by(|&a, &b| got[a].total_cmp(&got[b]));
    first.is_none_or(|first| highest - want[first] < DECIDED_LEAD)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drift_is_the_largest_difference_of_any_class_of_any_image() {
        let reference = [vec![0.9, 0.1], vec![0.4, 0.6]];
        let drift = Drift::between(&reference, &[vec![0.88, 0.12], vec![0.45, 0.55]]);
        assert!((drift.probability - 0.05).abs() < 1e-6 && drift.same_top, "{drift:?}");
    }

    #[test]
    fn one_image_with_another_first_class_is_enough_to_tell() {
        let reference = [vec![0.9, 0.1], vec![0.52, 0.48]];
        assert!(!Drift::between(&reference, &[vec![0.9, 0.1], vec![0.49, 0.51]]).same_top);
    }

    #[test]
    fn an_image_on_which_the_reference_is_undecided_itself_decides_nothing() {
        let reference = [vec![0.401, 0.399, 0.2]];
        assert!(Drift::between(&reference, &[vec![0.399, 0.401, 0.2]]).same_top);
        assert!(!Drift::between(&reference, &[vec![0.3, 0.3, 0.4]]).same_top);
    }

    #[test]
    fn an_answer_that_is_no_number_is_as_far_off_as_can_be() {
        assert_eq!(Drift::between(&[vec![0.5, 0.5]], &[vec![f32::NAN, 0.5]]).probability, 1.0);
    }
}
