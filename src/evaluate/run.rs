//! Runs a network over labelled images: threads read and decode ahead, one caller runs what is ready.
//!
//! The channel between them is bounded, so memory is too. Decoding threads end when the images are used up or when nobody takes
//! what they make; all of them are joined before the call returns.

use std::{
    path::Path,
    sync::{
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver},
    },
    thread,
    time::Instant,
};

use super::{
    journal::Journal,
    labelled::LabelledImage,
    network::{ExaminedNetwork, Preparation},
    verdict::{KEPT_CLASSES, Verdict},
};
use crate::{files, journal::JournalError, postprocess::top_k, runtime::RunError, tensor::Pixels};

/// The most bytes of one image file.
const LARGEST_IMAGE: u64 = 1 << 30;

/// Is told how it goes.
pub trait Spectator {
    /// So many more images are done.
    fn advance(&self, images: usize);
    /// An image is passed over.
    fn passed_over(&self, file: &Path, reason: &str);
}

/// What a network said.
#[derive(Debug)]
pub struct Answers {
    /// For each image in its place; `None` for those that could not be read.
    pub verdicts: Vec<Option<Verdict>>,
    /// The places of those, and why.
    pub failures: Vec<(usize, String)>,
    /// Images a second, decoding included, without those that were done before; `None` where all were.
    pub images_per_second: Option<f64>,
    /// Images that were done before.
    pub resumed: usize,
}

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
pub enum EvaluateError {
    /// The network failed.
    #[error("{0}; what was answered before is kept")]
    Run(#[from] RunError),
    /// What is done cannot be kept.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// An image that was decoded: its place, and its views or why there are none.
type Ready = (usize, Result<Vec<Pixels>, String>);

/// Shows `images` to `network`.
///
/// * `journal`: what is done already, and where the rest is kept
/// * `threads`: that decode
///
/// # Errors
/// [`EvaluateError`].
pub fn evaluate(
    network: &mut ExaminedNetwork,
    images: &[LabelledImage],
    journal: Option<&mut Journal>,
    threads: usize,
    spectator: &dyn Spectator,
) -> Result<Answers, EvaluateError> {
    let before = |image| journal.as_ref().and_then(|journal| journal.answer(image));
    let verdicts: Vec<_> = images.iter().map(before).collect();
    let todo: Vec<usize> = (0..images.len()).filter(|&place| verdicts[place].is_none()).collect();
    let resumed = images.len() - todo.len();
    spectator.advance(resumed);
    let mut answers = Answers { verdicts, failures: Vec::new(), images_per_second: None, resumed };

    let start = Instant::now();
    let preparation = network.preparation().clone();
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        let (sender, ready) = mpsc::sync_channel(network.images_at_once());
        for _ in 0..threads.max(1) {
            let (sender, next, todo, preparation) = (sender.clone(), &next, &todo, &preparation);
            scope.spawn(move || {
                while let Some(&place) = todo.get(next.fetch_add(1, Ordering::Relaxed)) {
                    // Nobody listens any more when the run failed.
                    if sender.send((place, views(&images[place].file, preparation))).is_err() {
                        return;
                    }
                }
            });
        }
        // The channel ends when the last decoding thread does.
        drop(sender);
        answers.take_all(network, images, &ready, journal, spectator)
        // `ready` goes here, and with it everybody who still wants to send.
    })?;
    let ran = todo.len() - answers.failures.len();
    answers.images_per_second = (ran > 0).then(|| ran as f64 / start.elapsed().as_secs_f64().max(1e-9));
    answers.failures.sort_unstable();
    Ok(answers)
}

fn views(file: &Path, preparation: &Preparation) -> Result<Vec<Pixels>, String> {
    let bytes = files::read(file, LARGEST_IMAGE).map_err(|error| error.to_string())?;
    preparation.views(&bytes)
}

impl Answers {
    fn take_all(
        &mut self,
        network: &mut ExaminedNetwork,
        images: &[LabelledImage],
        ready: &Receiver<Ready>,
        mut journal: Option<&mut Journal>,
        spectator: &dyn Spectator,
    ) -> Result<(), EvaluateError> {
        let most = network.images_at_once();
        loop {
            let (mut places, mut views) = (Vec::new(), Vec::new());
            while places.len() < most
                && let Ok((place, decoded)) = ready.recv()
            {
                match decoded {
                    Ok(decoded) => {
                        places.push(place);
                        views.push(decoded);
                    }
                    Err(reason) => {
                        spectator.passed_over(&images[place].file, &reason);
                        spectator.advance(1);
                        self.failures.push((place, reason));
                    }
                }
            }
            if places.is_empty() {
                return Ok(());
            }
            let rows = network.probabilities(&views)?;
            let verdicts: Vec<_> =
                places.iter().zip(&rows).map(|(&place, row)| verdict(images[place].class, row)).collect();
            if let Some(journal) = journal.as_deref_mut() {
                journal.keep(places.iter().map(|&place| &images[place]).zip(&verdicts))?;
            }
            spectator.advance(places.len());
            for (place, verdict) in places.into_iter().zip(verdicts) {
                self.verdicts[place] = Some(verdict);
            }
        }
    }
}

fn verdict(class: usize, probabilities: &[f32]) -> Verdict {
    let finite = probabilities.iter().all(|value| value.is_finite());
    let top = if finite { top_k(probabilities, KEPT_CLASSES, f32::NEG_INFINITY) } else { Vec::new() };
    Verdict { class, top }
}
