//! The simulation against what is known of queues: where one run has one image, it is one of the textbooks'.

use super::*;
use crate::capacity::times::Scatter;

/// What a seed of 200,000 images may be off by at these loads.
const NEAR: f64 = 0.04;

fn queue(sessions: usize, run: Duration, scatter: Scatter) -> ReplicaModel {
    ReplicaModel {
        policy: Policy { max_batch_size: 1, max_queue_delay: Duration::ZERO, queue_capacity: usize::MAX },
        sessions,
        times: RunTimes::new(&[(1, run)], scatter).expect("a size"),
        preparation: Duration::ZERO,
    }
}

fn batches(sessions: usize, times: &[(usize, u64)], scatter: Scatter) -> ReplicaModel {
    let measured: Vec<_> = times.iter().map(|(images, ms)| (*images, Duration::from_millis(*ms))).collect();
    let most = measured.iter().map(|(images, _)| *images).max().expect("a size");
    ReplicaModel {
        policy: Policy { max_batch_size: most, max_queue_delay: Duration::ZERO, queue_capacity: 1 << 20 },
        sessions,
        times: RunTimes::new(&measured, scatter).expect("a size"),
        preparation: Duration::ZERO,
    }
}

#[track_caller]
fn near(found: f64, known: f64) {
    assert!((found / known - 1.0).abs() < NEAR, "{found} for {known}");
}

/// The share of an M/D/1 that waits no longer than `wait` (Erlang, 1909; Kleinrock, Queueing Systems I, 1975, chapter 5).
///
/// * `rate`: arrivals in the time of one run
/// * `wait`: in times of one run
fn md1_waits_within(rate: f64, wait: f64) -> f64 {
    let mut sum = 0.0;
    let mut factorial = 1.0;
    for k in 0..=wait.floor() as i32 {
        factorial *= f64::from(k.max(1));
        let left = rate * (wait - f64::from(k));
        sum += (-left).powi(k) / factorial * left.exp();
    }
    (1.0 - rate) * sum
}

#[test]
fn even_runs_of_one_image_wait_as_pollaczek_and_khinchine_say() {
    let run = Duration::from_millis(100);
    for load in [0.3, 0.6, 0.8] {
        let found = queue(1, run, Scatter::Even).at(load * 10.0);
        // W = rho D / 2 (1 - rho), and the run itself.
        near(found.mean_ms, 100.0 * (1.0 + load / (2.0 * (1.0 - load))));
        near(found.load_ratio, load);
        assert_eq!((found.mean_batch, found.refused), (1.0, 0.0));
    }
}

#[test]
fn the_tail_of_even_runs_is_erlangs() {
    for load in [0.3, 0.6, 0.8] {
        let found = queue(1, Duration::from_millis(100), Scatter::Even).at(load * 10.0);
        let share = md1_waits_within(load, found.p99_ms / 100.0 - 1.0);
        assert!((share - 0.99).abs() < 0.003, "{share} at {load}");
        let half = md1_waits_within(load, found.p50_ms / 100.0 - 1.0);
        // Those who need not wait at all are a step.
        assert!((half - 0.5).abs() < 0.02 || found.p50_ms <= 100.001, "{half} at {load}");
    }
}

/// M/M/1: the time in the system is exponential with a mean of 1 / (mu - lambda).
#[test]
fn uneven_runs_of_one_image_are_an_m_m_1() {
    let found = queue(1, Duration::from_millis(100), Scatter::Exponential).at(6.0);
    near(found.mean_ms, 1e3 / 4.0);
    near(found.p50_ms, 1e3 * 2f64.ln() / 4.0);
    near(found.p99_ms, 1e3 * 100f64.ln() / 4.0);
}

/// M/M/c: the mean wait is C(c, a) / (c mu - lambda) with Erlang's C (Erlang, 1917; Kleinrock, 3.5).
#[test]
fn several_sessions_wait_as_erlangs_c_says() {
    for (sessions, rate) in [(2, 15.0), (3, 24.0), (8, 64.0)] {
        let offered: f64 = rate / 10.0;
        let mut term = 1.0;
        let mut sum = 0.0;
        for k in 0..sessions {
            sum += term;
            term *= offered / (k + 1) as f64;
        }
        let all_busy = term / (1.0 - offered / sessions as f64);
        let waits = all_busy / (sum + all_busy);
        let known = 100.0 + 1e3 * waits / (sessions as f64 * 10.0 - rate);
        let found = queue(sessions, Duration::from_millis(100), Scatter::Exponential).at(rate);
        near(found.mean_ms, known);
        near(found.load_ratio, rate / 10.0 / sessions as f64);
    }
}

/// One session, batches of what waits: the queue that each run leaves behind is a Markov chain (Bailey, 1954), solved here by repetition.
#[test]
fn batches_are_as_large_as_the_chain_of_queues_says() {
    let time = |images: usize| 0.02 + 0.01 * images as f64;
    let (most, rate) = (8, 60.0);
    let model = batches(1, &[(1, 30), (8, 100)], Scatter::Even);
    let size = 400;
    let mut left = vec![0.0; size];
    left[0] = 1.0;
    for _ in 0..400 {
        let mut next = vec![0.0; size];
        for (queue, share) in left.iter().enumerate().filter(|(_, share)| **share > 1e-12) {
            let taken = queue.clamp(1, most);
            let come = rate * time(taken);
            let mut poisson = (-come).exp();
            for new in 0..size - queue {
                next[queue.max(1) - taken + new] += share * poisson;
                poisson *= come / (new + 1) as f64;
            }
        }
        left = next;
    }
    let mean: f64 = left.iter().enumerate().map(|(queue, share)| share * queue.clamp(1, most) as f64).sum();
    let found = model.at(rate);
    near(found.mean_batch, mean);
    // Of the time between the ends of two runs, all but the wait for a first image is a run.
    let run: f64 = left.iter().enumerate().map(|(queue, share)| share * time(queue.clamp(1, most))).sum();
    near(found.load_ratio, run / (run + left[0] / rate));
}

#[test]
fn what_comes_before_the_queue_is_waited_for_too() {
    let without = queue(1, Duration::from_millis(20), Scatter::Even);
    let with = ReplicaModel { preparation: Duration::from_millis(7), ..without.clone() };
    assert!((with.at(20.0).p99_ms - without.at(20.0).p99_ms - 7.0).abs() < 1e-6);
}

#[test]
fn a_full_queue_refuses_and_what_is_answered_is_what_it_can_do() {
    let mut model = batches(2, &[(4, 100)], Scatter::Even);
    model.policy.queue_capacity = 8;
    near(model.most_images_per_second(), 80.0);
    let found = model.at(160.0);
    near(found.refused, 0.5);
    near(found.load_ratio, 1.0);
}

#[test]
fn the_highest_rate_within_a_time_keeps_it_and_a_higher_one_does_not() {
    let model = batches(2, &[(1, 30), (8, 200)], Scatter::LogNormal(0.1));
    let (limit, most) = (Duration::from_millis(250), model.most_images_per_second());
    let rate = model.rate_within(limit, most).expect("some rate");
    assert!(rate > 0.3 * most && rate < most, "{rate} of {most}");
    assert!(model.at(rate).p99_ms <= 250.0 && model.at(rate + 0.02 * most).p99_ms > 250.0);
    assert_eq!(model.rate_within(Duration::from_millis(20), most), None, "one image takes 30 ms");
    assert_eq!(model.rate_within(Duration::from_secs(60), 0.5 * most), Some(0.5 * most));
}
