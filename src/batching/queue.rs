//! The bounded queue between requests and workers.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::{
    coming::{Announced, Coming},
    forecast::Lane,
    job::{JobError, SubmitError, WorkerObserver},
    judgement::{Judgement, Timeliness},
    load::Load,
    policy::{Decision, Policy, decide},
    state::{Arrived, Job, JobId, State, is_awaited},
    terms::Terms,
    times::ServiceTimes,
    view::QueueView,
};

pub(super) struct Queue {
    policy: Policy,
    coming: Coming,
    observers: RwLock<Vec<Box<dyn WorkerObserver>>>,
    state: Mutex<State>,
    /// The number of the worker for one image alone, behind all others; `None` where there is none.
    lone: Option<usize>,
    /// Signalled for every new job that is not the lone worker's, and for all at the close.
    changed: Condvar,
    /// Signalled for a job that is the lone worker's, and at the close.
    lone_called: Condvar,
}

impl Queue {
    /// A queue that `workers` threads take from.
    ///
    /// * `with_lone`: and one more, for an image that is alone
    pub(super) fn new(policy: Policy, workers: usize, with_lone: bool) -> Self {
        let lone = with_lone.then_some(workers);
        let state = State {
            jobs: VecDeque::new(),
            next_id: 0,
            idle: 0,
            alive: workers,
            closed: false,
            broken: false,
            lanes: vec![Lane::Free; workers],
            lone: lone.map(|_| Lane::Free),
            times: ServiceTimes::new(policy.max_batch_size),
            preparation: Duration::ZERO,
            judgement: Judgement::new(),
            load: Load::new(workers, Instant::now()),
            runs: 0,
            small_runs: 0,
        };
        let (coming, observers) = (Coming::default(), RwLock::default());
        let (changed, lone_called) = (Condvar::new(), Condvar::new());
        Self { policy, coming, observers, state: Mutex::new(state), lone, changed, lone_called }
    }

    pub(super) fn depth(&self) -> usize {
        self.lock().jobs.len()
    }

    /// Whether nobody waits, or is on the way to.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty() && self.coming.count() == 0
    }

    pub(super) fn load(&self, now: Instant) -> f64 {
        self.lock().load.at(now)
    }

    pub(super) fn observe(&self, observer: Box<dyn WorkerObserver>) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
    }

    /// Images that were taken and not answered before their deadline, and the share of the refused ones that would have been.
    pub(super) fn judgement(&self) -> (u64, f64) {
        let state = self.lock();
        (state.judgement.missed(), state.judgement.in_vain())
    }

    pub(super) fn view(&self, now: Instant) -> QueueView {
        let state = self.lock();
        QueueView {
            waiting: state.jobs.len(),
            coming: self.coming.count(),
            workers: state.lanes.iter().chain(&state.lone).filter(|lane| **lane != Lane::Gone).count(),
            busy_workers: state
                .lanes
                .iter()
                .chain(&state.lone)
                .filter(|lane| matches!(lane, Lane::Running { .. }))
                .count(),
            load: state.load.at(now),
            care_factor: state.judgement.factor(),
            deadline_misses: state.judgement.missed(),
            refused_in_vain: state.judgement.in_vain(),
            preparation: state.preparation,
            runs: state.times.all(),
        }
    }

    /// Whether an image that comes from `now` on would be taken; if so, it counts as one that waits already.
    pub(super) fn announce(&self, terms: &Terms, now: Instant) -> Result<Announced, SubmitError> {
        let is_sample = self.judge(&mut self.lock(), terms, now)?;
        Ok(self.coming.announce(terms, is_sample, now))
    }

    /// Whether an image is taken: as usual, or (`true`) as a sample of those that are refused.
    fn judge(&self, state: &mut State, terms: &Terms, now: Instant) -> Result<bool, SubmitError> {
        match state.admits(&self.policy, terms, &self.coming, now) {
            Ok(()) => Ok(false),
            Err(SubmitError::Hopeless { .. }) if state.may_sample() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// * `announced`: what was said of the image before it came; it is not judged twice
    pub(super) fn push(
        &self,
        Arrived { input, inside, reply, at }: Arrived,
        terms: &Terms,
        announced: Option<Announced>,
    ) -> Result<JobId, SubmitError> {
        let mut state = self.lock();
        let mut announced = match announced {
            Some(announced) => {
                state.is_open(&self.policy, terms.deadline, at)?;
                state.note_preparation(at.saturating_duration_since(announced.since));
                announced
            }
            None => {
                let is_sample = self.judge(&mut state, terms, at)?;
                self.coming.announce(terms, is_sample, at)
            }
        };
        announced.arrive();
        let (standing, is_sample) = (announced.standing, announced.is_sample);
        let announced = Some(announced);
        let job = Job { input, deadline: terms.deadline, standing, announced, inside, reply, enqueued: at, is_sample };
        let id = JobId(state.next_id);
        state.next_id += 1;
        let place = state.behind(standing);
        state.jobs.insert(place, (id, job));
        let (is_alone, wake) = (state.is_for_lone(&self.policy), state.idle > 0);
        drop(state);
        if is_alone {
            self.lone_called.notify_one();
        } else if wake {
            self.changed.notify_one();
        }
        Ok(id)
    }

    /// Takes out a job that nobody waits for any more, if no worker has it yet.
    pub(super) fn forget(&self, id: JobId) {
        let now = Instant::now();
        let mut state = self.lock();
        let position = state.jobs.iter().position(|(other, _)| *other == id);
        let job = position.and_then(|position| state.jobs.remove(position));
        if let Some((_, job)) = &job
            && job.deadline.is_some_and(|deadline| deadline <= now)
        {
            state.judgement.ended(Timeliness::Missed, job.is_sample);
        }
        drop(state);
        // Only now: freeing an image should not hold the others up.
        drop(job);
    }

    /// Fills `batch` with the next jobs worth running by `worker`; waits for them. Answers those that are too late, and forgets
    /// those that nobody waits for. `false` once the queue is closed and empty.
    pub(super) fn take(&self, worker: usize, batch: &mut Vec<Job>) -> bool {
        if self.lone == Some(worker) {
            return self.take_alone(worker, batch);
        }
        let mut state = self.lock();
        state.idle += 1;
        let going = loop {
            let now = Instant::now();
            if state.is_for_lone(&self.policy) {
                // Whoever brought it may have called somebody else: it was not alone then.
                self.lone_called.notify_one();
                state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
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
                    if state.begin_run(&self.policy, worker, count, now, batch) {
                        break true;
                    }
                }
            }
        };
        state.idle -= 1;
        going
    }

    /// The same for the lone worker, which takes one image where nothing else waits or runs. What is not for it is for the others.
    fn take_alone(&self, worker: usize, batch: &mut Vec<Job>) -> bool {
        let mut state = self.lock();
        loop {
            if state.closed {
                return false;
            }
            if state.is_for_lone(&self.policy) {
                if state.begin_run(&self.policy, worker, 1, Instant::now(), batch) {
                    return true;
                }
                continue;
            }
            if !state.jobs.is_empty() && state.idle > 0 {
                // It was alone when it came, so nobody else was called for it.
                self.changed.notify_one();
            }
            state = self.lone_called.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Notes that `worker` has run `jobs` in `time` until `now`, for the load and what is foreseen.
    pub(super) fn note_run(&self, worker: usize, jobs: &[Job], time: Duration, now: Instant) {
        let mut state = self.lock();
        state.turn(worker, Lane::Free);
        if !is_awaited(jobs) {
            return;
        }
        if self.lone != Some(worker) {
            state.times.note(jobs.len(), time);
        }
        for job in jobs {
            if let Some(deadline) = job.deadline {
                let ending = if now <= deadline { Timeliness::InTime } else { Timeliness::Missed };
                state.judgement.ended(ending, job.is_sample);
            }
        }
        state.load.end_run(now);
    }

    /// Puts the counts in order after a worker that broke in the middle of [`Queue::take`].
    pub(super) fn broke_while_taking(&self, worker: usize) {
        let mut state = self.lock();
        if self.lone != Some(worker) {
            state.idle = state.idle.saturating_sub(1);
        }
    }

    /// The same for one that broke before its run was noted.
    pub(super) fn broke_while_running(&self, worker: usize, jobs: &[Job], now: Instant) {
        let mut state = self.lock();
        state.turn(worker, Lane::Free);
        if is_awaited(jobs) {
            state.load.end_run(now);
        }
    }

    /// Shows `what` to every observer.
    pub(super) fn tell(&self, what: impl Fn(&dyn WorkerObserver)) {
        let observers = self.observers.read().unwrap_or_else(PoisonError::into_inner);
        observers.iter().for_each(|observer| what(&**observer));
    }

    /// `worker` leaves. If it is the last one and nobody has closed the queue, nothing would be answered any more: whoever
    /// waits is told `reason`.
    pub(super) fn leave(&self, worker: usize, reason: &str) {
        let mut state = self.lock();
        state.turn(worker, Lane::Gone);
        if self.lone == Some(worker) {
            drop(state);
            // What was its own is the others' now.
            return self.changed.notify_all();
        }
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
        self.lone_called.notify_all();
    }

    /// What [`Queue::take`] does once it has decided, for a test that has a clock of its own.
    #[cfg(test)]
    pub(super) fn begin(&self, worker: usize, count: usize, now: Instant, batch: &mut Vec<Job>) {
        self.lock().begin_run(&self.policy, worker, count, now, batch);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
