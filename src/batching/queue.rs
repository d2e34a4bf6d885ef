//! The bounded queue between requests and workers.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use super::{
    coming::{Announced, Coming},
    forecast::Lane,
    job::{JobError, SubmitError, Terms, WorkerObserver},
    judgement::{Judgement, Timeliness},
    load::Load,
    policy::{Decision, Policy, decide},
    state::{Job, JobId, State},
    times::ServiceTimes,
};

pub(super) struct Queue {
    policy: Policy,
    coming: Coming,
    observers: RwLock<Vec<Box<dyn WorkerObserver>>>,
    state: Mutex<State>,
    /// Signalled for every new job, and for all at the close.
    changed: Condvar,
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
            lanes: vec![Lane::Free; workers],
            times: ServiceTimes::new(policy.max_batch_size),
            preparation: Duration::ZERO,
            judgement: Judgement::new(),
            load: Load::new(workers, Instant::now()),
            runs: 0,
        };
        let (coming, observers) = (Coming::default(), RwLock::default());
        Self { policy, coming, observers, state: Mutex::new(state), changed: Condvar::new() }
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

    /// Images that were taken and not answered before their deadline, and the share of the refused ones that would have been.
    pub(super) fn judgement(&self) -> (u64, f64) {
        let state = self.lock();
        (state.judgement.missed(), state.judgement.in_vain())
    }

    /// Whether an image that comes from `now` on would be taken; if so, it counts as one that waits already.
    pub(super) fn announce(&self, terms: &Terms, now: Instant) -> Result<Announced, SubmitError> {
        let is_sample = self.judge(&mut self.lock(), terms, now)?;
        Ok(self.coming.announce(is_sample, now))
    }

    /// Whether an image is taken: as usual, or (`true`) as a sample of those that are refused.
    fn judge(&self, state: &mut State, terms: &Terms, now: Instant) -> Result<bool, SubmitError> {
        match state.admits(&self.policy, terms, self.coming.count(), now) {
            Ok(()) => Ok(false),
            Err(SubmitError::Hopeless { .. }) if state.may_sample() => Ok(true),
            Err(error) => Err(error),
        }
    }

    /// * `announced`: what was said of the job before it came; it is not judged twice
    pub(super) fn push(&self, mut job: Job, announced: Option<Announced>) -> Result<JobId, SubmitError> {
        let mut state = self.lock();
        job.is_sample = match &announced {
            Some(announced) => {
                state.is_open(&self.policy, job.deadline, job.enqueued)?;
                state.note_preparation(job.enqueued.saturating_duration_since(announced.since));
                announced.is_sample
            }
            None => {
                let terms = Terms { deadline: job.deadline, priority: job.priority, longest_wait: None };
                self.judge(&mut state, &terms, job.enqueued)?
            }
        };
        drop(announced);
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
                    if state.begin_run(worker, count, now, batch) {
                        break true;
                    }
                }
            }
        };
        state.idle -= 1;
        going
    }

    /// Notes that `worker` has run `jobs` in `time` until `now`, for the load and what is foreseen.
    pub(super) fn note_run(&self, worker: usize, jobs: &[Job], time: Duration, now: Instant) {
        let mut state = self.lock();
        state.turn(worker, Lane::Free);
        state.times.note(jobs.len(), time);
        for job in jobs {
            if let Some(deadline) = job.deadline {
                let ending = if now <= deadline { Timeliness::InTime } else { Timeliness::Missed };
                state.judgement.ended(ending, job.is_sample);
            }
        }
        state.load.end_run(now);
    }

    /// Puts the counts in order after a worker that broke in the middle of [`Queue::take`].
    pub(super) fn broke_while_taking(&self) {
        let mut state = self.lock();
        state.idle = state.idle.saturating_sub(1);
    }

    /// The same for one that broke before its run was noted.
    pub(super) fn broke_while_running(&self, worker: usize, now: Instant) {
        let mut state = self.lock();
        state.turn(worker, Lane::Free);
        state.load.end_run(now);
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

    /// What [`Queue::take`] does once it has decided, for a test that has a clock of its own.
    #[cfg(test)]
    pub(super) fn begin(&self, worker: usize, count: usize, now: Instant, batch: &mut Vec<Job>) {
        self.lock().begin_run(worker, count, now, batch);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::{
        batching::{Priority, Reply},
        tensor::{InputShape, Layout, NumberType},
    };

    const POLICY: Policy = Policy { max_batch_size: 8, max_queue_delay: Duration::ZERO, queue_capacity: 64 };

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    /// One worker that needs 10 ms an image.
    fn queue(now: Instant) -> Queue {
        let queue = Queue::new(POLICY, 1);
        queue.note_run(0, &[job(now, None).0], ms(10), now);
        queue
    }

    type Answer = oneshot::Receiver<Result<Reply, JobError>>;

    fn job(now: Instant, deadline: Option<Duration>) -> (Job, Answer) {
        let shape = InputShape { layout: Layout::Nchw, channels: 1, height: 1, width: 1 };
        let input = shape.tensor(vec![0; 4].into(), NumberType::Float32).expect("it fits");
        let (reply, answer) = oneshot::channel();
        let deadline = deadline.map(|deadline| now + deadline);
        let priority = Priority::DEFAULT;
        (Job { input, deadline, priority, features: false, reply, enqueued: now, is_sample: false }, answer)
    }

    fn by(deadline: Instant) -> Terms {
        Terms { deadline: Some(deadline), ..Terms::default() }
    }

    /// Jobs with such deadlines wait; the size of the batch that is taken now.
    fn taken(now: Instant, deadlines: &[Option<Duration>]) -> (usize, Vec<Answer>) {
        let queue = queue(now);
        let wait = |deadline: &Option<Duration>| {
            let (job, answer) = job(now, *deadline);
            // They were promised something once; how it is now is seen when they are taken.
            queue.push(job, Some(queue.coming.announce(false, now))).expect("there is room");
            answer
        };
        let answers = deadlines.iter().map(wait).collect();
        let mut batch = Vec::new();
        queue.lock().collect(8, now, &mut batch);
        (batch.len(), answers)
    }

    #[test]
    fn a_batch_is_as_large_as_its_deadlines_allow() {
        let now = Instant::now();
        assert_eq!(taken(now, &[None; 9]).0, 8);
        assert_eq!(taken(now, &[Some(ms(1_000)); 9]).0, 8);
        assert_eq!(taken(now, &[Some(ms(35)); 9]).0, 3);
        assert_eq!(taken(now, &[Some(ms(10)), None, None]).0, 1);
        assert_eq!(taken(now, &[None, Some(ms(25)), None]).0, 2);
        assert_eq!(
            taken(now, &[None, None, Some(ms(25)), None]).0,
            2,
            "the third would be late, and waits for the next run"
        );
    }

    #[test]
    fn what_cannot_be_answered_in_time_is_told_at_once_and_not_run() {
        let now = Instant::now();
        let (size, mut answers) = taken(now, &[Some(ms(5)), Some(ms(40)), None]);
        assert_eq!(size, 2);
        assert_eq!(answers[0].try_recv().expect("an answer").map(|_| ()), Err(JobError::Expired));
        assert!(answers[1].try_recv().is_err());
    }

    #[test]
    fn what_is_less_urgent_waits_but_not_for_ever() {
        let now = Instant::now();
        let queue = queue(now);
        let push = |priority, waited| {
            let (job, answer) = job(now - ms(waited), None);
            queue.push(Job { priority: Priority(priority), ..job }, None).expect("there is room");
            answer
        };
        let _bulk = [push(200, 90), push(200, 80)];
        let mut order = Vec::new();
        for _ in 0..17 {
            let _urgent = push(100, 1);
            let mut batch = Vec::new();
            queue.lock().collect(1, now, &mut batch);
            order.extend(batch.into_iter().map(|job| job.priority.0));
        }
        let bulk: Vec<_> = (0..17).filter(|run| order[*run] == 200).collect();
        assert_eq!(bulk, [7, 15], "{order:?}");
    }

    #[test]
    fn the_run_under_way_what_waits_and_what_is_announced_count_before_an_image_is_taken() {
        let now = Instant::now();
        let queue = queue(now);
        let announced = queue.announce(&by(now + ms(15)), now).expect("the worker is idle");
        assert!(matches!(queue.announce(&by(now + ms(15)), now), Err(SubmitError::Hopeless { .. })), "one is coming");
        drop(announced);
        assert!(queue.announce(&by(now + ms(15)), now).is_ok());

        queue.lock().turn(0, Lane::Running { since: now, images: 4 });
        let refused = queue.announce(&by(now + ms(45)), now).expect_err("a run of 40 ms is under way");
        assert_eq!(refused, SubmitError::Hopeless { wait: ms(40) });
        assert!(queue.announce(&by(now + ms(55)), now).is_ok());
        assert!(queue.announce(&by(now + ms(25)), now + ms(20)).is_err());
    }

    #[test]
    fn the_time_that_decoding_takes_counts_where_no_wait_covers_it() {
        let now = Instant::now();
        let queue = queue(now);
        let announced = queue.announce(&by(now + ms(15)), now).expect("the worker is idle");
        let (decoded, answer) = job(now + ms(8), None);
        queue.push(decoded, Some(announced)).expect("there is room");
        drop(answer);
        queue.lock().collect(8, now, &mut Vec::new());

        assert!(queue.announce(&by(now + ms(15)), now).is_err(), "8 ms and a run of 10 ms");
        assert!(queue.announce(&by(now + ms(20)), now).is_ok());
        queue.lock().turn(0, Lane::Running { since: now, images: 1 });
        assert!(queue.announce(&by(now + ms(25)), now).is_ok(), "it is decoded during the run under way");
    }

    #[test]
    fn an_image_that_would_wait_longer_than_the_target_is_refused() {
        let now = Instant::now();
        let queue = queue(now);
        let terms = Terms { longest_wait: Some(ms(30)), ..Terms::default() };
        queue.lock().turn(0, Lane::Running { since: now, images: 3 });
        assert!(queue.announce(&terms, now).is_ok(), "30 ms are allowed");
        queue.lock().turn(0, Lane::Running { since: now, images: 4 });
        let refused = queue.announce(&terms, now).expect_err("40 ms are not");
        assert_eq!(refused, SubmitError::Congested { wait: ms(40), target: ms(30) });
    }

    #[test]
    fn nothing_is_refused_for_its_deadline_before_the_first_run() {
        let now = Instant::now();
        let queue = Queue::new(POLICY, 1);
        assert!(queue.announce(&by(now + ms(1)), now).is_ok());
        assert!(matches!(queue.announce(&by(now), now), Err(SubmitError::Expired)));
    }

    #[test]
    fn one_of_many_refusals_is_taken_and_tells_whether_they_are_right() {
        let now = Instant::now();
        let queue = queue(now);
        queue.lock().turn(0, Lane::Running { since: now, images: 8 });
        let hopeless = by(now + ms(20));
        let samples = || (0..64).filter_map(|_| queue.announce(&hopeless, now).ok()).collect::<Vec<_>>();
        assert_eq!(samples().len(), 0, "the worker has others to answer, and has answered none");
        let (answered, _answer) = job(now, Some(ms(20)));
        (0..100).for_each(|_| queue.lock().judgement.ended(Timeliness::InTime, answered.is_sample));
        let samples = samples();
        assert_eq!(samples.len(), 1);
        let (sample, _answer) = job(now, Some(ms(20)));
        queue.push(sample, samples.into_iter().next()).expect("there is room");
        let mut batch = Vec::new();
        queue.lock().collect(8, now + ms(15), &mut batch);
        assert_eq!(batch.len(), 1, "it runs although it looks hopeless");
        queue.note_run(0, &batch, ms(4), now + ms(19));
        let (missed, in_vain) = queue.judgement();
        assert!(missed == 0 && in_vain > 0.0, "{missed}, {in_vain}");
    }
}
