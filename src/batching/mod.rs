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
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use policy::{Policy, Priority};

use crate::{
    runtime::Executor,
    tensor::{Input, InputShape, Normalizer},
};
use queue::{Job, JobId, Queue};

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
    /// The image was made for another network.
    #[error("an image made for an input of {got:?} was given to a network that takes {wanted:?}")]
    Misfit {
        /// What the network takes.
        wanted: [usize; 3],
        /// What the image was made for.
        got: [usize; 3],
    },
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

/// One image for the queue.
#[derive(Debug)]
pub struct Submission {
    /// The image.
    pub input: Input,
    /// When whoever asked stops waiting.
    pub deadline: Option<Instant>,
    /// Whom it may overtake.
    pub priority: Priority,
    /// Its place among the model's images in work, which is free again as soon as nobody waits for the image: because it was
    /// answered, or because its client left. `None` where nobody counts.
    pub place: Option<OwnedSemaphorePermit>,
}

/// The way into one model's queue. Clones share it; the sessions belong to its [`Workers`].
#[derive(Clone)]
pub struct Batcher {
    queue: Arc<Queue>,
    shape: InputShape,
}

impl Batcher {
    /// Starts one worker for each of `executors`.
    ///
    /// * `normalizer`: how pixels become the network's input
    /// * `shape`: of every image
    ///
    /// # Errors
    /// If the system gives no thread; those that were started end again.
    pub fn start<E: Executor>(
        name: &str,
        policy: Policy,
        normalizer: Normalizer,
        shape: InputShape,
        executors: Vec<E>,
    ) -> std::io::Result<(Self, Workers)> {
        let queue = Arc::new(Queue::new(policy, executors.len()));
        let mut workers = Workers { queue: queue.clone(), threads: Vec::with_capacity(executors.len()) };
        for (index, executor) in executors.into_iter().enumerate() {
            let worker = worker::Worker::new(queue.clone(), executor, normalizer.clone(), shape);
            let thread = std::thread::Builder::new().name(format!("{name}/{index}"));
            workers.threads.push(thread.spawn(move || worker.work())?);
        }
        Ok((Self { queue, shape }, workers))
    }

    /// What every image has to fit.
    pub fn shape(&self) -> InputShape {
        self.shape
    }

    /// Puts one image in the queue. Dropping what is returned takes it out again, if no worker has it yet.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(&self, submission: Submission) -> Result<Pending, SubmitError> {
        let Submission { input, deadline, priority, place } = submission;
        if input.shape() != self.shape {
            return Err(SubmitError::Misfit { wanted: self.shape.dims(), got: input.shape().dims() });
        }
        let (reply, receiver) = oneshot::channel();
        let id = self.queue.push(Job { input, deadline, priority, reply, enqueued: Instant::now() })?;
        Ok(Pending { id, receiver, queue: self.queue.clone(), place, ended: false })
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
}

/// The answer to a [`Submission`], when there is one.
pub struct Pending {
    id: JobId,
    receiver: oneshot::Receiver<Result<Reply, JobError>>,
    queue: Arc<Queue>,
    place: Option<OwnedSemaphorePermit>,
    ended: bool,
}

/// A worker ends only after it has answered; should it break all the same, whoever waits is told.
const WORKER_GONE: &str = "the worker is gone";

impl Pending {
    /// Waits on a thread of its own, not on one of Tokio's.
    ///
    /// # Errors
    /// [`JobError`].
    pub fn wait(mut self) -> Result<Reply, JobError> {
        let (_, unused) = oneshot::channel();
        let receiver = std::mem::replace(&mut self.receiver, unused);
        self.ended = true;
        receiver.blocking_recv().unwrap_or_else(|_| Err(JobError::Failed(WORKER_GONE.to_owned())))
    }
}

impl Future for Pending {
    type Output = Result<Reply, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.receiver).poll(cx).map(|answer| {
            self.ended = true;
            // Before the answer: a client that sends its next image at once finds the place free.
            self.place = None;
            answer.unwrap_or_else(|_| Err(JobError::Failed(WORKER_GONE.to_owned())))
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.ended {
            self.queue.forget(self.id);
        }
    }
}

/// The threads that own one model's sessions. Dropping it closes the queue and waits for them, so only the thread that
/// may wait for a run and free a network should hold one.
pub struct Workers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

impl Workers {
    /// Takes no more jobs, answers those that wait, and ends the workers. Blocks until they are gone, and the sessions with
    /// them.
    pub fn close(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.queue.close();
        for thread in self.threads.drain(..) {
            // A worker catches its panics; one that still died has nothing left to say.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}
