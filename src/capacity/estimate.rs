//! What clients of one replica wait for at a rate: the replica in simulated time, asked by users who know nothing of each other.

use std::time::Duration;

use super::{
    replica::{NextStep, SimulatedReplica},
    times::RunTimes,
};
use crate::{batching::Policy, chance::SplitMix};

/// So many images are simulated, after those of the warm-up: the 99th percentile is then the 2,000th from above.
const IMAGES: usize = 200_000;
const WARM_UP: usize = 20_000;
/// A rate is looked for to within this share.
const EXACT: f64 = 0.005;
/// Every estimate is of the same arrivals, so that a higher rate is no luckier.
const SEED: u64 = 1;

/// What is known of a replica.
#[derive(Clone, Debug)]
pub struct ReplicaModel {
    /// How batches are made, and how many images may wait.
    pub policy: Policy,
    /// Side by side.
    pub sessions: usize,
    /// Of their runs.
    pub times: RunTimes,
    /// From a picture's arrival until it waits for a session: decoding, resizing.
    pub preparation: Duration,
}

/// What a replica does at one rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReplicaEstimate {
    /// That were asked for.
    pub images_per_second: f64,
    /// The share of the sessions that run: `resnetd_load_ratio`.
    pub load_ratio: f64,
    /// Images of a run.
    pub mean_batch: f64,
    /// The share that finds no place in the queue.
    pub refused: f64,
    /// From a picture's arrival to its answer, in milliseconds; of those that were not refused.
    pub mean_ms: f64,
    /// Half of them take no longer.
    pub p50_ms: f64,
    /// 99 of 100 take no longer.
    pub p99_ms: f64,
}

impl ReplicaModel {
    /// The images of a run while more wait than a batch may have.
    pub fn full_run(&self) -> usize {
        self.times.worthwhile(&self.policy, self.policy.max_batch_size)
    }

    /// Images a second while more wait than a batch may have.
    pub fn most_images_per_second(&self) -> f64 {
        let full = self.full_run();
        (self.sessions * full) as f64 / self.times.mean(full).as_secs_f64()
    }

    /// What it does when `images_per_second` come, above 0, each by itself (Poisson).
    pub fn at(&self, images_per_second: f64) -> ReplicaEstimate {
        Watch::new(self, images_per_second).run()
    }

    /// The highest rate at which 99 of 100 are answered within `p99`, and no higher than `most`; `None` where not even a lone image is.
    pub fn rate_within(&self, p99: Duration, most: f64) -> Option<f64> {
        let limit_ms = p99.as_secs_f64() * 1e3;
        let holds = |rate: f64| {
            let found = self.at(rate);
            found.p99_ms <= limit_ms && found.refused < 0.01
        };
        if holds(most) {
            return Some(most);
        }
        let (mut low, mut high) = (most * EXACT, most);
        if !holds(low) {
            return None;
        }
        while high - low > EXACT * most {
            let middle = f64::midpoint(low, high);
            if holds(middle) { low = middle } else { high = middle }
        }
        Some(low)
    }
}

/// A run of the simulation.
struct Watch<'a> {
    model: &'a ReplicaModel,
    chance: SplitMix,
    gap: f64,
    /// Each image is the moment at which it came, or `None` in the warm-up.
    replica: SimulatedReplica<Option<Duration>>,
    /// When each session's run ends.
    ends: Vec<Option<Duration>>,
    /// When the replica looks again.
    wake: Option<Duration>,
    latencies: Vec<f64>,
    refused: usize,
    busy: f64,
    runs: usize,
    run_images: usize,
}

impl<'a> Watch<'a> {
    fn new(model: &'a ReplicaModel, rate: f64) -> Self {
        Self {
            model,
            chance: SplitMix::new(SEED),
            gap: 1.0 / rate,
            replica: SimulatedReplica::new(model.sessions),
            ends: vec![None; model.sessions.max(1)],
            wake: None,
            latencies: Vec::with_capacity(IMAGES),
            refused: 0,
            busy: 0.0,
            runs: 0,
            run_images: 0,
        }
    }

    fn run(mut self) -> ReplicaEstimate {
        let (mut now, mut arrival, mut counted_from) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
        let mut images = 0;
        while images < WARM_UP + IMAGES {
            arrival += Duration::from_secs_f64(self.chance.exponential() * self.gap);
            // What happens before it.
            while let Some((at, session)) = self.first_event().filter(|(at, _)| *at <= arrival) {
                self.pass(now, at);
                now = at;
                if let Some(session) = session {
                    self.end(session, now);
                } else {
                    self.wake = None;
                }
                self.begin_runs(now);
            }
            self.pass(now, arrival);
            now = arrival;
            images += 1;
            if images == WARM_UP {
                (counted_from, self.busy, self.runs, self.run_images) = (now, 0.0, 0, 0);
            }
            let came = (images > WARM_UP).then_some(now);
            if self.replica.arrive(&self.model.policy, now, came).is_err() {
                self.refused += usize::from(came.is_some());
            }
            self.begin_runs(now);
        }
        let seconds = (now - counted_from).as_secs_f64();
        // Those that still wait are answered too: the longest waits are among them.
        while let Some((at, session)) = self.first_event() {
            if let Some(session) = session {
                self.end(session, at);
            }
            self.begin_runs(at);
        }
        self.summary(seconds)
    }

    /// The end of a run, or (`None`) the moment to look again.
    fn first_event(&self) -> Option<(Duration, Option<usize>)> {
        let ends = self.ends.iter().enumerate().filter_map(|(session, at)| Some(((*at)?, Some(session))));
        ends.chain(self.wake.map(|at| (at, None))).min()
    }

    fn pass(&mut self, from: Duration, to: Duration) {
        self.busy += self.replica.busy() as f64 * to.saturating_sub(from).as_secs_f64();
    }

    fn end(&mut self, session: usize, now: Duration) {
        let preparation = self.model.preparation;
        let took = self.replica.end(session).flatten().map(|came| (now - came + preparation).as_secs_f64() * 1e3);
        self.latencies.extend(took);
        self.ends[session] = None;
    }

    fn begin_runs(&mut self, now: Duration) {
        self.wake = None;
        loop {
            match self.replica.next(&self.model.policy, &self.model.times, now) {
                NextStep::Run { session, images } => {
                    self.ends[session] = Some(now + self.model.times.draw(images, &mut self.chance));
                    self.runs += 1;
                    self.run_images += images;
                }
                NextStep::WaitFor(time) => {
                    self.wake = Some(now + time);
                    return;
                }
                NextStep::Nothing => return,
            }
        }
    }

    fn summary(mut self, seconds: f64) -> ReplicaEstimate {
        self.latencies.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = (share * self.latencies.len() as f64).ceil() as usize;
            self.latencies.get(rank.saturating_sub(1)).copied().unwrap_or_default()
        };
        let answered = self.latencies.len().max(1) as f64;
        ReplicaEstimate {
            images_per_second: 1.0 / self.gap,
            load_ratio: self.busy / seconds / self.replica.sessions() as f64,
            mean_batch: self.run_images as f64 / self.runs.max(1) as f64,
            refused: self.refused as f64 / IMAGES as f64,
            mean_ms: self.latencies.iter().sum::<f64>() / answered,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        }
    }
}

#[cfg(test)]
mod tests;
