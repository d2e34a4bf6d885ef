//! The queue under overload, in simulated time: Poisson arrivals, engines that are nothing but a service time. The whole policy is in it
//! (admission, batches, judgement), so what it makes of a machine can be read off and compared, and no machine's mood is in it.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashSet},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    job::{Inside, JobError, Reply},
    policy::{Decision, Policy, decide},
    queue::Queue,
    state::{Arrived, Job},
    terms::Terms,
    turns::ClientId,
};
use crate::tensor::{InputShape, Layout, NumberType};

/// A machine to simulate. Times in milliseconds.
struct Machine {
    workers: usize,
    max_batch_size: usize,
    /// A run of any size takes this, and this for each image.
    run: (f64, f64),
    /// A batch is filled up to the next power of two, as on a GPU.
    filled: bool,
    /// The share by which a run may take longer or less.
    noise: f64,
    /// From the announcement to the queue.
    preparation: f64,
}

/// What is offered: a share of the capacity for so many seconds, each image with a deadline or none. Where clients take turns, ten tell themselves
/// apart, of whom the last one sends `greed` times as much as the nine others together.
#[derive(Clone, Copy)]
struct Load {
    share: f64,
    deadline: Option<f64>,
    longest_wait: Option<f64>,
    seconds: f64,
    greed: Option<f64>,
}

/// What came of it: answered in time as a share of the capacity, promised and too late as a share of those; from the arrival of images to their
/// answers, sorted, of all but the greedy client.
#[derive(Debug)]
struct Outcome {
    goodput: f64,
    missed: f64,
    times: Vec<Duration>,
}

impl Outcome {
    fn mean(&self) -> f64 {
        self.times.iter().sum::<Duration>().as_secs_f64() * 1e3 / self.times.len() as f64
    }

    fn p99(&self) -> f64 {
        self.times[self.times.len() * 99 / 100].as_secs_f64() * 1e3
    }
}

/// The client that sends more than others.
const GREEDY: u64 = 9;

/// Numbers that look random and are the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    /// From 0 to 1.
    fn throw(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    Decoded(usize),
    Ended(usize),
}

fn ms(milliseconds: f64) -> Duration {
    Duration::from_secs_f64(milliseconds / 1e3)
}

impl Machine {
    fn time(&self, images: usize) -> f64 {
        let images = if self.filled { images.next_power_of_two() } else { images };
        self.run.0 + self.run.1 * images as f64
    }

    /// Images a second, when every batch is full.
    fn capacity(&self) -> f64 {
        self.workers as f64 * self.max_batch_size as f64 / self.time(self.max_batch_size) * 1e3
    }

    fn offered(&self, load: Load) -> Outcome {
        let Load { share, deadline, longest_wait, seconds, greed } = load;
        let policy =
            Policy { max_batch_size: self.max_batch_size, max_queue_delay: Duration::ZERO, queue_capacity: 256 };
        let queue = Queue::new(policy, self.workers, false);
        let shape = InputShape { layout: Layout::Nchw, channels: 1, height: 1, width: 1 };
        let start = Instant::now();
        let mut dice = Dice(1);
        let mut events = BinaryHeap::from([Reverse((Duration::ZERO, Event::Arrival))]);
        let (mut coming, mut running) = (Vec::new(), (0..self.workers).map(|_| Vec::new()).collect::<Vec<Vec<Job>>>());
        let mut since = vec![start; self.workers];
        let mut receivers: Vec<oneshot::Receiver<Result<Reply, JobError>>> = Vec::new();
        let (mut good, mut times, mut greedy) = (0u32, Vec::new(), HashSet::new());
        while let Some(Reverse((at, event))) = events.pop() {
            if at > ms(seconds * 1e3) {
                break;
            }
            let now = start + at;
            match event {
                Event::Arrival => {
                    let next = -dice.throw().max(1e-12).ln() / (share * self.capacity()) * 1e3;
                    events.push(Reverse((at + ms(next), Event::Arrival)));
                    let client = greed.map(|greed| {
                        let is_greedy = dice.throw() < greed / (1.0 + greed);
                        ClientId(if is_greedy { GREEDY } else { (dice.throw() * GREEDY as f64) as u64 })
                    });
                    let (deadline, longest_wait) = (deadline.map(|it| now + ms(it)), longest_wait.map(ms));
                    let terms = Terms { deadline, client, longest_wait, ..Terms::default() };
                    if let Ok(announced) = queue.announce(&terms, now) {
                        events.push(Reverse((at + ms(self.preparation), Event::Decoded(coming.len()))));
                        coming.push(Some((announced, terms)));
                    }
                }
                Event::Decoded(number) => {
                    if let Some((announced, terms)) = coming[number].take() {
                        let input = shape.tensor(vec![0; 4].into(), NumberType::Float32).expect("it fits");
                        let (reply, receiver) = oneshot::channel();
                        let arrived = Arrived { input, inside: Inside::Nothing, reply, at: now };
                        if terms.client == Some(ClientId(GREEDY)) {
                            greedy.insert(now);
                        }
                        if queue.push(arrived, &terms, Some(announced)).is_ok() {
                            receivers.push(receiver);
                        }
                    }
                }
                Event::Ended(worker) => {
                    let jobs = std::mem::take(&mut running[worker]);
                    queue.note_run(worker, &jobs, now - since[worker], now);
                    good +=
                        jobs.iter().filter(|job| job.deadline.is_none_or(|deadline| now <= deadline)).count() as u32;
                    let others = jobs.iter().filter(|job| !greedy.contains(&job.enqueued));
                    times.extend(others.map(|job| now - job.enqueued + ms(self.preparation)));
                }
            }
            loop {
                let idle = running.iter().filter(|jobs| jobs.is_empty()).count();
                let Some(worker) = running.iter().position(Vec::is_empty) else { break };
                let mut batch = Vec::new();
                match decide(&policy, queue.depth(), Duration::ZERO, idle) {
                    Decision::Take(count) => queue.begin(worker, count, now, &mut batch),
                    Decision::Sleep | Decision::WaitFor(_) => break,
                }
                if batch.is_empty() {
                    continue;
                }
                let time = self.time(batch.len()) * (1.0 + self.noise * (2.0 * dice.throw() - 1.0));
                events.push(Reverse((at + ms(time), Event::Ended(worker))));
                (running[worker], since[worker]) = (batch, now);
            }
        }
        let (missed, _) = queue.judgement();
        times.sort();
        let missed = missed as f64 / f64::from(good + 1);
        Outcome { goodput: f64::from(good) / seconds / self.capacity(), missed, times }
    }
}

const PROCESSOR: Machine =
    Machine { workers: 1, max_batch_size: 8, run: (0.0, 60.0), filled: false, noise: 0.1, preparation: 3.0 };
const TWO_SESSIONS: Machine = Machine { workers: 2, run: (0.0, 110.0), ..PROCESSOR };
const SMALL: Machine = Machine { workers: 2, run: (0.05, 0.6), preparation: 0.1, ..PROCESSOR };
/// A ResNet-18 on two cores: eight images together take a ninth less than one after the other, and each of them waits for all.
const GAINING: Machine = Machine { workers: 2, run: (6.0, 42.0), ..PROCESSOR };
/// A ResNet-50 in fp16 and in fp32 on an H200.
const HALF: Machine =
    Machine { workers: 1, max_batch_size: 32, run: (2.6, 0.19), filled: true, noise: 0.15, preparation: 2.0 };
const SINGLE: Machine = Machine { run: (3.1, 0.59), ..HALF };

/// A machine, what it is offered as a share of its capacity, the deadline in idle latencies, and the share of the capacity that is answered in
/// time at least.
fn holds(machine: &Machine, load: f64, deadline: f64, at_least: f64) {
    let idle = machine.time(1) + machine.preparation;
    let seconds = 3e4 / machine.capacity();
    let deadline_ms = Some(deadline * idle);
    let outcome =
        machine.offered(Load { share: load, deadline: deadline_ms, longest_wait: None, seconds, greed: None });
    let Outcome { goodput, missed, .. } = outcome;
    let told = format!("{load} of the capacity, {deadline} latencies: {goodput} in time, {missed} missed");
    assert!(goodput >= at_least && missed < 0.04, "{told}");
}

#[test]
fn what_a_machine_can_do_is_answered_in_time_when_twice_as_much_is_offered() {
    for machine in [PROCESSOR, TWO_SESSIONS, SMALL] {
        holds(&machine, 2.0, 5.0, 0.95);
        holds(&machine, 2.0, 20.0, 0.95);
    }
}

#[test]
fn an_accelerator_is_not_talked_into_small_batches_by_deadlines() {
    holds(&HALF, 2.0, 5.0, 0.95);
    holds(&HALF, 1.2, 10.0, 0.95);
    holds(&SINGLE, 2.0, 10.0, 0.95);
    // Two runs of 32 do not fit, two of 16 do, which is 0.88 of the capacity.
    holds(&SINGLE, 2.0, 5.0, 0.78);
}

#[test]
fn nearly_all_is_answered_in_time_below_the_capacity() {
    for machine in [PROCESSOR, TWO_SESSIONS, SMALL, HALF] {
        holds(&machine, 0.8, 10.0, 0.98 * 0.8);
    }
}

/// What images of a machine take, from arrival to answer, in milliseconds: the mean and the 99th percentile of those that are not the greedy client's.
fn times(machine: &Machine, share: f64, greed: Option<f64>) -> (f64, f64) {
    let outcome =
        machine.offered(Load { share, deadline: None, longest_wait: None, seconds: 6e4 / machine.capacity(), greed });
    (outcome.mean(), outcome.p99())
}

/// Waiting in M/D/1 (Pollaczek and Khinchine) and M/D/2 (Cosmetatos 1976), in service times, at four fifths of the capacity. Nobody can do better who lets
/// nothing wait for what it cannot know.
#[test]
fn where_images_take_their_time_one_after_the_other_nobody_waits_for_company() {
    for (machine, waiting) in [(PROCESSOR, 2.0), (TWO_SESSIONS, 0.90)] {
        let best = machine.time(1) * (1.0 + waiting) + machine.preparation;
        let (mean, _) = times(&machine, 0.8, None);
        assert!(mean < 1.1 * best, "{mean} ms instead of {best}");
    }
}

#[test]
fn an_accelerators_batches_stay_large_under_load() {
    for machine in [HALF, SINGLE] {
        let seconds = 6e4 / machine.capacity();
        let outcome = machine.offered(Load { share: 0.95, deadline: None, longest_wait: None, seconds, greed: None });
        assert!(outcome.goodput > 0.94, "{}", outcome.goodput);
    }
}

/// A queue of so long a wait at most: the 99th percentile in milliseconds, and the share of the capacity, when twice as much is offered.
fn beyond(machine: &Machine, longest_wait: f64) -> (f64, f64) {
    let seconds = 3e4 / machine.capacity();
    let load = Load { share: 2.0, deadline: None, longest_wait: Some(longest_wait), seconds, greed: None };
    let outcome = machine.offered(load);
    (outcome.p99(), outcome.goodput)
}

#[test]
fn company_in_a_run_counts_as_waiting_where_the_wait_is_limited() {
    for machine in [PROCESSOR, TWO_SESSIONS, GAINING] {
        let target = 1.7 * machine.time(1);
        let (p99, goodput) = beyond(&machine, target);
        let most = 1.05 * (2.0 * target + (1.0 + machine.noise) * machine.time(1) + machine.preparation);
        assert!(p99 <= most && goodput > 0.88, "{p99} ms instead of {most}, {goodput} of the capacity");
    }
    for machine in [HALF, SINGLE] {
        let (_, goodput) = beyond(&machine, 2.0 * machine.time(1));
        // A run may do a fifth less than the machine can for it; what is filled up to a power of two comes on top.
        assert!(goodput > 0.75, "an accelerator does {goodput} of what it can");
    }
}

/// Nine clients that send 0.45 of the capacity, and a tenth that sends as much again. Were its images always the last, what nine others wait for would be the
/// run under way: on one worker 1.6 times the 99th percentile.
#[test]
fn a_client_that_sends_as_much_as_nine_others_costs_them_a_run_of_one_image_each() {
    for machine in [PROCESSOR, TWO_SESSIONS, GAINING, SMALL, HALF, SINGLE] {
        let (without, with) = (times(&machine, 0.45, Some(0.0)), times(&machine, 0.9, Some(1.0)));
        assert!(with.1 < 1.9 * without.1, "p99 of {:?}: {} ms after {}", machine.run, with.1, without.1);
    }
}
