//! The thread that owns a session: takes jobs, fills the batch, runs it, answers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};

use super::{
    job::{JobError, Reply},
    queue::{Job, Queue},
};
use crate::{
    runtime::Executor,
    tensor::{Batch, InputShape, Logits, Normalizer},
};

pub(super) struct Worker<E> {
    queue: Arc<Queue>,
    executor: E,
    normalizer: Normalizer,
    batch: Batch,
    logits: Logits,
}

impl<E: Executor> Worker<E> {
    pub(super) fn new(queue: Arc<Queue>, executor: E, normalizer: Normalizer, shape: InputShape) -> Self {
        let batch = Batch::new(shape.layout, shape.height, shape.width, queue.policy().max_batch_size);
        Self { queue, executor, normalizer, batch, logits: Logits::default() }
    }

    /// Works until the queue is closed and empty. A panic costs the batch it happened in, never the worker: whoever waits for
    /// that batch is told, and the next one runs.
    pub(super) fn work(mut self) {
        while catch_unwind(AssertUnwindSafe(|| self.work_on())).is_err() {
            tracing::error!("a worker broke between two batches and goes on");
        }
    }

    fn work_on(&mut self) {
        let mut jobs = Vec::with_capacity(self.queue.policy().max_batch_size);
        while self.queue.take(&mut jobs) {
            let started = Instant::now();
            let outcome = self.run(&jobs);
            let finished = Instant::now();
            let inference = finished.saturating_duration_since(started);
            let batch_size = jobs.len();
            self.queue.note_run(batch_size, inference, finished);
            match outcome {
                Ok(()) => {
                    for (job, row) in jobs.drain(..).zip(self.logits.rows()) {
                        let queued = started.saturating_duration_since(job.enqueued);
                        answer(job, Ok(Reply { logits: row.into(), queued, inference, batch_size }));
                    }
                }
                Err(error) => jobs.drain(..).for_each(|job| answer(job, Err(error.clone()))),
            }
        }
    }

    fn run(&mut self, jobs: &[Job]) -> Result<(), JobError> {
        let Self { executor, normalizer, batch, logits, .. } = self;
        let run = || {
            batch.clear();
            for job in jobs {
                job.input.write(normalizer, batch.push());
            }
            executor.run(batch, logits)
        };
        match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) if self.logits.rows().len() == jobs.len() => Ok(()),
            Ok(Ok(())) => Err(JobError::Failed(format!(
                "the network gave {} rows for {} images",
                self.logits.rows().len(),
                jobs.len()
            ))),
            Ok(Err(error)) => Err(JobError::Failed(error.to_string())),
            Err(_) => Err(JobError::Failed("the engine panicked".to_owned())),
        }
    }
}

fn answer(job: Job, outcome: Result<Reply, JobError>) {
    // Whoever asked may have left meanwhile.
    let _ = job.reply.send(outcome);
}
