//! A second version runs what the first one has answered, and the two are compared. The answer never waits for it: what is mirrored
//! begins when the answer is there, and only where there is room for it.
//!
//! An image that is mirrored has no place among its version's images in work, and no count but those of `telemetry::traffic`.

use std::sync::Arc;

use bytes::Bytes;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
};

use super::{guard::Observed, guarded::Guarded};
use crate::{
    batching::{Inside, Priority, Submission},
    postprocess::top_k,
    preprocess::{self, DecodeLimits},
    service::{
        account::{Account, Charge},
        content::Content,
        decoders::Decoders,
        served::Served,
    },
    telemetry::{ShadowMetrics, ShadowOutcome},
    tensor::Input,
};

/// The default version's workers may be so busy, as a mean of the last seconds, for anything to be mirrored: whatever runs beside them
/// takes cores that they would need at their next peak.
const MOST_LOAD: f64 = 0.5;

/// Of the memory that requests may take, one part in so many has to be free.
const FREE_PART: usize = 2;

/// The way from one version to the one that mirrors it.
pub(super) struct Mirroring {
    pub(super) of: Arc<Served>,
    pub(super) shadow: Arc<Served>,
    pub(super) metrics: ShadowMetrics,
    pub(super) guarded: Option<Arc<Guarded>>,
    /// The images that are mirrored at a time, whatever snapshots come and go.
    pub(super) slots: Arc<Semaphore>,
}

/// What is left over for mirrored images.
#[derive(Clone)]
pub(in crate::service) struct Spare {
    pub(in crate::service) account: Arc<Account>,
    pub(in crate::service) decoders: Decoders,
    pub(in crate::service) limits: DecodeLimits,
    /// The most that requests may take.
    pub(in crate::service) max_in_flight_bytes: usize,
}

/// An image that is run by the first version, and may be run by the second one afterwards.
pub(in crate::service) struct Mirrored {
    mirror: Arc<Mirroring>,
    what: What,
}

enum What {
    /// Whatever the first version takes; not there yet.
    Same,
    Input(Input),
    /// The second version takes pictures of another size.
    Picture(Bytes),
}

/// What goes with an image while it is mirrored.
struct Taken {
    _slot: OwnedSemaphorePermit,
    _memory: Charge,
}

impl std::fmt::Debug for Mirroring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} version {} beside {}", self.shadow.model.name, self.shadow.model.version, self.of.model.version)
    }
}

impl Mirroring {
    /// Whether there is room for one more, before it costs anything; it is asked again when the answer is there.
    pub(super) fn begin(self: &Arc<Self>, content: &Content) -> Option<Mirrored> {
        if self.guarded.as_ref().is_some_and(|guarded| guarded.guard.broken().is_some()) {
            return None;
        }
        let (ours, theirs) = (&self.of.model, &self.shadow.model);
        let is_same = ours.batcher.shape() == theirs.batcher.shape();
        let what = match content {
            _ if ours.classes() != theirs.classes() => Err(ShadowOutcome::Unlike),
            Content::Tensor(_) if !is_same || ours.info.numbers != theirs.info.numbers => Err(ShadowOutcome::Unlike),
            Content::Picture(picture) if !is_same || ours.spec != theirs.spec => {
                Ok(What::Picture(picture.file.clone()))
            }
            // Nobody else knows which part of the picture it is.
            Content::Crop(..) if !is_same || ours.spec != theirs.spec => Err(ShadowOutcome::Unlike),
            Content::Picture(_) | Content::Crop(..) | Content::Tensor(_) => Ok(What::Same),
        };
        let what = what.and_then(|what| self.room().map(|()| what));
        what.map(|what| Mirrored { mirror: self.clone(), what }).map_err(|outcome| self.metrics.note(outcome)).ok()
    }

    fn room(&self) -> Result<(), ShadowOutcome> {
        if self.of.model.batcher.load() > MOST_LOAD {
            return Err(ShadowOutcome::Loaded);
        }
        if self.slots.available_permits() == 0 || !self.shadow.model.batcher.is_empty() {
            return Err(ShadowOutcome::Busy);
        }
        Ok(())
    }

    /// The memory and the slot of one image.
    fn take(&self, spare: &Spare, bytes: usize) -> Result<Taken, ShadowOutcome> {
        self.room()?;
        if !self.of.model.batcher.is_empty() {
            return Err(ShadowOutcome::Loaded);
        }
        let slot = self.slots.clone().try_acquire_owned().map_err(|_| ShadowOutcome::Busy)?;
        // Where so much is free, nobody has to give anything back for it.
        let most = spare.max_in_flight_bytes / FREE_PART;
        if spare.account.used().saturating_add(bytes) > most {
            return Err(ShadowOutcome::Memory);
        }
        let memory = spare.account.charge(bytes).map_err(|_| ShadowOutcome::Memory)?;
        Ok(Taken { _slot: slot, _memory: memory })
    }
}

impl Mirrored {
    /// The image as the first version takes it.
    pub(in crate::service) fn see(&mut self, input: &Input) {
        if matches!(self.what, What::Same) {
            self.what = What::Input(input.clone());
        }
    }

    /// The first version has answered: the second one runs it now, where there is room. Returns at once.
    ///
    /// * `logits`: the answer
    pub(in crate::service) fn compare(self, logits: &[f32], spare: &Spare) {
        let Self { mirror, what } = self;
        let bytes = match &what {
            What::Same => return,
            What::Input(input) => input.bytes().1.len(),
            What::Picture(file) => {
                let header = preprocess::probe(file).ok();
                let cost =
                    header.map_or(0, |header| preprocess::cost(&header, &mirror.shadow.model.spec, &spare.limits));
                file.len().saturating_add(usize::try_from(cost).unwrap_or(usize::MAX))
            }
        };
        let taken = match mirror.take(spare, bytes) {
            Ok(taken) => taken,
            Err(outcome) => return mirror.metrics.note(outcome),
        };
        let (logits, spare): (Box<[f32]>, _) = (logits.into(), spare.clone());
        // Not joined: it ends with the run, and the end of the shadow's queue ends it, too.
        tokio::spawn(async move {
            let _taken = taken;
            match mirror.run(what, &spare).await {
                Ok(row) => mirror.note(&logits, row),
                Err(outcome) => {
                    mirror.metrics.note(outcome);
                    if let (ShadowOutcome::Failed, Some(guarded)) = (outcome, &mirror.guarded) {
                        guarded.note(Observed::Fault);
                    }
                }
            }
        });
    }
}

impl Mirroring {
    async fn run(self: &Arc<Self>, what: What, spare: &Spare) -> Result<Box<[f32]>, ShadowOutcome> {
        let input = match what {
            What::Same => return Err(ShadowOutcome::Unlike),
            What::Input(input) => input,
            What::Picture(file) => self.decode(file, spare).await?,
        };
        let (announced, deadline, client, place) = (None, None, None, None);
        let submission = Submission {
            input,
            announced,
            deadline,
            priority: Priority::SHADOW,
            client,
            inside: Inside::Nothing,
            place,
        };
        let pending = self.shadow.model.batcher.submit(submission).map_err(|_| ShadowOutcome::Busy)?;
        pending.await.map(|reply| reply.logits).map_err(|_| ShadowOutcome::Failed)
    }

    /// Only while nobody else decodes. It takes no turn, so that nobody waits for it.
    async fn decode(self: &Arc<Self>, file: Bytes, spare: &Spare) -> Result<Input, ShadowOutcome> {
        if !spare.decoders.are_idle() {
            return Err(ShadowOutcome::Loaded);
        }
        let (mirror, limits) = (self.clone(), spare.limits);
        let decoded = spawn_blocking(move || {
            let model = &mirror.shadow.model;
            let pixels = preprocess::preprocess(&file, &model.spec, &limits).ok()?;
            model.batcher.shape().pixels(pixels).ok()
        });
        decoded.await.ok().flatten().ok_or(ShadowOutcome::Failed)
    }

    fn note(&self, ours: &[f32], mut theirs: Box<[f32]>) {
        let mut ours: Box<[f32]> = ours.into();
        if ours.len() != theirs.len() {
            return self.metrics.note(ShadowOutcome::Unlike);
        }
        self.of.model.activation.apply(&mut ours);
        self.shadow.model.activation.apply(&mut theirs);
        let is_answer = theirs.iter().all(|value| value.is_finite());
        if !is_answer {
            self.metrics.note(ShadowOutcome::Failed);
            if let Some(guarded) = &self.guarded {
                guarded.note(Observed::Fault);
            }
            return;
        }
        let agrees = first(&ours) == first(&theirs);
        let differences = ours.iter().zip(&theirs).map(|(our, their)| f64::from((our - their).abs()));
        self.metrics.note_comparison(agrees, differences.fold(0.0, f64::max));
        if let Some(guarded) = &self.guarded {
            guarded.note(Observed::Answered(None));
            guarded.note(Observed::Compared { agrees });
        }
    }
}

fn first(row: &[f32]) -> Option<usize> {
    top_k(row, 1, f32::NEG_INFINITY).first().map(|(index, _)| *index)
}
