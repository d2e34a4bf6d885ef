//! The bounded queue between requests and workers.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    job::{JobError, Reply, SubmitError, WorkerObserver},
    load::Load,
    policy::{Decision, Policy, Priority, decide},
};
use crate::tensor::Input;

/// One image on its way.
pub(super) struct Job {
    pub(super) input: Input,
    pub(super) deadline: Option<Instant>,
    pub(super) priority: Priority,
    pub(super) features: bool,
    pub(super) reply: oneshot::Sender<Result<Reply, JobError>>,
    pub(super) enqueued: Instant,
}

/// Tells a queue's jobs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobId(u64);

pub(super) struct Queue {
    policy: Policy,
    workers: usize,
    observers: RwLock<Vec<Box<dyn WorkerObserver>>>,
    state: Mutex<State>,
    /// Signalled for every new job, and for all at the close.
    changed: Condvar,
}

struct State {
    /// By priority; the oldest of one priority first.
    jobs: VecDeque<(JobId, Job)>,
    next_id: u64,
    idle: usize,
    /// Workers that have not left.
    alive: usize,
    closed: bool,
    /// The last worker left before the close.
    broken: bool,
    /// The time that one image takes off the queue of late; zero until the first batch.
    pace: Duration,
    load: Load,
}

impl State {
    fn wait(&self) -> Duration {
        self.pace * u32::try_from(self.jobs.len()).unwrap_or(u32::MAX)
    }

    /// Whether a job would be taken now: the one place that says why not.
    fn admits(&self, capacity: usize, deadline: Option<Instant>, now: Instant) -> Result<(), SubmitError> {
        if self.broken {
            return Err(SubmitError::Broken);
        }
        if self.closed {
            return Err(SubmitError::Closed);
        }
        let wait = self.wait();
        if self.jobs.len() >= capacity {
            return Err(SubmitError::Full { capacity, retry_after: wait });
        }
        match deadline {
            Some(deadline) if deadline <= now => Err(SubmitError::Expired),
            Some(deadline) if deadline < now + wait => Err(SubmitError::Hopeless { wait }),
            _ => Ok(()),
        }
    }
}

impl Queue {
    /// A queue that `workers` threads take from.
    pub(super) fn new(policy: Policy, workers: usize) -> Self {
        let state = State {
            jobs: VecDeque::new(),
            next_id: 0,
            idle: 0,
            alive: workers,
            closed: false,
            broken: false,
            pace: Duration::ZERO,
            load: Load::new(workers, Instant::now()),
        };
        Self { policy, workers, observers: RwLock::default(), state: Mutex::new(state), changed: Condvar::new() }
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(super) fn depth(&self) -> usize {
        self.lock().jobs.len()
    }

    pub(super) fn load(&self, now: Instant) -> f64 {
        self.lock().load.at(now)
    }

    pub(super) fn observe(&self, observer: Box<dyn WorkerObserver>) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
    }

    /// Whether a job that came at `now` would be taken.
    pub(super) fn consider(&self, deadline: Option<Instant>, now: Instant) -> Result<(), SubmitError> {
        self.lock().admits(self.policy.queue_capacity, deadline, now)
    }

    pub(super) fn push(&self, job: Job) -> Result<JobId, SubmitError> {
        let mut state = self.lock();
        state.admits(self.policy.queue_capacity, job.deadline, job.enqueued)?;
        let id = JobId(state.next_id);
        state.next_id += 1;
        // Nearly always at the end: what is as urgent came before.
        let overtaken = state.jobs.iter().rev().take_while(|(_, other)| other.priority > job.priority).count();
        let place = state.jobs.len() - overtaken;
        state.jobs.insert(place, (id, job));
        let wake = state.idle > 0;
        drop(state);
        if wake {
            self.changed.notify_one();
        }
        Ok(id)
    }

    /// Takes out a job that nobody waits for any more, if no worker has it yet.
    pub(super) fn forget(&self, id: JobId) {
        let mut state = self.lock();
        let position = state.jobs.iter().position(|(other, _)| *other == id);
        let job = position.and_then(|position| state.jobs.remove(position));
        drop(state);
        // Only now: freeing an image should not hold the others up.
        drop(job);
    }

    /// Fills `batch` with the next jobs worth running; waits for them. Answers those that are too late, and forgets
    /// those that nobody waits for. `false` once the queue is closed and empty.
    pub(super) fn take(&self, batch: &mut Vec<Job>) -> bool {
        let mut state = self.lock();
        state.idle += 1;
        let going = loop {
            let now = Instant::now();
            // Not the first: what is more urgent stands before it.
            let oldest = state.jobs.iter().map(|(_, job)| job.enqueued).min();
            let oldest = oldest.map_or(Duration::ZERO, |enqueued| now.saturating_duration_since(enqueued));
            match decide(&self.policy, state.jobs.len(), oldest, state.idle) {
                Decision::Sleep if state.closed => break false,
                Decision::Sleep => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                Decision::WaitFor(time) if !state.closed => {
                    state = self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0;
                }
                decision => {
                    let count = if let Decision::Take(count) = decision { count } else { state.jobs.len() };
                    collect(&mut state.jobs, count, now, batch);
                    if !batch.is_empty() {
                        state.load.begin_run(now);
                        break true;
                    }
                }
            }
        };
        state.idle -= 1;
        going
    }

    /// Notes that `images` took one of the workers `time` until `now`, for the estimate of the wait and the load.
    pub(super) fn note_run(&self, images: usize, time: Duration, now: Instant) {
        let of_late = time / u32::try_from((images * self.workers.max(1)).max(1)).unwrap_or(u32::MAX);
        let mut state = self.lock();
        state.pace = if state.pace.is_zero() { of_late } else { (state.pace * 7 + of_late) / 8 };
        state.load.end_run(now);
    }

    /// Puts the counts in order after a worker that broke in the middle of [`Queue::take`].
    pub(super) fn broke_while_taking(&self) {
        let mut state = self.lock();
        state.idle = state.idle.saturating_sub(1);
    }

    /// The same for one that broke before its run was noted.
    pub(super) fn broke_while_running(&self, now: Instant) {
        self.lock().load.end_run(now);
    }

    /// Shows `what` to every observer.
    pub(super) fn tell(&self, what: impl Fn(&dyn WorkerObserver)) {
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner);
        observers.iter().for_each(|observer| what(&**observer));
    }

    /// A worker leaves. If it is the last one and nobody has closed the queue, nothing would be answered any more: whoever
    /// waits is told `reason`.
    pub(super) fn leave(&self, reason: &str) {
        let mut state = self.lock();
        state.alive = state.alive.saturating_sub(1);
        if state.alive > 0 || state.closed {
            return;
        }
        state.broken = true;
        let left = std::mem::take(&mut state.jobs);
        drop(state);
        for (_, job) in left {
            // Whoever asked may have left meanwhile.
            let _ = job.reply.send(Err(JobError::Failed(reason.to_owned())));
        }
        self.tell(|observer| observer.gone());
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn collect(jobs: &mut VecDeque<(JobId, Job)>, count: usize, now: Instant, batch: &mut Vec<Job>) {
    while batch.len() < count {
        let Some((_, job)) = jobs.pop_front() else { break };
        if job.reply.is_closed() {
            continue;
        }
        if job.deadline.is_some_and(|deadline| deadline <= now) {
            // The receiver may have left in this moment; then nobody misses the answer.
            let _ = job.reply.send(Err(JobError::Expired));
            continue;
        }
        batch.push(job);
    }
}
