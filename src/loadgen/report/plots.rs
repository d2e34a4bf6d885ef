//! The charts of the report.

use super::{
    LoadReport,
    subject::{digits, load},
};
use crate::{
    loadgen::{
        series::Moment,
        summary::{PaceSummary, RunSummary},
    },
    page::{Chart, ChartAxis, ChartLine, ChartPoint},
};

/// Milliseconds over the share of answers that are not slower, the rare ones spread out.
pub(super) fn by_share(report: &LoadReport) -> Chart {
    let lines: Vec<_> = report.runs.iter().enumerate().map(|(place, run)| shares(place, run)).collect();
    let most = report.runs.iter().map(|run| run.answered).max().unwrap_or(0);
    Chart {
        name: "Latency by percentile".to_owned(),
        x: ChartAxis::shares("share of the answers that are at most so slow", most as f64),
        y: latency_axis(lines.iter().flat_map(values)),
        lines,
    }
}

fn shares(place: usize, run: &RunSummary) -> ChartLine {
    let mut points: Vec<_> = run.curve.iter().map(|&(share, ms)| (1.0 / (1.0 - share), ms, share)).collect();
    if let Some(times) = &run.latency_ms {
        // Rarer than one of all is none.
        points.retain(|(rarity, _, _)| *rarity < times.count as f64);
        points.push((times.count as f64, times.max, 1.0));
    }
    let point = |(x, ms, share): (f64, f64, f64)| ChartPoint {
        x,
        y: Some(ms),
        title: format!("{}: {:.3} % within {} ms", load(run), 100.0 * share, digits(ms)),
    };
    ChartLine { name: load(run), colour: place, points: points.into_iter().map(point).collect() }
}

/// Latencies as the run went on.
pub(super) fn latency_over_time(run: &RunSummary) -> Chart {
    let of = |name: &str, colour: usize, part: fn(&Moment) -> Option<f64>| {
        let point = |moment: &Moment| {
            let said = part(moment).map(digits).unwrap_or_default();
            ChartPoint { x: moment.at_s, y: part(moment), title: format!("{:.1} s: {name} {said} ms", moment.at_s) }
        };
        ChartLine { name: name.to_owned(), colour, points: run.over_time.iter().map(point).collect() }
    };
    let lines = vec![
        of("p50", 0, |moment| moment.p50_ms),
        of("p99", 3, |moment| moment.p99_ms),
        of("max", 1, |moment| moment.max_ms),
    ];
    Chart {
        name: "Latency over time".to_owned(),
        x: time_axis(run),
        y: latency_axis(lines.iter().flat_map(values)),
        lines,
    }
}

/// Answers and what is none as the run went on.
pub(super) fn rates_over_time(run: &RunSummary) -> Chart {
    let of = |name: &str, colour: usize, part: fn(&Moment) -> f64| {
        let point = |moment: &Moment| ChartPoint {
            x: moment.at_s,
            y: Some(part(moment)),
            title: format!("{:.1} s: {} {name} a second", moment.at_s, digits(part(moment))),
        };
        ChartLine { name: name.to_owned(), colour, points: run.over_time.iter().map(point).collect() }
    };
    let mut lines = vec![of("answered", 2, |moment| moment.answered_per_s)];
    if run.refused > 0 {
        lines.push(of("refused", 3, |moment| moment.refused_per_s));
    }
    if run.over_time.iter().any(|moment| moment.failed_per_s > 0.0) {
        lines.push(of("failed or late", 1, |moment| moment.failed_per_s));
    }
    let most = lines.iter().flat_map(values).fold(0.0, f64::max);
    Chart {
        name: "Requests a second over time".to_owned(),
        x: time_axis(run),
        y: ChartAxis::linear("requests a second", most),
        lines,
    }
}

/// What comes out over what is offered; nothing where there are not several rates.
pub(super) fn throughput_over_rate(report: &LoadReport) -> Option<Chart> {
    let mut lines = vec![over_rate(report, "offered", 5, "a second", |run| Some(run.offered_per_second))?];
    lines.push(over_rate(report, "answered", 2, "a second", |run| Some(run.requests_per_second))?);
    if report.timeout_ms.is_some() {
        lines.push(over_rate(report, "answered in their deadline", 0, "a second", |run| Some(run.goodput_per_second))?);
    }
    let most = lines.iter().flat_map(values).fold(0.0, f64::max);
    Some(Chart {
        name: "Answers a second over requests a second".to_owned(),
        x: rate_axis(&lines),
        y: ChartAxis::linear("requests a second", most),
        lines,
    })
}

/// How latency grows with what is offered.
pub(super) fn latency_over_rate(report: &LoadReport) -> Option<Chart> {
    let lines = vec![
        over_rate(report, "p50", 0, "ms", |run| run.latency_ms.map(|times| times.p50))?,
        over_rate(report, "p99", 3, "ms", |run| run.latency_ms.map(|times| times.p99))?,
        over_rate(report, "max", 1, "ms", |run| run.latency_ms.map(|times| times.max))?,
    ];
    Some(Chart {
        name: "Latency over requests a second".to_owned(),
        x: rate_axis(&lines),
        y: latency_axis(lines.iter().flat_map(values)),
        lines,
    })
}

fn over_rate(
    report: &LoadReport,
    name: &str,
    colour: usize,
    unit: &str,
    part: fn(&RunSummary) -> Option<f64>,
) -> Option<ChartLine> {
    let mut points = Vec::new();
    for run in &report.runs {
        let PaceSummary::Open { rate, .. } = run.pace else { return None };
        let said = part(run).map(digits).unwrap_or_default();
        points.push(ChartPoint { x: rate, y: part(run), title: format!("at {rate}/s: {name} {said} {unit}") });
    }
    points.sort_by(|a, b| a.x.total_cmp(&b.x));
    (points.len() > 1).then(|| ChartLine { name: name.to_owned(), colour, points })
}

fn rate_axis(lines: &[ChartLine]) -> ChartAxis {
    let most = lines.iter().flat_map(|line| &line.points).map(|point| point.x).fold(0.0, f64::max);
    ChartAxis::exact("requests a second that were due", most)
}

fn time_axis(run: &RunSummary) -> ChartAxis {
    let last = run.over_time.last().map_or(run.seconds, |moment| moment.at_s.max(run.seconds));
    ChartAxis::exact("seconds", last)
}

fn latency_axis(values: impl Iterator<Item = f64>) -> ChartAxis {
    let (least, most) = values.fold((f64::INFINITY, 0.0), |(least, most), ms| (ms.min(least), ms.max(most)));
    ChartAxis::powers("milliseconds", least, most)
}

fn values(line: &ChartLine) -> impl Iterator<Item = f64> + '_ {
    line.points.iter().filter_map(|point| point.y)
}
