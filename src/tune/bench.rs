//! Executors against the clock.
//!
//! The machine is seldom quiet while a model is loaded, so a candidate is never timed by itself, but by turns with a yardstick (`duel`).
//! Images a second are measured while other threads prepare images (`line`), the time of a single image without them.

use std::{collections::BTreeMap, fs, time::Instant};

pub use super::duel::Effort;
use super::{
    Candidate, Drift, Measurement,
    duel::{Pairs, Setting, duel, percentile},
    line::PreparationLoad,
};
use crate::{
    runtime::{Engine, Executor, RunError, caught},
    tensor::Batch,
};

/// Gives the search what it measures. A model knows how; a test has a script.
pub trait Workbench {
    /// What runs.
    type Executor: Executor;

    /// Makes the sessions of a candidate.
    ///
    /// # Errors
    /// The reason in words.
    fn open(&mut self, candidate: Candidate, max_batch_size: usize) -> Result<Vec<Self::Executor>, String>;

    /// The probabilities of the warm-up images, a row each.
    ///
    /// # Errors
    /// [`RunError`].
    fn answers(&mut self, executor: &mut Self::Executor) -> Result<Vec<Box<[f32]>>, RunError>;

    /// The right answers, where the yardstick's own are not: a quantized network rounds in every engine.
    fn reference(&mut self) -> Option<Vec<Box<[f32]>>> {
        None
    }

    /// Some images, `1 <= size`.
    ///
    /// # Errors
    /// [`RunError`] where there is no memory for them.
    fn batch(&mut self, size: usize) -> Result<&Batch, RunError>;

    /// What else the machine does for each image.
    fn preparation(&self) -> PreparationLoad;
}

/// A search in progress: what was measured and what was not.
pub struct Search<W: Workbench> {
    bench: W,
    effort: Effort,
    deadline: Instant,
    yardstick: Vec<W::Executor>,
    yardstick_is: Candidate,
    yardstick_bytes: u64,
    /// The yardstick's images a second when it was first timed, by sessions, batch size, and whether images were
    /// prepared beside it. Measured ratios are turned into images a second with it.
    paces: BTreeMap<(usize, usize, bool), f64>,
    reference: Option<Vec<Box<[f32]>>>,
    /// How far the answers of [`Engine::REFERENCE`] are off; `None` where they are the right ones.
    pub default_drift: Option<Drift>,
    /// A row for each candidate and batch size.
    pub rows: Vec<Measurement>,
    /// What could not be measured or was not looked at, and why.
    pub passed_over: Vec<(Candidate, String)>,
}

impl<W: Workbench> Search<W> {
    /// Opens the yardstick.
    ///
    /// * `compare_answers`: the yardstick's answers are the right ones, unless the bench has others
    /// * `deadline`: no candidate is begun after it
    ///
    /// # Errors
    /// If the yardstick cannot be opened or run.
    pub fn new(
        mut bench: W,
        yardstick: Candidate,
        max_batch_size: usize,
        compare_answers: bool,
        effort: Effort,
        deadline: Instant,
    ) -> Result<Self, String> {
        let before = resident_bytes();
        let mut executors = bench.open(yardstick, max_batch_size)?;
        let answers = match executors.first_mut().filter(|_| compare_answers) {
            Some(first) => Some(bench.answers(first).map_err(|error| error.to_string())?),
            None => None,
        };
        let yardstick_bytes = resident_bytes().saturating_sub(before);
        let right = if compare_answers { bench.reference() } else { None };
        let default_drift = right.as_ref().zip(answers.as_ref()).map(|(right, answers)| Drift::between(right, answers));
        Ok(Self {
            bench,
            effort,
            deadline,
            yardstick: executors,
            yardstick_is: yardstick,
            yardstick_bytes,
            paces: BTreeMap::new(),
            reference: right.or(answers),
            default_drift,
            rows: Vec::new(),
            passed_over: Vec::new(),
        })
    }

    /// Measures a candidate in every one of `batches`, ascending, unless the time is up.
    ///
    /// * `admit`: whether answers that are so far off are worth timing
    pub fn measure(&mut self, candidate: Candidate, batches: &[usize], admit: impl Fn(Option<Drift>) -> bool) {
        if self.is_late() {
            self.passed_over.push((candidate, "the time limit was reached".to_owned()));
            return;
        }
        let measured = caught(|| self.try_measure(candidate, batches, admit));
        if let Err(reason) = measured.unwrap_or_else(|panic| Err(format!("measuring it panicked: {panic}"))) {
            self.passed_over.push((candidate, reason));
        }
    }

    fn try_measure(
        &mut self,
        candidate: Candidate,
        batches: &[usize],
        admit: impl Fn(Option<Drift>) -> bool,
    ) -> Result<(), String> {
        let words = |error: RunError| error.to_string();
        let before = resident_bytes();
        let mut opened = Vec::new();
        let mut drift = self.default_drift.filter(|_| candidate.engine == Engine::REFERENCE);
        let is_yardstick = candidate == self.yardstick_is;
        if !is_yardstick {
            opened = self.bench.open(candidate, batches.last().copied().unwrap_or(1))?;
            if let (Some(reference), Some(first)) = (&self.reference, opened.first_mut())
                && candidate.engine != Engine::REFERENCE
            {
                drift = Some(Drift::between(reference, &self.bench.answers(first).map_err(words)?));
            }
        }
        if !admit(drift) {
            return Err(refusal(drift));
        }
        let first = opened.len().min(1);
        let alone = self.duel(1, &mut opened[..first], 1, None).map_err(words)?;
        let preparation = self.bench.preparation();
        for &batch_size in batches {
            if self.is_late() && batch_size != batches[0] {
                break;
            }
            let sessions = self.yardstick.len();
            let timing = self.duel(sessions, &mut opened, batch_size, Some(&preparation)).map_err(words)?;
            let grown = resident_bytes().saturating_sub(before);
            self.rows.push(Measurement {
                candidate,
                batch_size,
                images_per_second: timing.speed,
                at_least: timing.at_least,
                p50_ms: percentile(&timing.run_ms, 0.5),
                p99_ms: percentile(&timing.run_ms, 0.99),
                alone_ms: 1e3 / alone.speed,
                memory_bytes: if is_yardstick { self.yardstick_bytes + grown } else { grown },
                drift,
            });
        }
        Ok(())
    }

    /// Times `rivals` against the first `sessions` of the yardstick; with no rivals, the yardstick itself.
    fn duel(
        &mut self,
        sessions: usize,
        rivals: &mut [W::Executor],
        size: usize,
        beside: Option<&PreparationLoad>,
    ) -> Result<Timing, RunError> {
        let setting = Setting { batch: self.bench.batch(size)?, beside, effort: self.effort, deadline: self.deadline };
        let Pairs { pace, ratio, sure_ratio, run_ms } = duel(&mut self.yardstick[..sessions], rivals, setting)?;
        let pace = *self.paces.entry((sessions, size, beside.is_some())).or_insert(pace);
        Ok(Timing { speed: ratio * pace, at_least: sure_ratio * pace, run_ms })
    }

    fn is_late(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Closes the yardstick's sessions; gives what was measured, and what was not.
    pub fn finish(self) -> (Vec<Measurement>, Vec<(Candidate, String)>) {
        (self.rows, self.passed_over)
    }
}

fn refusal(drift: Option<Drift>) -> String {
    let Drift { probability, same_top } = drift.unwrap_or(Drift { probability: 0.0, same_top: true });
    let class = if same_top { "" } else { ", and an image gets another first class" };
    format!("its answers are off: a probability by {probability:.4}{class}")
}

struct Timing {
    /// Images a second, as they would have been had the yardstick kept its first pace.
    speed: f64,
    /// The same, as two thirds of the comparisons show it.
    at_least: f64,
    /// Every run, sorted, in milliseconds.
    run_ms: Vec<f64>,
}

/// The process's resident memory, in bytes; 0 where the system does not say.
fn resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB"));
    kib.and_then(|kib| kib.trim().parse::<u64>().ok()).unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::*;
    use crate::{
        runtime::{Precision, Provider, scripted::ScriptedExecutor},
        tensor::{Layout, Logits},
        tune::SessionShape,
    };

    const BF16: Engine = Engine { provider: Provider::Openvino, precision: Precision::Bf16 };

    /// The reference answers `[0.9, 0.1]`, bf16 what the test says.
    struct Scripted {
        bf16: [f32; 2],
        /// What a quantized network stands for.
        unrounded: Option<[f32; 2]>,
        opened: Vec<Candidate>,
        batch: Batch,
    }

    impl Scripted {
        fn new(bf16: [f32; 2]) -> Self {
            Self { bf16, unrounded: None, opened: Vec::new(), batch: Batch::new(Layout::Nchw, 1, 1, 1) }
        }
    }

    impl Workbench for Scripted {
        type Executor = ScriptedExecutor;

        fn open(&mut self, candidate: Candidate, _: usize) -> Result<Vec<ScriptedExecutor>, String> {
            if candidate.engine.provider == Provider::Cuda {
                return Err("out of memory".to_owned());
            }
            assert!(candidate.engine.provider != Provider::Tensorrt, "no such driver");
            self.opened.push(candidate);
            let row = if candidate.engine == BF16 { self.bf16 } else { [0.9, 0.1] };
            Ok((0..candidate.shape.instances).map(|_| ScriptedExecutor::answering(&row)).collect())
        }

        fn answers(&mut self, executor: &mut ScriptedExecutor) -> Result<Vec<Box<[f32]>>, RunError> {
            let mut logits = Logits::default();
            executor.run(self.batch(1)?, &mut logits)?;
            Ok(logits.rows().map(Into::into).collect())
        }

        fn batch(&mut self, size: usize) -> Result<&Batch, RunError> {
            self.batch.clear();
            (0..size).for_each(|_| self.batch.push().fill(0.0));
            Ok(&self.batch)
        }

        fn reference(&mut self) -> Option<Vec<Box<[f32]>>> {
            self.unrounded.map(|row| vec![row.into()])
        }

        fn preparation(&self) -> PreparationLoad {
            PreparationLoad { prepare: Arc::new(|| ()), threads: 1 }
        }
    }

    fn candidate(engine: Engine, instances: usize) -> Candidate {
        Candidate { engine, shape: SessionShape { instances, intra_threads: 1 } }
    }

    fn search(bf16: [f32; 2], limit: Duration) -> Search<Scripted> {
        let effort = Effort { slices: 1, slice: Duration::ZERO, patience: Duration::ZERO };
        let yardstick = candidate(Engine::REFERENCE, 1);
        Search::new(Scripted::new(bf16), yardstick, 8, true, effort, Instant::now() + limit).unwrap()
    }

    const LONG: Duration = Duration::from_secs(600);

    #[test]
    fn each_batch_of_a_candidate_gives_a_row_with_its_drift() {
        let mut search = search([0.88, 0.12], LONG);
        search.measure(candidate(Engine::REFERENCE, 1), &[8], |_| true);
        search.measure(candidate(BF16, 2), &[1, 8], |_| true);
        let (rows, passed_over) = search.finish();
        assert!(passed_over.is_empty(), "{passed_over:?}");
        assert_eq!(rows.iter().map(|row| row.batch_size).collect::<Vec<_>>(), [8, 1, 8]);
        assert_eq!(rows[0].drift, None);
        let drift = rows[1].drift.unwrap();
        assert!((drift.probability - 0.02).abs() < 1e-6 && drift.same_top, "{drift:?}");
        assert!(rows.iter().all(|row| row.images_per_second > 0.0 && row.p99_ms >= row.p50_ms && row.alone_ms > 0.0));
    }

    #[test]
    fn a_quantized_network_is_compared_with_what_it_stands_for() {
        let effort = Effort { slices: 1, slice: Duration::ZERO, patience: Duration::ZERO };
        let bench = Scripted { unrounded: Some([0.93, 0.07]), ..Scripted::new([0.94, 0.06]) };
        let yardstick = candidate(Engine::REFERENCE, 1);
        let mut search = Search::new(bench, yardstick, 8, true, effort, Instant::now() + LONG).unwrap();
        search.measure(yardstick, &[8], |_| true);
        search.measure(candidate(BF16, 1), &[8], |_| true);
        let drifts = search.rows.iter().map(|row| (100.0 * row.drift.unwrap().probability).round()).collect::<Vec<_>>();
        assert_eq!(drifts, [3.0, 1.0]);
    }

    #[test]
    fn what_answers_wrong_is_not_timed() {
        let mut search = search([0.1, 0.9], LONG);
        search.measure(candidate(BF16, 1), &[8], |drift| drift.is_none_or(|drift| drift.same_top));
        assert!(search.rows.is_empty());
        let reason = &search.passed_over[0].1;
        assert!(reason.contains("0.8000") && reason.contains("another first class"), "{reason}");
    }

    #[test]
    fn no_candidate_is_begun_after_the_time_limit() {
        let mut search = search([0.9, 0.1], Duration::ZERO);
        search.measure(candidate(BF16, 1), &[8], |_| true);
        assert_eq!(search.bench.opened.len(), 1, "only the yardstick");
        let (rows, passed_over) = search.finish();
        assert!(rows.is_empty());
        assert!(passed_over[0].1.contains("time limit"));
    }

    #[test]
    fn a_candidate_that_cannot_be_opened_or_panics_costs_only_itself() {
        let mut search = search([0.9, 0.1], LONG);
        for provider in [Provider::Cuda, Provider::Tensorrt] {
            search.measure(candidate(Engine { provider, precision: Precision::Fp32 }, 1), &[8], |_| true);
        }
        search.measure(candidate(BF16, 1), &[8], |_| true);
        let reasons: Vec<_> = search.passed_over.iter().map(|(_, reason)| reason.as_str()).collect();
        assert_eq!(
            (search.rows.len(), &*reasons),
            (1, &["out of memory", "measuring it panicked: no such driver"][..])
        );
    }
}
