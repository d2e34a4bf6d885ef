//! The report for terminals: a column for each run.

use std::io;

use super::{
    LoadReport,
    subject::{bytes, digits, load},
};
use crate::loadgen::{distribution::LatencyQuantiles, summary::RunSummary};

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, report: &LoadReport) -> io::Result<()> {
    writeln!(out, "{} at {}\n{}\n", report.model, report.url, report.outline())?;
    let runs = &report.runs;
    let has = |part: &dyn Fn(&RunSummary) -> bool| runs.iter().any(part);
    let mut row = |name: &str, value: &dyn Fn(&RunSummary) -> String| {
        write!(out, "{name:<24}")?;
        for run in runs {
            write!(out, " {:>11}", value(run))?;
        }
        writeln!(out)
    };
    let times = |what: fn(&RunSummary) -> &Option<LatencyQuantiles>, part: fn(&LatencyQuantiles) -> f64| {
        move |run: &RunSummary| what(run).as_ref().map_or("-".to_owned(), |times| digits(part(times)))
    };
    row("LOAD", &load)?;
    row("seconds", &|run| digits(run.seconds))?;
    row("requests", &|run| run.requests.to_string())?;
    row("answered", &|run| run.answered.to_string())?;
    if report.timeout_ms.is_some() {
        row("  in their deadline", &|run| run.in_deadline.to_string())?;
    }
    for (name, count) in [
        ("refused", (|run| run.refused) as fn(&RunSummary) -> u64),
        ("expired at the server", |run| run.expired),
        ("failed", |run| run.failed),
        ("connection broke", |run| run.broken),
        ("no answer", |run| run.gave_up),
        ("not sent", |run| run.not_sent),
    ] {
        if has(&|run| count(run) > 0) {
            row(name, &|run| count(run).to_string())?;
        }
    }
    row("requests/s", &|run| digits(run.requests_per_second))?;
    if report.images_per_request > 1 {
        row("images/s", &|run| digits(run.images_per_second))?;
    }
    if report.timeout_ms.is_some() {
        row("goodput/s", &|run| digits(run.goodput_per_second))?;
    }
    for (name, part) in PERCENTILES {
        row(&format!("latency ms {name}"), &times(|run| &run.latency_ms, part))?;
    }
    if has(&|run| run.refusal_ms.is_some()) {
        row("refusal ms p50", &times(|run| &run.refusal_ms, |times| times.p50))?;
        row("refusal ms p99", &times(|run| &run.refusal_ms, |times| times.p99))?;
    }
    if has(&|run| run.server_ms.is_some()) {
        let mean = |part: fn(&RunSummary) -> Option<LatencyQuantiles>| {
            move |run: &RunSummary| part(run).map_or("-".to_owned(), |times| digits(times.mean))
        };
        row("mean ms preprocess", &mean(|run| run.server_ms.and_then(|server| server.preprocess)))?;
        row("mean ms queue", &mean(|run| run.server_ms.and_then(|server| server.queue)))?;
        row("mean ms inference", &mean(|run| run.server_ms.and_then(|server| server.inference)))?;
        row("mean ms server total", &mean(|run| run.server_ms.and_then(|server| server.total)))?;
        row("mean ms outside", &mean(|run| run.server_ms.and_then(|server| server.outside)))?;
    }
    if has(&|run| run.batch_size_mean.is_some()) {
        row("mean batch", &|run| run.batch_size_mean.map_or("-".to_owned(), digits))?;
    }
    if has(&|run| run.send_lag_ms.is_some()) {
        row("send lag ms p99", &times(|run| &run.send_lag_ms, |times| times.p99))?;
    }
    row("sent", &|run| bytes(run.sent_bytes))?;
    row("received", &|run| bytes(run.received_bytes))?;
    notes(out, report)
}

/// Reads one of the quantiles.
type QuantileOf = fn(&LatencyQuantiles) -> f64;

/// What a latency is told by.
pub(super) const PERCENTILES: [(&str, QuantileOf); 6] = [
    ("p50", |times| times.p50),
    ("p90", |times| times.p90),
    ("p95", |times| times.p95),
    ("p99", |times| times.p99),
    ("p99.9", |times| times.p99_9),
    ("max", |times| times.max),
];

fn notes(out: &mut dyn io::Write, report: &LoadReport) -> io::Result<()> {
    for run in &report.runs {
        let which = if report.runs.len() > 1 { format!("{}: ", load(run)) } else { String::new() };
        for (status, count) in run.statuses.iter().filter(|(status, _)| !matches!(status.as_str(), "200" | "OK")) {
            let words = run.messages.get(status).map_or("", String::as_str);
            writeln!(out, "\n{which}{count} x {status}: {words}")?;
        }
        for (error, count) in &run.errors {
            writeln!(out, "\n{which}{count} x {error}")?;
        }
        if run.interrupted {
            writeln!(out, "\n{which}interrupted: what was not answered by then is counted nowhere")?;
        }
        for warning in &run.warnings {
            writeln!(out, "\n{which}note: {warning}")?;
        }
    }
    Ok(())
}
