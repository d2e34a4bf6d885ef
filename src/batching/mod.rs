//! Dynamic batching: many single-image jobs in, few tensor batches out.
//!
//! `Batcher::submit` ─▶ bounded queue ─▶ worker 0..n (threads, each owns a session) ─▶ reply
//!
//! Work-conserving: a worker that falls idle takes what is there, so batches grow by themselves under load and nothing
//! waits without it. There is no collector between queue and workers: the idle worker collects for itself, which saves
//! two thread switches an image. [`policy`] says how much to take, as a pure function.
//!
//! Knows tensors and [`Executor`]. Must not know HTTP, gRPC, image formats, labels or the config file.

mod coming;
mod forecast;
mod job;
mod judgement;
mod load;
mod pending;
pub mod policy;
mod queue;
mod run_size;
#[cfg(test)]
mod simulation;
mod state;
mod terms;
mod times;
mod turns;
mod view;
mod worker;

use std::{io, sync::Arc, thread::JoinHandle, time::Instant};

use tokio::sync::oneshot;

pub use coming::Announced;
pub use job::{FinishedRun, Inside, JobError, Reply, Submission, SubmitError, WorkerObserver};
pub use pending::Pending;
pub use policy::{Policy, Priority};
pub use terms::Terms;
pub use times::ServiceTimes;
pub use turns::ClientId;
pub use view::{ExpectedRun, QueueView};

use crate::{
    runtime::Executor,
    tensor::{InputShape, Normalizer},
};
use queue::Queue;
use state::Arrived;

/// What a model's workers own, one each.
pub struct Executors<E> {
    /// For the load: the shape with the most images a second.
    pub side_by_side: Vec<E>,
    /// For one image while nothing else is to be done: the quickest shape, where it is another one.
    pub alone: Option<E>,
}

impl<E> From<Vec<E>> for Executors<E> {
    fn from(side_by_side: Vec<E>) -> Self {
        Self { side_by_side, alone: None }
    }
}

/// The way into one model's queue. Clones share it; the sessions belong to its [`Workers`].
#[derive(Clone)]
pub struct Batcher {
    queue: Arc<Queue>,
    shape: InputShape,
}

impl Batcher {
    /// Starts one worker for each of `executors`, a `Vec` of which all run side by side.
    ///
    /// * `normalizer`: how pixels become the network's input
    /// * `shape`: of every image
    ///
    /// # Errors
    /// If the system gives no thread, or no memory for the batches; workers that were started end again.
    pub fn start<E: Executor>(
        name: &str,
        policy: Policy,
        normalizer: Normalizer,
        shape: InputShape,
        executors: impl Into<Executors<E>>,
    ) -> io::Result<(Self, Workers)> {
        let Executors { side_by_side, alone } = executors.into();
        let queue = Arc::new(Queue::new(policy, side_by_side.len(), alone.is_some()));
        let mut workers = Workers { queue: queue.clone(), threads: Vec::with_capacity(side_by_side.len() + 1) };
        let model = Arc::from(name);
        let side_by_side = side_by_side.into_iter().map(|executor| (executor, policy.max_batch_size));
        for (index, (executor, most)) in side_by_side.chain(alone.map(|executor| (executor, 1))).enumerate() {
            let worker = worker::Worker::new(&model, index, queue.clone(), executor, normalizer.clone(), shape, most)
                .map_err(|error| io::Error::new(io::ErrorKind::OutOfMemory, error))?;
            let thread = std::thread::Builder::new().name(format!("{name}/{index}"));
            workers.threads.push(thread.spawn(move || worker.work())?);
        }
        Ok((Self { queue, shape }, workers))
    }

    /// What every image has to fit.
    pub fn shape(&self) -> InputShape {
        self.shape
    }

    /// Whether an image that comes soon would be taken: asked before it is decoded, so that what has to be refused costs nothing.
    /// What is announced counts as waiting until it is submitted or dropped.
    ///
    /// # Errors
    /// As [`Batcher::submit`].
    pub fn announce(&self, terms: &Terms) -> Result<Announced, SubmitError> {
        self.queue.announce(terms, Instant::now())
    }

    /// Puts one image in the queue. Dropping what is returned takes it out again, if no worker has it yet.
    ///
    /// # Errors
    /// [`SubmitError`]; nothing was queued.
    pub fn submit(&self, submission: Submission) -> Result<Pending, SubmitError> {
        let Submission { input, announced, deadline, priority, client, inside, place } = submission;
        if input.shape() != self.shape {
            return Err(SubmitError::Misfit { wanted: self.shape.dims(), got: input.shape().dims() });
        }
        let (reply, receiver) = oneshot::channel();
        let terms = Terms { deadline, priority, client, longest_wait: None };
        let id = self.queue.push(Arrived { input, inside, reply, at: Instant::now() }, &terms, announced)?;
        Ok(Pending { id, receiver, queue: self.queue.clone(), place, ended: false })
    }

    /// Tells `observer` of what the workers do from now on.
    pub fn observe(&self, observer: Box<dyn WorkerObserver>) {
        self.queue.observe(observer);
    }

    /// The share of the workers that were busy of late, a mean that fades with a time constant of 10 s: 0 idle, 1 where
    /// no worker ever rests.
    pub fn load(&self) -> f64 {
        self.queue.load(Instant::now())
    }

    /// Images that were taken and not answered before their deadline, since the model is served; and of late, the share of the
    /// refused ones that would have been answered in time, by sampling.
    pub fn judgement(&self) -> (u64, f64) {
        self.queue.judgement()
    }

    /// What the queue knows at this moment.
    pub fn view(&self) -> QueueView {
        self.queue.view(Instant::now())
    }

    /// Whether no image waits, nor is being decoded and will.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// How many images wait.
    pub fn depth(&self) -> usize {
        self.queue.depth()
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
            // A worker catches its panics; one that still died has told the queue.
            let _ = thread.join();
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end();
    }
}
