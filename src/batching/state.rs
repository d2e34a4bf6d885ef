//! What a queue knows, under its lock: who waits, who works, what is foreseen. Pure: no clock, no lock.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    coming::{Announced, Coming, Rank},
    forecast::{Forecast, Lane, forecast},
    job::{Inside, JobError, Reply, SubmitError},
    judgement::{Judgement, Timeliness},
    load::Load,
    policy::{Policy, Priority, one_is_alone},
    run_size::{brief_run, fair_run, run_size},
    terms::Terms,
    times::ServiceTimes,
};
use crate::tensor::Input;

/// Every so many runs, the image that has waited longest goes first whatever its priority, so that none waits for ever.
const RUNS_A_TURN_OF_THE_OLDEST: u32 = 8;

/// A run takes what runs took of late; the correction of forecasts, which is for what comes before it, counts up to this.
const MOST_CARE_FOR_A_RUN: f64 = 1.1;

/// One in so many runs that are kept small is twice as large, so that it is seen when that begins to gain something.
const SMALL_RUNS_A_PROBE: u32 = 16;

/// So many of those who wait are looked at for each place in a batch, since some of them may be too late for it.
const SEEN_A_PLACE: usize = 2;

/// An image that came, decoded.
pub(super) struct Arrived {
    pub(super) input: Input,
    pub(super) inside: Inside,
    pub(super) reply: oneshot::Sender<Result<Reply, JobError>>,
    pub(super) at: Instant,
}

/// One image on its way.
pub(super) struct Job {
    pub(super) input: Input,
    pub(super) deadline: Option<Instant>,
    /// Where it stands, and what it counts for among those who wait; `None` once it is run.
    pub(super) standing: Rank,
    pub(super) announced: Option<Announced>,
    pub(super) inside: Inside,
    pub(super) reply: oneshot::Sender<Result<Reply, JobError>>,
    pub(super) enqueued: Instant,
    /// By the forecast it cannot be answered in time, and was taken to see whether that is so.
    pub(super) is_sample: bool,
}

impl Job {
    /// Until when it is to be answered, where the wait is limited: as long as it may wait in the queue, as long again for company in its run, and what
    /// a run without company takes.
    fn patience(&self, alone: Duration) -> Option<Instant> {
        let announced = self.announced.as_ref()?;
        Some(announced.since + 2 * announced.longest_wait? + alone)
    }

    /// Whether it is one that nobody waits for.
    pub(super) fn is_shadow(&self) -> bool {
        self.standing.0 == Priority::SHADOW
    }
}

/// Whether a run is for somebody: what is not is no load, and tells nothing of how long others wait.
pub(super) fn is_awaited(jobs: &[Job]) -> bool {
    jobs.iter().any(|job| !job.is_shadow())
}

/// Tells a queue's jobs apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JobId(pub(super) u64);

pub(super) struct State {
    /// By priority, then turn; the oldest of what is equal first.
    pub(super) jobs: VecDeque<(JobId, Job)>,
    pub(super) next_id: u64,
    pub(super) idle: usize,
    /// Workers that have not left.
    pub(super) alive: usize,
    pub(super) closed: bool,
    /// The last worker left before the close.
    pub(super) broken: bool,
    /// By the worker's number.
    pub(super) lanes: Vec<Lane>,
    /// The worker for one image alone, whose number comes after all others.
    pub(super) lone: Option<Lane>,
    pub(super) times: ServiceTimes,
    /// From the announcement of an image until it is here, of late.
    pub(super) preparation: Duration,
    pub(super) judgement: Judgement,
    pub(super) load: Load,
    /// Since the image that had waited longest went first.
    pub(super) runs: u32,
    /// Runs that were kept small.
    pub(super) small_runs: u32,
}

impl State {
    /// What an image of these terms, with a place behind `standing`, has before it, `coming` others that are on their way among it.
    fn foresee(
        &self,
        policy: &Policy,
        &Terms { deadline, longest_wait, .. }: &Terms,
        standing: Rank,
        coming: usize,
        now: Instant,
    ) -> Option<Forecast> {
        // Half the time for the run before it, half for its own.
        let company = deadline.map_or(1, |deadline| self.times.best_size((deadline - now) / 2));
        let ahead = coming + self.behind(standing);
        forecast(&self.lanes, &self.times, self.most(policy, longest_wait, now), ahead, company, now)
    }

    /// The most images of a run, in the long run.
    fn most(&self, policy: &Policy, longest_wait: Option<Duration>, now: Instant) -> usize {
        let most = policy.max_batch_size;
        let most = if policy.keeps_runs_small() { self.times.worthwhile(most) } else { most };
        let Some(longest_wait) = longest_wait else { return most };
        let ends = |images| now + self.times.of(images).unwrap_or_default();
        // Of images that have waited as long as they may.
        brief_run(&vec![Some(ends(1) + longest_wait); most], most, now, ends)
    }

    /// How many of the `count` images that a worker may take it takes.
    fn worthwhile(&mut self, policy: &Policy, count: usize) -> usize {
        if count < 2 || !policy.keeps_runs_small() {
            return count;
        }
        let worthwhile = self.times.worthwhile(count);
        if worthwhile == count {
            return count;
        }
        self.small_runs = self.small_runs.wrapping_add(1);
        if self.small_runs.is_multiple_of(SMALL_RUNS_A_PROBE) { count.min(2 * worthwhile) } else { worthwhile }
    }

    /// Whether an image would be taken now: the one place that says why not.
    pub(super) fn admits(
        &self,
        policy: &Policy,
        terms: &Terms,
        coming: &Coming,
        now: Instant,
    ) -> Result<(), SubmitError> {
        self.is_open(policy, terms.deadline, now)?;
        if self.is_easy(policy, terms, coming.count(), now) {
            return Ok(());
        }
        let (standing, coming) = coming.ahead(terms.priority, terms.client);
        let Some(Forecast { begins, ends }) = self.foresee(policy, terms, standing, coming, now) else {
            return Ok(());
        };
        let wait = begins - now;
        // What is not decoded yet cannot begin, and what waits is decoded meanwhile.
        let ends = ends + self.preparation.saturating_sub(wait);
        if let Some(target) = terms.longest_wait.filter(|target| wait > *target) {
            return Err(SubmitError::Congested { wait, target });
        }
        match terms.deadline {
            Some(deadline) if (ends - now).mul_f64(self.judgement.factor()) > deadline - now => {
                Err(SubmitError::Hopeless { wait })
            }
            _ => Ok(()),
        }
    }

    /// Whether an image is answered in time even behind everything that waits, with a full batch under way and another one for
    /// each that is begun: most are, and nothing more has to be foreseen for them.
    fn is_easy(&self, policy: &Policy, terms: &Terms, coming: usize, now: Instant) -> bool {
        let Some(full) = self.times.of(policy.max_batch_size) else { return true };
        let batches = (self.jobs.len() + coming) / policy.max_batch_size.max(1) + 2;
        let at_worst = full.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)).saturating_add(self.preparation);
        terms.longest_wait.is_none_or(|target| at_worst <= target)
            && terms.deadline.is_none_or(|deadline| at_worst.mul_f64(self.judgement.factor()) <= deadline - now)
    }

    /// The same, where nobody asks how long it takes.
    pub(super) fn is_open(&self, policy: &Policy, deadline: Option<Instant>, now: Instant) -> Result<(), SubmitError> {
        if self.broken {
            return Err(SubmitError::Broken);
        }
        if self.closed {
            return Err(SubmitError::Closed);
        }
        let capacity = policy.queue_capacity;
        if self.jobs.len() >= capacity {
            let forecast = forecast(&self.lanes, &self.times, self.most(policy, None, now), self.jobs.len(), 1, now);
            let retry_after = forecast.map_or(Duration::ZERO, |forecast| forecast.begins - now);
            return Err(SubmitError::Full { capacity, retry_after });
        }
        match deadline {
            Some(deadline) if deadline <= now => Err(SubmitError::Expired),
            _ => Ok(()),
        }
    }

    /// An image was here so long after it had been announced.
    pub(super) fn note_preparation(&mut self, took: Duration) {
        self.preparation = if self.preparation.is_zero() { took } else { (self.preparation * 7 + took) / 8 };
    }

    /// Whether an image that is to be refused for its deadline is taken to see whether that is right.
    pub(super) fn may_sample(&mut self) -> bool {
        let is_idle = self.jobs.is_empty() && self.rests();
        self.judgement.refuses(is_idle)
    }

    /// A worker does something else from now on.
    pub(super) fn turn(&mut self, worker: usize, to: Lane) {
        let lone = self.lone.as_mut().filter(|_| worker == self.lanes.len());
        if let Some(lane) = self.lanes.get_mut(worker).or(lone) {
            *lane = to;
        }
    }

    /// Whether nobody runs anything.
    fn rests(&self) -> bool {
        !self.lanes.iter().chain(&self.lone).any(|lane| matches!(lane, Lane::Running { .. }))
    }

    /// Whether the image that waits is the lone worker's. It is not after the close: the others end what is there.
    pub(super) fn is_for_lone(&self, policy: &Policy) -> bool {
        let is_free = self.lone == Some(Lane::Free) && !self.closed;
        is_free && one_is_alone(policy, self.jobs.len()) && self.rests()
    }

    /// `worker` runs up to `count` jobs from now on, fewer where more gain nothing; `false` if none of them was worth a run.
    pub(super) fn begin_run(
        &mut self,
        policy: &Policy,
        worker: usize,
        count: usize,
        now: Instant,
        batch: &mut Vec<Job>,
    ) -> bool {
        let count = self.worthwhile(policy, count);
        self.collect(count, now, batch);
        if batch.is_empty() {
            return false;
        }
        self.turn(worker, Lane::Running { since: now, images: batch.len() });
        if is_awaited(batch) {
            self.load.begin_run(now);
        }
        true
    }

    /// Takes up to `count` jobs, as [`run_size`] has it. Those that are too late are told so, and those that nobody waits for are
    /// forgotten.
    pub(super) fn collect(&mut self, count: usize, now: Instant, batch: &mut Vec<Job>) {
        self.let_the_oldest_go_first();
        let care = self.judgement.factor().clamp(1.0, MOST_CARE_FOR_A_RUN);
        let ends = |images| now + self.times.of(images).unwrap_or_default().mul_f64(care);
        // A sample is run as long as it is not late already.
        let deadline = |job: &Job| job.deadline.filter(|deadline| !job.is_sample || *deadline <= now);
        let is_late = |job: &Job, ends| deadline(job).is_some_and(|deadline| deadline <= now || deadline < ends);
        let alone = ends(1);
        let waiting = self.jobs.iter().map(|(_, job)| job).filter(|job| !job.reply.is_closed() && !is_late(job, alone));
        let patience: Vec<_> = waiting.clone().take(count).map(|job| job.patience(alone - now)).collect();
        let deadlines: Vec<_> = waiting.take(SEEN_A_PLACE * count).map(deadline).collect();
        let count = brief_run(&patience, count, now, ends);
        let count = fair_run(self.round(count), count.min(self.jobs.len()), now, ends);
        let size = run_size(&deadlines, count, now, ends);
        // Where none is worth a run, all of them go.
        while batch.len() < size.images || deadlines.is_empty() {
            let Some((_, mut job)) = self.jobs.pop_front() else { break };
            if job.reply.is_closed() {
                continue;
            }
            if is_late(&job, size.ends) {
                self.judgement.ended(Timeliness::Missed, job.is_sample);
                // The receiver may have left in this moment; then nobody misses the answer.
                let _ = job.reply.send(Err(JobError::Expired));
                continue;
            }
            if let Some(announced) = job.announced.take() {
                announced.run();
            }
            batch.push(job);
        }
    }

    /// How many of the first `most` who wait come before anybody's second image; none of them where nobody takes turns with others.
    fn round(&self, most: usize) -> usize {
        let Some((_, first)) = self.jobs.front() else { return 0 };
        if !first.announced.as_ref().is_some_and(Announced::shares_turns) {
            return 0;
        }
        let (priority, turn) = first.standing;
        let is_of_round = |(_, job): &&(JobId, Job)| job.standing.0 == priority && job.standing.1.is_of_round(turn);
        self.jobs.iter().take(most).take_while(is_of_round).count()
    }

    /// Where an image of this standing belongs: behind all that are as urgent.
    pub(super) fn behind(&self, standing: Rank) -> usize {
        self.jobs.partition_point(|(_, other)| other.standing <= standing)
    }

    /// Brings to the front, when it is its turn, the image that has waited longest of those that are first of their priority.
    /// Whatever stands there is taken or dropped next.
    fn let_the_oldest_go_first(&mut self) {
        let priority = |job: Option<&(JobId, Job)>| job.map(|(_, job)| job.standing.0);
        self.runs += 1;
        if self.runs < RUNS_A_TURN_OF_THE_OLDEST {
            return;
        }
        self.runs = 0;
        // Of one priority, whoever has its turn stands first already.
        if priority(self.jobs.front()) == priority(self.jobs.back()) {
            return;
        }
        let mut lane = None;
        let is_first = |(_, (_, job)): &(usize, &(JobId, Job))| lane.replace(job.standing.0) != Some(job.standing.0);
        let oldest = self.jobs.iter().enumerate().filter(is_first).min_by_key(|(_, (_, job))| job.enqueued);
        if let Some(oldest) = oldest.map(|(place, _)| place).and_then(|place| self.jobs.remove(place)) {
            self.jobs.push_front(oldest);
        }
    }
}
