//! The rules of balancing side by side: over the load, over the size of the fleet, with bursts, with slow replicas, with many balancers.

use std::time::Duration;

use resnetd::{capacity::ReplicaModel, page::ChartAxis};

use crate::{
    balance::Rule,
    fleet::{Fleet, Outcome},
    report::SimReport,
    traffic::Shape,
};

/// Deadlines are so many times what a lone picture takes: two full batches fit, which the server would cut to a deadline, and the simulation does not.
const DEADLINE: f64 = 20.0;
/// Of a network in one place, with a proxy.
const HOP: Duration = Duration::from_millis(1);
const LOADS: [f64; 7] = [0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95];

pub(crate) fn fleet(model: &ReplicaModel, count: usize, load: f64, rule: Rule, shape: Shape, quick: bool) -> Fleet {
    let rate = load * count as f64 * model.most_images_per_second();
    // Enough pictures for a percentile, enough time for what fades.
    let pictures = if quick { 4e4 } else { 1.5e5 };
    let least = if quick { 10.0 } else { 15.0 };
    let length = (pictures / rate).clamp(least, 3600.0);
    Fleet {
        replica: model.clone(),
        count,
        slow: (0, 1.0),
        rule,
        balancers: 1,
        shape,
        rate,
        hop: HOP,
        deadline: (model.times.mean(1) + model.preparation).mul_f64(DEADLINE),
        warm_up: Duration::from_secs(10),
        length: Duration::from_secs_f64(length),
        scaler: None,
        seed: 1,
    }
}

pub(crate) fn ms(value: f64) -> String {
    if value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}

fn shown(outcome: &Outcome) -> String {
    format!("{} / {} ms, {:.2} %", ms(outcome.p50), ms(outcome.p99), 100.0 * outcome.goodput())
}

/// A table of `columns` by rule, of `fleets`, and their p99 as lines.
fn by_rule(
    report: &mut SimReport,
    what: &str,
    columns: &[String],
    fleets: impl Fn(Rule, usize) -> Fleet,
) -> Vec<(String, Vec<f64>)> {
    let mut rows = Vec::new();
    let mut lines = Vec::new();
    for rule in Rule::ALL {
        let outcomes: Vec<Outcome> = (0..columns.len()).map(|column| fleets(rule, column).run()).collect();
        eprintln!("{what}: {rule}");
        rows.push(std::iter::once(rule.to_string()).chain(outcomes.iter().map(shown)).collect());
        lines.push((rule.to_string(), outcomes.iter().map(|outcome| outcome.p99).collect()));
    }
    let head: Vec<String> = std::iter::once(what.to_owned()).chain(columns.iter().cloned()).collect();
    report.table(&head, &rows);
    lines
}

fn chart(report: &mut SimReport, name: &str, x: ChartAxis, at: &[f64], lines: Vec<(String, Vec<f64>)>) {
    let (mut least, mut most) = (f64::INFINITY, 0.0f64);
    for value in lines.iter().flat_map(|(_, values)| values) {
        (least, most) = (least.min(*value), most.max(*value));
    }
    let points = |values: Vec<f64>| at.iter().zip(values).map(|(x, y)| (*x, Some(y))).collect();
    let lines: Vec<_> = lines.into_iter().map(|(name, values)| (name, points(values))).collect();
    report.chart(name, x, ChartAxis::powers("p99, ms", least, most), &lines);
}

pub(crate) fn study(model: &ReplicaModel, quick: bool, report: &mut SimReport) {
    let hundred = if quick { 30 } else { 100 };
    report.section(
        "Balancing over the load",
        &format!("{hundred} replicas, one balancer, independent users. p50 / p99, and what was answered within {DEADLINE} times a lone picture's time."),
    );
    let columns: Vec<String> = LOADS.iter().map(|load| format!("load {load}")).collect();
    let lines =
        by_rule(report, "rule", &columns, |rule, at| fleet(model, hundred, LOADS[at], rule, Shape::Steady, quick));
    chart(report, "p99 over the load", ChartAxis::linear("load", 1.0), &LOADS, lines);

    let sizes: &[usize] = if quick { &[10, 100, 1000] } else { &[10, 100, 1000, 10_000] };
    let columns: Vec<String> = sizes.iter().map(|size| format!("{size} replicas")).collect();
    let axis = || ChartAxis::powers("replicas", sizes[0] as f64, sizes[sizes.len() - 1] as f64);
    let at: Vec<f64> = sizes.iter().map(|size| *size as f64).collect();
    for (shape, title, words) in [
        (Shape::Steady, "Size of the fleet", "Load 0.8, one balancer."),
        (
            Shape::Bursts,
            "Bursts",
            "Load 0.7 in the mean: for 10 s 0.85 of it, for 5 s 1.3 of it, in the mean and at random; all replicas have the burst at the same time.",
        ),
    ] {
        report.section(title, words);
        let load = if shape == Shape::Steady { 0.8 } else { 0.7 };
        let lines = by_rule(report, "rule", &columns, |rule, at| fleet(model, sizes[at], load, rule, shape, quick));
        chart(report, &format!("p99 over the size: {}", title.to_lowercase()), axis(), &at, lines);
    }

    report.section(
        "Slow replicas",
        &format!("{hundred} replicas, a tenth of them takes twice as long (a busy neighbour, an older processor). Load is of what they can do together."),
    );
    let loads = [0.5, 0.7, 0.8, 0.9];
    let columns: Vec<String> = loads.iter().map(|load| format!("load {load}")).collect();
    let lines = by_rule(report, "rule", &columns, |rule, at| {
        let slow = hundred / 10;
        let mut fleet = fleet(model, hundred, loads[at], rule, Shape::Steady, quick);
        fleet.slow = (slow, 2.0);
        fleet.rate *= 1.0 - 0.05;
        fleet
    });
    chart(report, "p99 over the load, a tenth of the replicas slow", ChartAxis::linear("load", 1.0), &loads, lines);

    report.section(
        "Many balancers",
        &format!("{hundred} replicas at load 0.8. Each balancer knows only what it has sent itself; what it looks at says less the more of them there are."),
    );
    let counts: &[usize] = if quick { &[1, 10] } else { &[1, 4, 16, 64] };
    let columns: Vec<String> = counts.iter().map(|count| format!("{count} balancers")).collect();
    by_rule(report, "rule", &columns, |rule, at| Fleet {
        balancers: counts[at],
        ..fleet(model, hundred, 0.8, rule, Shape::Steady, quick)
    });
}
