//! The report for browsers: one page that opens from disk, with its style and charts inside and nothing from elsewhere. Names and what
//! servers say are text of others, and escaped.

use std::io;

use super::{
    LoadReport,
    plots::{by_share, latency_over_rate, latency_over_time, rates_over_time, throughput_over_rate},
    subject::{bytes, digits, load},
    table::PERCENTILES,
};
use crate::{
    loadgen::{distribution::Quantiles, summary::RunSummary},
    page::{self, Chart, escaped},
};

/// Writes the report.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn io::Write, report: &LoadReport) -> io::Result<()> {
    let LoadReport { model, url, started, .. } = report;
    page::begin(out, &format!("{model}: load"), include_str!("page.css"))?;
    writeln!(out, "<h1>{} under load</h1>", escaped(model))?;
    writeln!(out, "<p class=\"sub\">{}, {}</p>", escaped(url), escaped(started))?;
    writeln!(out, "<p class=\"sub\">{}</p>", escaped(&report.outline()))?;
    if let [run] = &report.runs[..] {
        tiles(out, report, run)?;
    }
    warnings(out, report)?;
    figures(out, report)?;
    let curves: Vec<_> = [throughput_over_rate(report), latency_over_rate(report)].into_iter().flatten().collect();
    if !curves.is_empty() {
        writeln!(out, "<h2>Over the rate</h2>")?;
        panels(out, &curves)?;
    }
    if report.runs.iter().any(|run| run.answered > 0) {
        writeln!(
            out,
            "<h2>Latency by percentile</h2>\n<p class=\"note\">Each step to the right is ten times as rare: a tail that bends upwards is what \
             one request in a hundred or a thousand waits for.</p>\n<div class=\"panel scroll\">{}</div>",
            by_share(report).html()
        )?;
    }
    for run in &report.runs {
        one_run(out, report, run)?;
    }
    page::end(out)
}

/// What one wants to know first.
fn tiles(out: &mut dyn io::Write, report: &LoadReport, run: &RunSummary) -> io::Result<()> {
    let time = |part: fn(&Quantiles) -> f64| run.latency_ms.as_ref().map_or("-".to_owned(), |it| digits(part(it)));
    let mut tiles = vec![("load", escaped(&load(run))), ("requests/s", digits(run.requests_per_second))];
    if report.images_per_request > 1 {
        tiles.push(("images/s", digits(run.images_per_second)));
    }
    if report.timeout_ms.is_some() {
        tiles.push(("in their deadline/s", digits(run.goodput_per_second)));
    }
    tiles.push(("p50, ms", time(|times| times.p50)));
    tiles.push(("p99, ms", time(|times| times.p99)));
    tiles.push(("p99.9, ms", time(|times| times.p99_9)));
    tiles.push(("answered", share(run.answered, run.requests)));
    writeln!(out, "<div class=\"tiles\">")?;
    for (name, value) in tiles {
        writeln!(out, "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>")?;
    }
    writeln!(out, "</div>")
}

fn warnings(out: &mut dyn io::Write, report: &LoadReport) -> io::Result<()> {
    for run in &report.runs {
        let which = if report.runs.len() > 1 { format!("{}: ", load(run)) } else { String::new() };
        if run.interrupted {
            writeln!(out, "<p class=\"warn\">{which}interrupted before its time.</p>")?;
        }
        for warning in &run.warnings {
            writeln!(out, "<p class=\"warn\">{}{}</p>", escaped(&which), escaped(warning))?;
        }
    }
    Ok(())
}

fn figures(out: &mut dyn io::Write, report: &LoadReport) -> io::Result<()> {
    writeln!(
        out,
        "<h2>Figures</h2>\n<div class=\"scroll\"><table class=\"runs\"><thead><tr><th>load</th><th>requests</th><th>answered</th>\
         <th>refused</th><th>expired</th><th>lost</th><th>requests/s</th>"
    )?;
    if report.timeout_ms.is_some() {
        write!(out, "<th>goodput/s</th>")?;
    }
    for (name, _) in PERCENTILES {
        write!(out, "<th>{name}</th>")?;
    }
    writeln!(out, "</tr></thead><tbody>")?;
    for run in &report.runs {
        let lost = run.failed + run.broken + run.gave_up + run.not_sent;
        write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{lost}</td><td>{}</td>",
            escaped(&load(run)),
            run.requests,
            run.answered,
            run.refused,
            run.expired,
            digits(run.requests_per_second)
        )?;
        if report.timeout_ms.is_some() {
            write!(out, "<td>{}</td>", digits(run.goodput_per_second))?;
        }
        for (_, part) in PERCENTILES {
            write!(out, "<td>{}</td>", run.latency_ms.as_ref().map_or("-".to_owned(), |times| digits(part(times))))?;
        }
        writeln!(out, "</tr>")?;
    }
    writeln!(
        out,
        "</tbody></table></div>\n<p class=\"note\">Latencies in milliseconds, of what was answered; in an open loop they count from the moment \
         that a request was due.</p>"
    )
}

fn one_run(out: &mut dyn io::Write, report: &LoadReport, run: &RunSummary) -> io::Result<()> {
    if report.runs.len() > 1 {
        writeln!(out, "<h2>{}</h2>", escaped(&load(run)))?;
    } else {
        writeln!(out, "<h2>Over time</h2>")?;
    }
    panels(out, &[latency_over_time(run), rates_over_time(run)])?;
    phases(out, run)?;
    details(out, run)
}

fn panels(out: &mut dyn io::Write, charts: &[Chart]) -> io::Result<()> {
    writeln!(out, "<div class=\"grid2\">")?;
    for chart in charts {
        writeln!(out, "<div class=\"panel scroll\"><h3>{}</h3>{}</div>", escaped(&chart.name), chart.html())?;
    }
    writeln!(out, "</div>")
}

/// Where the mean answer's time went, as the server says it.
fn phases(out: &mut dyn io::Write, run: &RunSummary) -> io::Result<()> {
    let Some(server) = &run.server_ms else { return Ok(()) };
    let mean = |times: &Option<Quantiles>| times.as_ref().map_or(0.0, |times| times.mean);
    let known = mean(&server.preprocess) + mean(&server.queue) + mean(&server.inference);
    let parts = [
        ("preprocess", 0, mean(&server.preprocess), server.preprocess),
        ("queue", 3, mean(&server.queue), server.queue),
        ("inference", 2, mean(&server.inference), server.inference),
        ("the rest of the server", 4, (mean(&server.total) - known).max(0.0), None),
        ("network and client", 5, mean(&server.outside), server.outside),
    ];
    let sum: f64 = parts.iter().map(|(_, _, mean, _)| mean).sum();
    if sum <= 0.0 {
        return Ok(());
    }
    let batch = run.batch_size_mean.map_or(String::new(), |size| format!(", mean batch {}", digits(size)));
    writeln!(
        out,
        "<div class=\"panel\" style=\"margin-top:20px\"><h3>Where the time of a mean answer went{batch}</h3><div class=\"stack\">"
    )?;
    for (name, colour, mean, _) in &parts {
        let width = 100.0 * mean / sum;
        write!(out, "<i class=\"s{colour}\" style=\"width:{width:.2}%\" title=\"{name}: {} ms\"></i>", digits(*mean))?;
    }
    writeln!(out, "</div><p class=\"legend\">")?;
    for (name, colour, mean, times) in &parts {
        let tail = times.as_ref().map_or(String::new(), |times| format!(" (p99 {})", digits(times.p99)));
        write!(out, "<span><i class=\"s{colour}\"></i>{name} {} ms{tail}</span>", digits(*mean))?;
    }
    writeln!(out, "</p></div>")
}

fn details(out: &mut dyn io::Write, run: &RunSummary) -> io::Result<()> {
    writeln!(
        out,
        "<details><summary>Statuses, refusals, bytes</summary><div class=\"scroll\"><table class=\"words\"><tbody>"
    )?;
    let mut row =
        |name: &str, value: &str| writeln!(out, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value));
    for (status, count) in &run.statuses {
        let words = run.messages.get(status).map_or(String::new(), |words| format!(": {words}"));
        row(status, &format!("{count}{words}"))?;
    }
    for (error, count) in &run.errors {
        row("no answer", &format!("{count}: {error}"))?;
    }
    for (name, times) in
        [("refusals, ms", &run.refusal_ms), ("expired, ms", &run.expired_ms), ("begun so late, ms", &run.send_lag_ms)]
    {
        if let Some(times) = times {
            let [p50, p99, max] = [times.p50, times.p99, times.max].map(digits);
            row(name, &format!("{}: p50 {p50}, p99 {p99}, max {max}", times.count))?;
        }
    }
    row("bodies sent", &bytes(run.sent_bytes))?;
    row("bodies received", &bytes(run.received_bytes))?;
    writeln!(out, "</tbody></table></div></details>")
}

fn share(part: u64, all: u64) -> String {
    if all == 0 {
        return "-".to_owned();
    }
    let percent = 100.0 * part as f64 / all as f64;
    // 99.97 % is not all.
    if part < all && percent > 99.9 { format!("{percent:.2} %") } else { format!("{percent:.1} %") }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::loadgen::{
        form::{PictureForm, WireProtocol},
        plan::{LoadPlan, Pace},
        reply::{LoadSample, NoReply, ReplyStatus, ServerReply},
        tally::LoadTally,
    };

    const HOSTILE: &str = "<script>\"x\"</script>";

    fn report() -> LoadReport {
        let from = Instant::now();
        let second = Duration::from_secs(1);
        let mut tally = LoadTally::new(from, Some(second), Some(second)).expect("bounds");
        let reply = |status: u16, words: Option<&str>| ServerReply {
            status: ReplyStatus::Http(status),
            sent_bytes: 1,
            received_bytes: 1,
            phases: None,
            batch_size: Some(2),
            words: words.map(str::to_owned),
        };
        let replies = [Ok(reply(200, None)), Ok(reply(500, Some(HOSTILE))), Err(NoReply::Broken(HOSTILE.to_owned()))];
        for (place, reply) in replies.into_iter().enumerate() {
            let intended = from + Duration::from_millis(100 * place as u64);
            tally.add(&LoadSample { intended, sent: intended, ended: intended + Duration::from_millis(7), reply });
        }
        let plan = LoadPlan {
            pace: Pace::Closed { clients: 4 },
            warm_up: Duration::ZERO,
            duration: Some(second),
            requests: None,
            patience: second,
            deadline: Some(second),
            images: 1,
        };
        LoadReport {
            resnetd: "1".to_owned(),
            started: "2026-01-01T00:00:00Z".to_owned(),
            url: format!("http://{HOSTILE}"),
            model: HOSTILE.to_owned(),
            protocol: WireProtocol::Http1,
            form: PictureForm::Body,
            pictures: HOSTILE.to_owned(),
            images_per_request: 1,
            body_bytes: 20_000,
            timeout_ms: Some(1000),
            priority: None,
            runs: vec![RunSummary::new(&plan, &tally, second, false)],
        }
    }

    #[test]
    fn nothing_that_others_wrote_is_markup_and_nothing_is_fetched() {
        let mut page = Vec::new();
        write(&mut page, &report()).expect("it is written");
        let page = String::from_utf8(page).expect("text");
        assert!(!page.contains("<script") && page.matches("&lt;script&gt;").count() >= 5, "{page}");
        assert!(page.contains("default-src 'none'") && !page.contains("src=") && !page.contains("href="), "{page}");
    }

    #[test]
    fn the_page_says_what_was_counted() {
        let mut page = Vec::new();
        write(&mut page, &report()).expect("it is written");
        let page = String::from_utf8(page).expect("text");
        for part in [
            "<td>4 clients</td><td>3</td><td>1</td><td>0</td><td>0</td><td>2</td><td>1.00</td>",
            "33.3 %",
            "http1 body, one image a request, 20.0 KB",
        ] {
            assert!(page.contains(part), "no {part} in {page}");
        }
    }
}
