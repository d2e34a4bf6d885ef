//! Many replicas in simulated time: balancers before them, an autoscaler over them. The same run gives the same figures.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use resnetd::{
    capacity::{NextStep, ReplicaModel, SimulatedReplica},
    chance::SplitMix,
};

use crate::{
    balance::{Balancer, Rule},
    scale::{SCRAPE, SYNC, Scaler, ScalerState},
    traffic::{Shape, Traffic},
};

/// What is simulated.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    pub(crate) replica: ReplicaModel,
    /// At the start.
    pub(crate) count: usize,
    /// The first so many take this many times as long for everything.
    pub(crate) slow: (usize, f64),
    pub(crate) rule: Rule,
    /// Each knows only what it has sent itself.
    pub(crate) balancers: usize,
    pub(crate) shape: Shape,
    /// Pictures a second.
    pub(crate) rate: f64,
    /// What an answer takes beside the replica: the network, the proxy.
    pub(crate) hop: Duration,
    /// An answer after it is worth nothing; what cannot be in time is refused.
    pub(crate) deadline: Duration,
    pub(crate) warm_up: Duration,
    pub(crate) length: Duration,
    pub(crate) scaler: Option<Scaler>,
    pub(crate) seed: u64,
}

/// What came of it; latencies in milliseconds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) offered: usize,
    pub(crate) refused: usize,
    pub(crate) in_time: usize,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// Mean of the sessions that ran.
    pub(crate) load: f64,
    pub(crate) replica_seconds: f64,
    /// A look every fifteen seconds, with the autoscaler.
    pub(crate) over_time: Vec<Moment>,
}

impl Outcome {
    /// The share of what was asked for that was answered in time.
    pub(crate) fn goodput(&self) -> f64 {
        self.in_time as f64 / self.offered.max(1) as f64
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) seconds: f64,
    pub(crate) ready: usize,
    /// Replicas that the rate of this moment would keep busy without a pause.
    pub(crate) needed: f64,
    pub(crate) p99: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ended(usize, usize),
    Look(usize),
    Started(usize),
    Second,
    Scrape,
    Sync,
}

#[derive(Clone, Copy)]
struct Picture {
    came: Duration,
    balancer: usize,
}

struct Machine {
    replica: SimulatedReplica<Picture>,
    /// When each session's last run ends.
    ends: Vec<Duration>,
    slowness: f64,
    /// The faded mean of `resnetd_load_ratio` at `since`, and what was answered in this second.
    since: Duration,
    mean: f64,
    /// Since when it can answer: what was before is no part of its load.
    born: Duration,
    answered: u32,
    busy_seconds: f64,
    is_ready: bool,
    is_leaving: bool,
}

/// What expected times are multiplied by before they are held against a deadline; the server learns it.
const CARE: f64 = 1.05;
/// As `batching::load` has it.
const LOAD_MEMORY: f64 = 10.0;

impl Machine {
    fn new(sessions: usize, slowness: f64, now: Duration) -> Self {
        let (replica, ends) = (SimulatedReplica::new(sessions), vec![now; sessions]);
        Self {
            replica,
            ends,
            slowness,
            since: now,
            mean: 0.0,
            born: now,
            answered: 0,
            busy_seconds: 0.0,
            is_ready: false,
            is_leaving: false,
        }
    }

    fn share(&self) -> f64 {
        self.replica.busy() as f64 / self.replica.sessions() as f64
    }

    /// Its load as the server says it.
    fn load(&self) -> f64 {
        let age = self.since.saturating_sub(self.born).as_secs_f64();
        let seen = -(-age / LOAD_MEMORY).exp_m1();
        if seen > 0.0 { (self.mean / seen).min(1.0) } else { 0.0 }
    }

    fn settle(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since).as_secs_f64();
        let share = self.share();
        self.mean = share + (self.mean - share) * (-passed / LOAD_MEMORY).exp();
        self.busy_seconds += share * passed;
        self.since = now;
    }
}

struct Run<'a> {
    fleet: &'a Fleet,
    machines: Vec<Machine>,
    /// Numbers that nobody has.
    free: Vec<usize>,
    starting: usize,
    balancers: Vec<Balancer>,
    events: BinaryHeap<Reverse<(Duration, Event)>>,
    chance: SplitMix,
    scraped: Vec<(usize, f64)>,
    scaler: ScalerState,
    latencies: Vec<f32>,
    window: Vec<f32>,
    outcome: Outcome,
}

impl Fleet {
    pub(crate) fn run(&self) -> Outcome {
        Run::new(self).run()
    }

    fn most(&self) -> usize {
        self.scaler.map_or(self.count, |scaler| scaler.most.max(self.count))
    }
}

impl<'a> Run<'a> {
    fn new(fleet: &'a Fleet) -> Self {
        let sessions = fleet.replica.sessions;
        let slowness = |number: usize| if number < fleet.slow.0 { fleet.slow.1 } else { 1.0 };
        let most = fleet.most();
        let mut machines: Vec<_> =
            (0..most).map(|number| Machine::new(sessions, slowness(number), Duration::ZERO)).collect();
        machines[..fleet.count].iter_mut().for_each(|machine| machine.is_ready = true);
        let seed = |number: usize| fleet.seed.wrapping_mul(1000) + number as u64;
        let mut run = Self {
            fleet,
            machines,
            free: (fleet.count..most).rev().collect(),
            starting: 0,
            balancers: (0..fleet.balancers).map(|number| Balancer::new(fleet.rule, most, seed(number))).collect(),
            events: BinaryHeap::new(),
            chance: SplitMix::new(fleet.seed ^ 0x5eed),
            scraped: Vec::new(),
            scaler: ScalerState::default(),
            latencies: Vec::new(),
            window: Vec::new(),
            outcome: Outcome::default(),
        };
        run.tell_balancers();
        if fleet.rule == Rule::Weighted {
            run.events.push(Reverse((Duration::from_secs(1), Event::Second)));
        }
        if fleet.scaler.is_some() {
            run.events.push(Reverse((SCRAPE, Event::Scrape)));
            // The autoscaler's clock is not Prometheus'.
            run.events.push(Reverse((SYNC + Duration::from_secs(7), Event::Sync)));
        }
        run
    }

    fn run(mut self) -> Outcome {
        let end = self.fleet.warm_up + self.fleet.length;
        let mut traffic = Traffic::new(self.fleet.shape, self.fleet.rate, end, self.fleet.seed);
        let mut arrival = traffic.next();
        while arrival < end {
            match self.events.peek() {
                Some(&Reverse((at, event))) if at <= arrival => {
                    self.events.pop();
                    self.happen(at, event, &traffic);
                }
                _ => {
                    self.arrive(arrival);
                    arrival = traffic.next();
                }
            }
        }
        self.summary(end)
    }

    fn counts(&self, came: Duration) -> bool {
        came >= self.fleet.warm_up
    }

    fn arrive(&mut self, now: Duration) {
        let counts = self.counts(now);
        self.outcome.offered += usize::from(counts);
        let balancer = self.chance.below(self.balancers.len());
        let Some(number) = self.balancers[balancer].choose() else {
            self.outcome.refused += usize::from(counts);
            return;
        };
        let model = &self.fleet.replica;
        let machine = &mut self.machines[number];
        // What the server foresees: the runs under way, who waits in full batches, its own run in company; with a little care.
        let time = |images: usize| model.times.mean(images).as_secs_f64() * machine.slowness;
        let most = model.full_run();
        let first_free = machine.ends.iter().min().map_or(0.0, |end| end.saturating_sub(now).as_secs_f64());
        let rounds = (machine.replica.waiting() / (most * model.sessions)) as f64;
        let own = if machine.replica.busy() == machine.replica.sessions() { time(most) } else { time(1) };
        let around = self.fleet.hop.as_secs_f64() + model.preparation.as_secs_f64() * machine.slowness;
        let foreseen = CARE * (first_free + rounds * time(most) + own) + around;
        let is_late = foreseen > self.fleet.deadline.as_secs_f64();
        if is_late || machine.replica.arrive(&model.policy, now, Picture { came: now, balancer }).is_err() {
            self.outcome.refused += usize::from(counts);
            self.balancers[balancer].end(number);
            return;
        }
        self.begin_runs(number, now);
    }

    fn begin_runs(&mut self, number: usize, now: Duration) {
        let (model, machine) = (&self.fleet.replica, &mut self.machines[number]);
        loop {
            machine.settle(now);
            match machine.replica.next(&model.policy, &model.times, now) {
                NextStep::Run { session, images } => {
                    let time = model.times.draw(images, &mut self.chance).mul_f64(machine.slowness);
                    machine.ends[session] = now + time;
                    self.events.push(Reverse((now + time, Event::Ended(number, session))));
                }
                NextStep::WaitFor(time) => {
                    self.events.push(Reverse((now + time, Event::Look(number))));
                    return;
                }
                NextStep::Nothing => return,
            }
        }
    }

    fn happen(&mut self, now: Duration, event: Event, traffic: &Traffic) {
        match event {
            Event::Ended(number, session) => {
                self.machines[number].settle(now);
                let around = self.fleet.hop + self.fleet.replica.preparation.mul_f64(self.machines[number].slowness);
                let pictures: Vec<Picture> = self.machines[number].replica.end(session).collect();
                self.machines[number].answered += pictures.len() as u32;
                for Picture { came, balancer } in pictures {
                    self.balancers[balancer].end(number);
                    let took = now - came + around;
                    if self.counts(came) {
                        self.outcome.in_time += usize::from(took <= self.fleet.deadline);
                        self.latencies.push(took.as_secs_f32() * 1e3);
                        if self.fleet.scaler.is_some() {
                            self.window.push(took.as_secs_f32() * 1e3);
                        }
                    }
                }
                self.begin_runs(number, now);
                let machine = &mut self.machines[number];
                if machine.is_leaving && machine.replica.busy() == 0 {
                    machine.is_leaving = false;
                    self.free.push(number);
                }
            }
            Event::Look(number) => self.begin_runs(number, now),
            Event::Started(number) => {
                self.starting -= 1;
                let slowness = self.machines[number].slowness;
                self.machines[number] = Machine::new(self.fleet.replica.sessions, slowness, now);
                self.machines[number].is_ready = true;
                self.tell_balancers();
            }
            Event::Second => {
                self.weigh(now);
                self.events.push(Reverse((now + Duration::from_secs(1), Event::Second)));
            }
            Event::Scrape => {
                self.scrape(now);
                self.note_moment(now, traffic);
                self.events.push(Reverse((now + SCRAPE, Event::Scrape)));
            }
            Event::Sync => {
                self.scale(now);
                self.events.push(Reverse((now + SYNC, Event::Sync)));
            }
        }
    }

    fn ready(&self) -> Vec<usize> {
        (0..self.machines.len()).filter(|&number| self.machines[number].is_ready).collect()
    }

    fn tell_balancers(&mut self) {
        let ready = self.ready();
        self.balancers.iter_mut().for_each(|balancer| balancer.set(&ready));
    }

    /// As gRPC's weighted round robin (gRFC A58): what a replica answers, over its load.
    fn weigh(&mut self, now: Duration) {
        let weights: Vec<f64> = self
            .machines
            .iter_mut()
            .map(|machine| {
                machine.settle(now);
                let answered = std::mem::take(&mut machine.answered);
                if machine.load() > 0.0 { f64::from(answered) / machine.load() } else { 0.0 }
            })
            .collect();
        self.balancers.iter_mut().for_each(|balancer| balancer.weigh(&weights));
    }

    fn scrape(&mut self, now: Duration) {
        self.machines.iter_mut().for_each(|machine| machine.settle(now));
        self.scraped = self.ready().into_iter().map(|number| (number, self.machines[number].load())).collect();
    }

    fn note_moment(&mut self, now: Duration, traffic: &Traffic) {
        let p99 = percentile(&mut self.window, 0.99);
        self.window.clear();
        self.outcome.over_time.push(Moment {
            seconds: now.as_secs_f64(),
            ready: self.scraped.len(),
            needed: traffic.rate_at(now.as_secs_f64()) / self.fleet.replica.most_images_per_second(),
            p99,
        });
    }

    fn scale(&mut self, now: Duration) {
        let Some(scaler) = &self.fleet.scaler else { return };
        let loads: Vec<f64> =
            self.scraped.iter().filter(|(number, _)| self.machines[*number].is_ready).map(|(_, load)| *load).collect();
        let ready = self.ready();
        let unseen = ready.len() - loads.len().min(ready.len());
        let wanted = self.scaler.look(scaler, now, &loads, self.starting + unseen);
        let there = ready.len() + self.starting;
        for _ in there..wanted {
            let Some(number) = self.free.pop() else { break };
            self.starting += 1;
            self.events.push(Reverse((now + scaler.start_up, Event::Started(number))));
        }
        let too_many = there.saturating_sub(wanted).min(ready.len().saturating_sub(1));
        for &number in ready.iter().rev().take(too_many) {
            // It finishes what it has.
            let machine = &mut self.machines[number];
            machine.is_ready = false;
            if machine.replica.busy() == 0 { self.free.push(number) } else { machine.is_leaving = true }
        }
        if too_many > 0 {
            self.tell_balancers();
        }
        self.outcome.replica_seconds += (ready.len() + self.starting) as f64 * SYNC.as_secs_f64();
    }

    fn summary(mut self, end: Duration) -> Outcome {
        self.machines.iter_mut().for_each(|machine| machine.settle(end));
        let busy: f64 = self.machines.iter().map(|machine| machine.busy_seconds).sum();
        self.outcome.load = busy / end.as_secs_f64() / self.fleet.count as f64;
        self.outcome.p50 = percentile(&mut self.latencies, 0.5).unwrap_or_default();
        self.outcome.p99 = percentile(&mut self.latencies, 0.99).unwrap_or_default();
        // What still waits at the end is neither late nor in time.
        let unanswered = self.outcome.offered - self.outcome.refused - self.latencies.len();
        self.outcome.offered -= unanswered;
        self.outcome
    }
}

fn percentile(values: &mut [f32], share: f64) -> Option<f64> {
    let rank = (share * values.len() as f64).ceil() as usize;
    let at = rank.checked_sub(1)?;
    Some(f64::from(*values.select_nth_unstable_by(at, f32::total_cmp).1))
}
