//! Which of the measured ways is taken. Pure: measurements in, one of them out.
//!
//! Answers come first: a candidate whose answers are too far off is out, however fast it is. Then the goal decides. The
//! default is left only for a gain that is larger than the noise of the measurement.

use super::{Candidate, Drift, Measurement};
use crate::runtime::Engine;
use crate::settings::Goal;

/// What a choice must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// What is best.
    pub goal: Goal,
    /// How far a probability may be from the reference's, in addition to how far the default's is.
    pub max_probability_drift: f64,
    /// How far the default's own answers are off: a quantized network rounds in every engine.
    pub default_drift: Option<Drift>,
    /// Whether the weights are random: then the drift is reported and decides nothing.
    pub untrained: bool,
    /// The smallest batch limit that is considered. A large limit costs nothing while few requests come; when many
    /// come, a smaller one only pays for a goal that promises a time.
    pub least_batch: usize,
    /// Whether one more session may be made, for an image that is alone.
    pub may_add_one: bool,
}

/// What was chosen, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// The row that won.
    pub measurement: Measurement,
    /// For the log and for people.
    pub reason: String,
}

/// A gain below this is taken for noise, and the default stays.
const WORTHWHILE_GAIN: f64 = 1.05;

/// A row with at least this share of the best score counts as equal to it.
const EQUAL: f64 = 0.95;

/// For the goal of throughput, a single image may always take this much longer than with the default. It may take
/// longer still only by the factor that throughput gains.
const ALLOWED_DELAY: f64 = 1.1;

impl Rules {
    /// Whether answers that are so far off may be given.
    pub fn admit(&self, drift: Option<Drift>) -> bool {
        let own = self.default_drift.unwrap_or(Drift { probability: 0.0, same_top: true });
        let holds = |drift: Drift| {
            let top = drift.same_top || !own.same_top;
            top && drift.probability <= own.probability + self.max_probability_drift
        };
        self.untrained || drift.is_none_or(holds)
    }

    /// How good a row is; more is better.
    fn score(&self, row: &Measurement) -> f64 {
        match self.goal {
            Goal::Latency => 1.0 / row.alone_ms.max(f64::MIN_POSITIVE),
            Goal::Throughput | Goal::P99(_) => row.images_per_second,
        }
    }

    /// Whether a row keeps what the goal promises. An image that comes when a run has just begun waits for that one and
    /// then for its own: twice the time of a run.
    fn keeps_target(&self, row: &Measurement) -> bool {
        match self.goal {
            Goal::P99(limit_ms) => 2.0 * row.p99_ms <= limit_ms,
            Goal::Throughput | Goal::Latency => row.batch_size >= self.least_batch,
        }
    }
}

/// Chooses a row.
///
/// * `rows`: those of the default come first
///
/// `None` only where the answers of no row are near enough.
pub fn choose(rows: &[Measurement], rules: &Rules) -> Option<Choice> {
    let admitted: Vec<_> = rows.iter().filter(|row| rules.admit(row.drift)).collect();
    let default = *admitted.first()?;
    let kept: Vec<_> = admitted.iter().copied().filter(|row| rules.keeps_target(row)).collect();
    if kept.is_empty() {
        let quickest = admitted.iter().copied().min_by(|a, b| a.p99_ms.total_cmp(&b.p99_ms))?;
        let reason =
            format!("nothing keeps {}: this comes closest, a run takes up to {:.1} ms", rules.goal, quickest.p99_ms);
        return Some(Choice { measurement: quickest.clone(), reason });
    }
    let of_default = |row: &&Measurement| row.candidate == default.candidate;
    let default_score = kept.iter().copied().filter(of_default).map(|row| rules.score(row)).fold(0.0, f64::max);
    // For throughput, a single image may be slowed down by no more than the factor that throughput gains.
    let patient = rules.goal == Goal::Throughput && default.candidate.engine == Engine::REFERENCE;
    let alone_ms = |row: &Measurement| {
        let quickest = if rules.may_add_one { for_one_alone(rows, row) } else { None };
        quickest.map_or(row.alone_ms, |quickest| quickest.alone_ms)
    };
    let quick_enough = |row: &&Measurement| {
        let gain = rules.score(row) / default_score.max(f64::MIN_POSITIVE);
        !patient || alone_ms(row) <= gain.max(ALLOWED_DELAY) * default.alone_ms
    };
    // On a busy machine a gain may be an accident. A true one shows in two thirds of the comparisons.
    let certain = |row: &&Measurement| match rules.goal {
        Goal::Latency => true,
        Goal::Throughput | Goal::P99(_) => row.at_least >= default_score,
    };
    let best_rows = || kept.iter().copied().filter(quick_enough).filter(certain);
    let best = best_rows().map(|row| rules.score(row)).fold(0.0, f64::max);
    let worthwhile = best >= WORTHWHILE_GAIN * default_score;
    let (floor, pool): (f64, Vec<_>) = if worthwhile {
        (best, best_rows().collect())
    } else {
        (default_score, kept.iter().copied().filter(of_default).collect())
    };
    // Among equals, images a second and the time of a single image count the same.
    let merit = |row: &Measurement| rules.score(row) / alone_ms(row).max(f64::MIN_POSITIVE);
    let equals = pool.into_iter().filter(|row| rules.score(row) >= EQUAL * floor);
    let winner = fullest_useful(&kept, equals.max_by(|a, b| merit(a).total_cmp(&merit(b)))?);
    Some(Choice { measurement: winner.clone(), reason: reason(default, winner, rows.len()) })
}

/// The session for an image that is alone beside those of `chosen`: of one over more threads, on the same engine, where it is quicker by more
/// than the noise of the measurement. A GPU is not divided among sessions, so none is.
pub fn for_one_alone<'r>(rows: &'r [Measurement], chosen: &Measurement) -> Option<&'r Measurement> {
    let Candidate { engine, shape } = chosen.candidate;
    let is_one = |row: &&Measurement| row.candidate.engine == engine && row.candidate.shape.instances == 1;
    let wider = |row: &&Measurement| row.candidate.shape.intra_threads > shape.intra_threads;
    let rows = rows.iter().filter(is_one).filter(wider);
    let quickest = rows.min_by(|a, b| a.alone_ms.total_cmp(&b.alone_ms))?;
    let pays = !engine.provider.is_gpu() && quickest.alone_ms * ALLOWED_DELAY < chosen.alone_ms;
    pays.then_some(quickest)
}

/// The batch limit for the winner: the smallest that reaches its full speed, because larger batches only answer later.
fn fullest_useful<'a>(rows: &[&'a Measurement], winner: &'a Measurement) -> &'a Measurement {
    let own = || rows.iter().copied().filter(|row| row.candidate == winner.candidate);
    let best = own().map(|row| row.images_per_second).fold(0.0, f64::max);
    own().filter(|row| row.images_per_second >= EQUAL * best).min_by_key(|row| row.batch_size).unwrap_or(winner)
}

fn reason(default: &Measurement, winner: &Measurement, rows: usize) -> String {
    let speed = format!(
        "{:.0} images/s in batches of {}, one alone in {:.2} ms",
        winner.images_per_second, winner.batch_size, winner.alone_ms
    );
    if rows == 1 {
        return format!("nothing else to choose from: {speed}");
    }
    if winner.candidate == default.candidate {
        return format!("nothing measured is faster: {speed}");
    }
    let Candidate { engine, shape } = default.candidate;
    let same_arithmetic = engine.precision == winner.candidate.engine.precision;
    let other = if same_arithmetic { engine.provider.to_string() } else { engine.to_string() };
    format!("{speed}; {other} in {shape}: {:.0} and {:.2} ms", default.images_per_second, default.alone_ms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        runtime::{Precision, Provider},
        tune::SessionShape,
    };

    const RULES: Rules = Rules {
        goal: Goal::Throughput,
        max_probability_drift: 0.02,
        default_drift: None,
        untrained: false,
        least_batch: 1,
        may_add_one: false,
    };
    const CPU: Engine = Engine::REFERENCE;
    const OV_FP32: Engine = Engine { provider: Provider::Openvino, precision: Precision::Fp32 };
    const OV_BF16: Engine = Engine { provider: Provider::Openvino, precision: Precision::Bf16 };

    fn row(engine: Engine, instances: usize, batch_size: usize, images_per_second: f64, alone_ms: f64) -> Measurement {
        let shape = SessionShape { instances, intra_threads: 2 / instances };
        let run_ms = 1e3 * (batch_size * instances) as f64 / images_per_second;
        let drift = (engine != CPU).then_some(Drift { probability: 0.001, same_top: true });
        let candidate = Candidate { engine, shape };
        Measurement {
            candidate,
            batch_size,
            images_per_second,
            at_least: images_per_second,
            p50_ms: run_ms,
            p99_ms: run_ms,
            alone_ms,
            memory_bytes: 0,
            drift,
        }
    }

    fn chosen(rows: &[Measurement], rules: Rules) -> (Engine, usize, usize) {
        let Measurement { candidate, batch_size, .. } = choose(rows, &rules).unwrap().measurement;
        (candidate.engine, candidate.shape.instances, batch_size)
    }

    #[test]
    fn sessions_side_by_side_are_taken_where_one_more_answers_an_image_that_is_alone_as_quickly() {
        // A ResNet-50 on two cores: 15 % more images, each of which takes twice as long.
        let rows = [row(CPU, 1, 8, 19.8, 50.0), row(CPU, 2, 8, 22.8, 84.0)];
        assert_eq!(chosen(&rows, RULES).1, 1, "a gain of 15 % is worth no delay of 68 %");
        assert_eq!(chosen(&rows, Rules { may_add_one: true, ..RULES }).1, 2);
        assert_eq!(for_one_alone(&rows, &rows[1]), Some(&rows[0]));
        assert_eq!(for_one_alone(&rows, &rows[0]), None, "it is the quickest itself");
    }

    #[test]
    fn no_session_is_added_for_a_gain_within_the_noise_or_on_a_gpu() {
        let tiny = [row(CPU, 2, 8, 2_400.0, 0.79), row(CPU, 1, 8, 1_730.0, 0.74)];
        assert_eq!(for_one_alone(&tiny, &tiny[0]), None);
        let cuda = Engine { provider: Provider::Cuda, precision: Precision::Fp16 };
        let gpu = [row(cuda, 1, 32, 3_700.0, 1.0), row(cuda, 2, 32, 6_800.0, 3.5)];
        assert_eq!(for_one_alone(&gpu, &gpu[1]), None);
    }

    fn drifting(mut row: Measurement, probability: f64, same_top: bool) -> Measurement {
        row.drift = Some(Drift { probability, same_top });
        row
    }

    #[test]
    fn the_fastest_arithmetic_wins_where_its_answers_hold() {
        let rows = [row(CPU, 1, 8, 46.0, 24.0), row(OV_FP32, 1, 8, 50.0, 21.0), row(OV_BF16, 1, 8, 260.0, 5.0)];
        assert_eq!(chosen(&rows, RULES), (OV_BF16, 1, 8));
        let reason = choose(&rows, &RULES).unwrap().reason;
        assert!(reason.contains("260 images/s") && reason.contains("cpu fp32") && reason.contains("46"), "{reason}");
    }

    #[test]
    fn a_drift_beyond_the_limit_or_another_first_class_rules_the_fastest_out() {
        let rows = |probability, same_top| {
            let bf16 = drifting(row(OV_BF16, 1, 8, 260.0, 5.0), probability, same_top);
            [row(CPU, 1, 8, 46.0, 24.0), row(OV_FP32, 1, 8, 60.0, 21.0), bf16]
        };
        assert_eq!(chosen(&rows(0.02, true), RULES).0, OV_BF16);
        assert_eq!(chosen(&rows(0.021, true), RULES).0, OV_FP32);
        assert_eq!(chosen(&rows(0.001, false), RULES).0, OV_FP32);
        let strict = Rules { max_probability_drift: 0.0, ..RULES };
        assert_eq!(chosen(&rows(0.0001, true), strict).0, CPU);
    }

    #[test]
    fn an_engine_that_rounds_otherwise_is_held_against_what_the_default_rounds() {
        let own = Drift { probability: 0.03, same_top: false };
        let cpu = drifting(row(CPU, 1, 8, 140.0, 8.0), own.probability, own.same_top);
        let rules = Rules { default_drift: Some(own), ..RULES };
        let with =
            |probability| chosen(&[cpu.clone(), drifting(row(OV_FP32, 1, 8, 455.0, 3.0), probability, false)], rules);
        assert_eq!(with(0.031).0, OV_FP32);
        assert_eq!(with(0.136).0, CPU);
    }

    #[test]
    fn the_drift_of_an_untrained_network_decides_nothing() {
        let rows = [row(CPU, 1, 8, 46.0, 24.0), drifting(row(OV_BF16, 1, 8, 260.0, 5.0), 0.4, false)];
        assert_eq!(chosen(&rows, RULES).0, CPU);
        assert_eq!(chosen(&rows, Rules { untrained: true, ..RULES }).0, OV_BF16);
    }

    #[test]
    fn the_default_is_not_left_for_what_may_be_noise() {
        let rows = [row(CPU, 1, 8, 100.0, 10.0), row(OV_FP32, 1, 8, 104.0, 9.5)];
        assert_eq!(chosen(&rows, RULES).0, CPU);
        let rows = [row(CPU, 1, 8, 100.0, 10.0), row(OV_FP32, 1, 8, 106.0, 9.5)];
        assert_eq!(chosen(&rows, RULES).0, OV_FP32);
    }

    #[test]
    fn a_gain_that_too_few_comparisons_show_is_not_trusted() {
        let mut lucky = row(OV_FP32, 1, 8, 400.0, 9.0);
        lucky.at_least = 80.0;
        assert_eq!(chosen(&[row(CPU, 1, 8, 100.0, 10.0), lucky.clone()], RULES).0, CPU);
        let steady = row(OV_BF16, 1, 8, 150.0, 9.0);
        assert_eq!(chosen(&[row(CPU, 1, 8, 100.0, 10.0), lucky, steady], RULES).0, OV_BF16);
    }

    #[test]
    fn throughput_is_not_bought_with_a_slower_single_image() {
        let rows = [row(CPU, 1, 8, 100.0, 10.0), row(CPU, 2, 8, 115.0, 19.0), row(OV_FP32, 1, 8, 108.0, 10.5)];
        assert_eq!(chosen(&rows, RULES), (OV_FP32, 1, 8));
        // Beside busy neighbours: 1.44 times the images for 1.4 times the time of one.
        let rows = [row(CPU, 1, 8, 182.0, 8.0), row(CPU, 2, 8, 262.0, 11.2)];
        assert_eq!(chosen(&rows, RULES), (CPU, 2, 8));
    }

    #[test]
    fn of_equally_fast_ways_the_one_that_is_quicker_alone_is_taken() {
        let rows = [row(CPU, 1, 8, 46.0, 24.0), row(OV_BF16, 2, 8, 292.0, 9.0), row(OV_BF16, 1, 8, 288.0, 5.0)];
        assert_eq!(chosen(&rows, RULES), (OV_BF16, 1, 8));
    }

    #[test]
    fn two_sessions_that_fight_lose_to_one_of_two_threads() {
        let rows = [row(CPU, 1, 8, 46.0, 24.0), row(OV_BF16, 2, 8, 112.0, 9.0), row(OV_BF16, 1, 8, 200.0, 5.0)];
        assert_eq!(chosen(&rows, RULES), (OV_BF16, 1, 8));
    }

    #[test]
    fn of_equally_fast_batches_the_smallest_is_taken() {
        let rows: Vec<_> = [(1, 199.0), (4, 285.0), (8, 290.0), (16, 291.0)]
            .map(|(batch, speed)| row(OV_BF16, 1, batch, speed, 5.0))
            .into_iter()
            .chain([row(CPU, 1, 8, 46.0, 24.0)])
            .collect();
        assert_eq!(chosen(&rows, RULES).2, 4);
        assert_eq!(chosen(&rows, Rules { least_batch: 8, ..RULES }).2, 8);
    }

    #[test]
    fn latency_takes_the_shortest_run_and_the_batch_that_uses_it() {
        let goal = Rules { goal: Goal::Latency, ..RULES };
        let rows = [
            row(CPU, 2, 8, 3400.0, 0.8),
            row(OV_BF16, 1, 1, 2000.0, 0.4),
            row(OV_BF16, 1, 8, 15000.0, 0.4),
            row(OV_BF16, 2, 8, 16000.0, 0.7),
        ];
        assert_eq!(chosen(&rows, goal), (OV_BF16, 1, 8));
    }

    #[test]
    fn a_p99_target_counts_the_run_that_is_waited_for() {
        // Batches of 8 in 80 ms: an image waits for up to one run and its own, 160 ms.
        let rows = [row(CPU, 1, 1, 80.0, 12.5), row(CPU, 1, 4, 94.0, 12.5), row(CPU, 1, 8, 100.0, 12.5)];
        let within = |ms| chosen(&rows, Rules { goal: Goal::P99(ms), ..RULES }).2;
        assert_eq!(within(200.0), 8);
        assert_eq!(within(100.0), 4);
        assert_eq!(within(30.0), 1);
        let hopeless = choose(&rows, &Rules { goal: Goal::P99(5.0), ..RULES }).unwrap();
        assert_eq!(hopeless.measurement.batch_size, 1);
        assert!(hopeless.reason.contains("nothing keeps p99=5"), "{}", hopeless.reason);
    }

    #[test]
    fn where_no_answer_holds_nothing_is_chosen() {
        assert!(choose(&[drifting(row(OV_BF16, 1, 8, 260.0, 5.0), 0.5, true)], &RULES).is_none());
        assert!(choose(&[], &RULES).is_none());
    }
}
