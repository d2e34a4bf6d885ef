//! An autoscaler on `resnetd_load_ratio`: how far above the target the fleet gets while replicas start, and what another target costs.

use std::time::Duration;

use resnetd::{capacity::ReplicaModel, page::ChartAxis};

use crate::{
    balance::Rule,
    balancing::{fleet, ms},
    fleet::{Fleet, Outcome},
    report::SimReport,
    scale::Scaler,
    traffic::Shape,
};

const TARGETS: [f64; 3] = [0.5, 0.7, 0.85];
const START_UPS_S: [u64; 3] = [5, 30, 120];

fn scaled(model: &ReplicaModel, count: usize, shape: Shape, target: f64, start_up: u64, quick: bool) -> Fleet {
    // At its highest the rate keeps `count` replicas at the target; at first there are as many as that time needs.
    let part = if shape == Shape::Step { 1.0 / 3.0 } else { 0.25 };
    let first = ((count as f64 * part).ceil() as usize).max(2);
    Fleet {
        count: first,
        rate: target * count as f64 * model.most_images_per_second(),
        warm_up: Duration::from_secs(60),
        length: Duration::from_secs(if quick { 600 } else { 1200 }),
        scaler: Some(Scaler { target, start_up: Duration::from_secs(start_up), least: 2, most: 2 * count }),
        ..fleet(model, first, target, Rule::PowerOfTwo, shape, true)
    }
}

fn cells(outcome: &Outcome, count: usize, length: f64) -> String {
    let mean = outcome.replica_seconds / length / count as f64;
    format!("{:.2} %, p99 {} ms, {mean:.2} of the replicas", 100.0 * outcome.goodput(), ms(outcome.p99))
}

pub(crate) fn study(model: &ReplicaModel, quick: bool, report: &mut SimReport) {
    for (shape, title, words) in [
        (Shape::Step, "Scaling: three times as much at once", "A third of the rate, then all of it, and it stays."),
        (
            Shape::Morning,
            "Scaling: a morning",
            "From a quarter of the rate to all of it in half of the time, then it stays.",
        ),
    ] {
        let counts: &[usize] = if quick { &[30] } else { &[10, 100] };
        for &count in counts {
            report.section(
                &format!("{title}, {count} replicas in the end"),
                &format!(
                    "{words} HorizontalPodAutoscaler as deploy/kubernetes has it, power of two choices; answered in time, p99 of what was answered, and \
                     replicas paid for, as a share of {count}. Columns: from the order until a replica answers."
                ),
            );
            let mut rows = Vec::new();
            let mut shown = None;
            for target in TARGETS {
                let mut row = vec![format!("load to aim at {target}")];
                for start_up in START_UPS_S {
                    let fleet = scaled(model, count, shape, target, start_up, quick);
                    let length = (fleet.length + fleet.warm_up).as_secs_f64();
                    let outcome = fleet.run();
                    row.push(cells(&outcome, count, length));
                    if target == 0.7 && start_up == 30 {
                        shown = Some(outcome);
                    }
                }
                eprintln!("{title}: {count} replicas, {target}");
                rows.push(row);
            }
            let head: Vec<String> = std::iter::once("rule".to_owned())
                .chain(START_UPS_S.iter().map(|start_up| format!("ready after {start_up} s")))
                .collect();
            report.table(&head, &rows);
            if let Some(outcome) = shown.filter(|_| count == counts[counts.len() / 2]) {
                let points = |value: &dyn Fn(&crate::fleet::Moment) -> Option<f64>| {
                    outcome.over_time.iter().map(|moment| (moment.seconds, value(moment))).collect::<Vec<_>>()
                };
                let last = outcome.over_time.last().map_or(1.0, |moment| moment.seconds);
                let most = outcome.over_time.iter().map(|moment| moment.ready).max().unwrap_or(1) as f64;
                let lines = [
                    ("ready".to_owned(), points(&|moment| Some(moment.ready as f64))),
                    ("needed without a pause".to_owned(), points(&|moment| Some(moment.needed))),
                ];
                report.chart(
                    "Replicas over time, target 0.7, ready after 30 s",
                    ChartAxis::exact("seconds", last),
                    ChartAxis::linear("replicas", most),
                    &lines,
                );
                let slowest = outcome.over_time.iter().filter_map(|moment| moment.p99).fold(1.0, f64::max);
                let lines = [("p99".to_owned(), points(&|moment| moment.p99))];
                report.chart(
                    "p99 of fifteen seconds",
                    ChartAxis::exact("seconds", last),
                    ChartAxis::linear("ms", slowest),
                    &lines,
                );
            }
        }
    }
}
