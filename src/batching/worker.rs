//! The thread that owns a session: takes jobs, fills the batch, runs it, answers.
//!
//! A panic inside a run costs that batch. One outside of it costs the batch at hand as well, and the worker begins anew; one
//! that breaks again and again without an answer in between gives up, and when the last one has, the queue says so.

use std::{
    collections::TryReserveError,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    job::{FinishedRun, Inside, JobError, Reply},
    queue::Queue,
    state::{Job, is_awaited},
};
use crate::{
    runtime::{Executor, caught, in_gaps},
    tensor::{Batch, FeatureMaps, InputShape, Logits, Normalizer},
};

/// A worker that broke so often without having answered a batch in between would do so for ever.
const MOST_BREAKS: u32 = 8;

pub(super) struct Worker<E> {
    /// Its number among the queue's workers.
    number: usize,
    /// The model's, for the log.
    name: Arc<str>,
    queue: Arc<Queue>,
    executor: E,
    normalizer: Normalizer,
    batch: Batch,
    logits: Logits,
    /// Of the last batch in which somebody asked for them.
    features: Logits,
    /// The same of the maps before the last layer.
    maps: FeatureMaps,
    /// The images at hand.
    jobs: Vec<Job>,
    at: Phase,
    /// Since the last batch that was answered.
    breaks: u32,
    /// How many it has begun.
    runs: u64,
}

/// Where a worker is, so that the queue's counts can be put in order when it breaks there.
#[derive(Clone, Copy)]
enum Phase {
    /// In the queue, as one of the idle.
    Taking,
    /// With a batch that the queue counts as running.
    Running,
    /// After the run was noted.
    Answering,
}

/// Tells the queue that a worker is gone, however that came about.
struct Leaving(Arc<Queue>, usize);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.leave(self.1, "the model's last worker has broken");
    }
}

impl<E: Executor> Worker<E> {
    /// Takes the memory for its batches.
    ///
    /// * `most`: the images of the largest
    ///
    /// # Errors
    /// If there is not so much memory.
    pub(super) fn new(
        name: &Arc<str>,
        number: usize,
        queue: Arc<Queue>,
        executor: E,
        normalizer: Normalizer,
        shape: InputShape,
        most: usize,
    ) -> Result<Self, TryReserveError> {
        let batch = Batch::reserved(shape, most)?;
        let jobs = Vec::with_capacity(most);
        let (logits, features, at) = (Logits::default(), Logits::default(), Phase::Taking);
        Ok(Self {
            number,
            name: name.clone(),
            queue,
            executor,
            normalizer,
            batch,
            logits,
            features,
            maps: FeatureMaps::default(),
            jobs,
            at,
            breaks: 0,
            runs: 0,
        })
    }

    /// Works until the queue is closed and empty, or until it has broken too often.
    pub(super) fn work(mut self) {
        let _leaving = Leaving(self.queue.clone(), self.number);
        while let Err(reason) = caught(|| self.work_on()) {
            let again = self.begin_anew(&reason);
            let (model, breaks) = (&*self.name, self.breaks);
            if !again {
                tracing::error!(model, breaks, reason, "a worker broke too often between two runs and gives up");
                return;
            }
            tracing::error!(model, breaks, reason, "a worker broke between two runs and begins anew");
        }
    }

    /// Puts in order what a panic left behind; `false` when there is no use in going on.
    fn begin_anew(&mut self, reason: &str) -> bool {
        self.breaks += 1;
        match self.at {
            Phase::Taking => self.queue.broke_while_taking(self.number),
            Phase::Running => self.queue.broke_while_running(self.number, &self.jobs, Instant::now()),
            Phase::Answering => {}
        }
        let failed = JobError::Failed(format!("the worker broke: {reason}"));
        self.jobs.drain(..).for_each(|job| answer(job, Err(failed.clone())));
        // It may be an observer that breaks.
        let told = caught(|| self.queue.tell(|observer| observer.restarted()));
        if let Err(reason) = told {
            tracing::error!(model = &*self.name, reason, "an observer of the workers broke");
        }
        self.breaks < MOST_BREAKS
    }

    fn work_on(&mut self) {
        loop {
            self.at = Phase::Taking;
            if !self.queue.take(self.number, &mut self.jobs) {
                return;
            }
            self.at = Phase::Running;
            let started = Instant::now();
            let (outcome, filled) = self.run_in_place();
            let finished = Instant::now();
            let inference = finished.saturating_duration_since(started);
            let batch_size = self.jobs.len();
            self.runs += 1;
            let run = Some((self.number as u64) << 48 | self.runs);
            self.queue.note_run(self.number, &self.jobs, inference, finished);
            self.at = Phase::Answering;
            let fill = filled.map_or(Duration::ZERO, |filled| filled.saturating_duration_since(started));
            let shadows = self.jobs.iter().filter(|job| job.is_shadow()).count();
            let finished_run =
                FinishedRun { images: batch_size, shadows, time: inference, fill, succeeded: outcome.is_ok() };
            self.queue.tell(|observer| observer.ran(&finished_run));
            match outcome {
                Ok(()) => {
                    let (mut features, mut maps) = (self.features.rows(), self.maps.rows.rows());
                    for (job, row) in self.jobs.drain(..).zip(self.logits.rows()) {
                        let queued = started.saturating_duration_since(job.enqueued);
                        // One after the other, as the images: also those that nobody asked for.
                        let features = features.next().filter(|_| job.inside == Inside::Features).map(Box::from);
                        let map = maps.next().filter(|_| job.inside == Inside::Map).map(Box::from);
                        let logits = row.into();
                        answer(job, Ok(Reply { logits, features, map, queued, inference, fill, batch_size, run }));
                    }
                    let time = finished.elapsed();
                    let awaited = batch_size - shadows;
                    if awaited > 0 {
                        self.queue.tell(|observer| observer.answered(awaited, time));
                    }
                }
                Err(error) => self.jobs.drain(..).for_each(|job| answer(job, Err(error.clone()))),
            }
            self.breaks = 0;
        }
    }

    /// Runs the batch; one that nobody waits for, in the gaps that all others leave: on a thread of its own, since this one could not step forward again. It
    /// waits for that, which takes longest where the cores are busy; those who come to this model meanwhile have its other workers.
    fn run_in_place(&mut self) -> (Result<(), JobError>, Option<Instant>) {
        if is_awaited(&self.jobs) || !self.executor.runs_on_its_caller() {
            return self.run();
        }
        // Where the system gives no thread, it is run as any other.
        in_gaps("shadow", || self.run()).unwrap_or_else(|_| self.run())
    }

    /// Also when the batch was full, if it came to that.
    fn run(&mut self) -> (Result<(), JobError>, Option<Instant>) {
        let Self { executor, normalizer, batch, logits, features, maps, jobs, .. } = self;
        let is_wanted = |inside| jobs.iter().any(|job| job.inside == inside);
        let (with_features, with_maps) = (is_wanted(Inside::Features), is_wanted(Inside::Map));
        let mut filled = None;
        let run = || {
            batch.clear();
            for job in &*jobs {
                job.input.write(normalizer, batch.push());
            }
            filled = Some(Instant::now());
            if with_maps {
                executor.run_with_maps(batch, logits, with_features.then_some(features), maps)
            } else if with_features {
                executor.run_with_features(batch, logits, features)
            } else {
                executor.run(batch, logits)
            }
        };
        let outcome = match caught(run) {
            Ok(Ok(())) if with_features && self.features.rows().len() != self.jobs.len() => {
                let (rows, images) = (self.features.rows().len(), self.jobs.len());
                Err(JobError::Failed(format!("the network gave {rows} rows of features for {images} images")))
            }
            Ok(Ok(())) if with_maps && self.maps.rows.rows().len() != self.jobs.len() => {
                let (rows, images) = (self.maps.rows.rows().len(), self.jobs.len());
                Err(JobError::Failed(format!("the network gave {rows} rows of maps for {images} images")))
            }
            Ok(Ok(())) if self.logits.rows().len() == self.jobs.len() => Ok(()),
            Ok(Ok(())) => Err(JobError::Failed(format!(
                "the network gave {} rows for {} images",
                self.logits.rows().len(),
                self.jobs.len()
            ))),
            Ok(Err(error)) => Err(JobError::Failed(error.to_string())),
            Err(reason) => Err(JobError::Failed(format!("the engine panicked: {reason}"))),
        };
        (outcome, filled)
    }
}

fn answer(job: Job, outcome: Result<Reply, JobError>) {
    // Whoever asked may have left meanwhile.
    let _ = job.reply.send(outcome);
}
