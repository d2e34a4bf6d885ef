//! Dynamic batching: many single-image jobs in, few tensor batches out.
//!
//! `Batcher::submit` ─▶ bounded queue ─▶ worker 0..n (threads, each owns a session) ─▶ reply
//!
//! Work-conserving: a worker that falls idle takes what is there, so batches grow by themselves under load and nothing
//! waits without it. There is no collector between queue and workers: the idle worker collects for itself, which saves
//! two thread switches an image. [`policy`] says how much to take, as a pure function.
//!
//! Knows tensors and [`Executor`]. Must not know HTTP, gRPC, image formats, labels or the config file.

mod load;
pub mod policy;
mod queue;
mod worker;

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

pub use policy::Policy;

use crate::{
    runtime::Executor,
    tensor::{Input, Normalizer},
};
use queue::{Job, Queue};

/// What a job gets back.
#[derive(Debug)]
pub struct Reply {
    /// What the network says of the image, `f32[K]`.
    pub logits: Box<[f32]>,
    /// From submission until a worker took the job.
    pub queued: Duration,
    /// The run of the whole batch.
    pub inference: Duration,
    /// How many images the batch had.
    pub batch_size: usize,
}

/// Why a job was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// `capacity` jobs wait already.
    #[error("{capacity} images wait already")]
    Full {
        /// The queue's capacity.
        capacity: usize,
        /// When there may be room, from the speed of late.
        retry_after: Duration,
    },
    /// The job would still wait when its deadline passes.
    #[error("the queue takes longer than the deadline allows")]
    Hopeless {
        /// How long the queue takes, from the speed of late.
        wait: Duration,
    },
    /// The deadline had passed before the job came.
    #[error("the deadline had passed already")]
    Expired,
    /// The batcher is closed.
    #[error("the model is being unloaded")]
    Closed,
}

/// Why a job that was taken has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// Its deadline passed while it waited; it was not run.
    #[error("the deadline passed in the queue")]
    Expired,
    /// The engine failed.
    #[error("{0}")]
    Failed(String),
}

/// Told of every run that ended, before its images are answered: how many images it had, and how long it took.
///
/// Called on the worker's thread: it must be quick.
pub type RunObserver = Box<dyn Fn(usize, Duration) + Send + Sync>;

/// One model's queue with its workers.
pub struct Batcher {
    queue: Arc<Queue>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

impl Batcher {
    /// Starts one worker for each of `executors`.
    ///
    /// * `normalizer`: how pixels become the network's input
    /// * `height`, `width`: of every image
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start<E: Executor>(
        name: &str,
        policy: Policy,
        normalizer: Normalizer,
        (height, width): (usize, usize),
        executors: Vec<E>,
    ) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::new(policy, executors.len()));
        let mut workers = Vec::with_capacity(executors.len());
        for (index, executor) in executors.into_iter().enumerate() {
            let worker = worker::Worker::new(queue.clone(), executor, normalizer.clone(), (height, width));
            let thread = std::thread::Builder::new().name(format!("{name}/{index}"));
            workers.push(thread.spawn(move || worker.work())?);
        }
        Ok(Self { queue, workers: Mutex::new(workers) })
    }

    /// Puts one image in the queue. Dropping the receiver cancels the job: it costs no session time any more.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(
        &self,
        input: Input,
        deadline: Option<Instant>,
    ) -> Result<oneshot::Receiver<Result<Reply, JobError>>, SubmitError> {
        let (reply, receiver) = oneshot::channel();
        self.queue.push(Job { input, deadline, reply, enqueued: Instant::now() })?;
        Ok(receiver)
    }

    /// Tells `observer` of every run from now on. The first observer stays; another one is dropped.
    pub fn observe_runs(&self, observer: RunObserver) {
        self.queue.observe_runs(observer);
    }

    /// The share of the workers that were busy of late, a mean that fades with a time constant of 10 s: 0 idle, 1 where
    /// no worker ever rests.
    pub fn load(&self) -> f64 {
        self.queue.load(Instant::now())
    }

    /// How many images wait.
    pub fn depth(&self) -> usize {
        self.queue.depth()
    }

    /// Takes no more jobs, answers those that wait, and ends the workers. Blocks until they are gone.
    pub fn close(&self) {
        self.queue.close();
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        for worker in workers {
            // A worker catches the panics of its executor; one that still died has nothing left to say.
            let _ = worker.join();
        }
    }
}

impl Drop for Batcher {
    fn drop(&mut self) {
        self.close();
    }
}
