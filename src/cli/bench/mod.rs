//! `resnetd bench`: load on a running server.

mod args;
mod progress;

use std::{sync::Arc, time::Duration};

use anyhow::{Context, bail};
use bytes::Bytes;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::fmt::{
    format::Writer,
    time::{FormatTime as _, SystemTime},
};

use super::{
    images::FoundImages,
    interrupt::end,
    io_threads,
    output::{Output, complain},
};
use crate::{
    files,
    loadgen::{
        Ask as _, Endpoint, Fate, LoadClient, LoadPlan, LoadRun, ModelOutline, Pace, Payloads,
        report::{LoadReport, html, json, table},
    },
    model::sample_uploads,
};
pub(super) use args::BenchArgs;
use args::BenchFormat;
use progress::RunBar;

/// More is no picture.
const LARGEST_PICTURE: u64 = 1 << 30;

pub(super) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let plans = args.plans()?;
    // Before the load, and not after it, they say that they cannot be written.
    let mut stdout = Output::stdout();
    let mut page = args.report.as_deref().map(|path| Output::to(Some(path))).transpose().context("--report")?;
    let mut figures = args.output.as_deref().map(|path| Output::to(Some(path))).transpose().context("--output")?;
    let threads = args.threads.map_or_else(io_threads::default_count, |threads| threads as usize);
    let report = io_threads::start(threads)?.block_on(async {
        let stop = CancellationToken::new();
        stop_at_signal(stop.clone())?;
        load(args, plans, stop).await
    })?;
    match args.format {
        BenchFormat::Table => table::write(&mut stdout, &report)?,
        BenchFormat::Json => json::write(&mut stdout, &report)?,
    }
    stdout.finish()?;
    if let Some(mut page) = page.take() {
        html::write(&mut page, &report)?;
        page.finish()?;
    }
    if let Some(mut figures) = figures.take() {
        json::write(&mut figures, &report)?;
        figures.finish()?;
    }
    if report.runs.iter().all(|run| run.answered == 0) {
        bail!("no request was answered");
    }
    Ok(())
}

async fn load(args: &BenchArgs, plans: Vec<LoadPlan>, stop: CancellationToken) -> anyhow::Result<LoadReport> {
    let endpoint = Endpoint::find_with(&args.url, || args.tls.read()?.config(args.protocol.is_http2())).await?;
    if args.tls.is_used() && !endpoint.has_tls() {
        bail!("--ca, --cert and --key mean nothing to {endpoint}: write https:// for http://");
    }
    endpoint.check().await?;
    let headers = args.headers()?;
    let model = ModelOutline::ask(&endpoint, args.protocol, args.model.as_deref(), &headers).await?;
    let pictures = pictures(args, &model)?;
    let payloads = Payloads {
        protocol: args.protocol,
        form: args.form(),
        model: &model,
        images: args.images_per_request as usize,
        timeout_ms: args.timeout_ms,
        priority: args.priority,
        headers: &headers,
    };
    let client = LoadClient::new(endpoint.clone(), &payloads, &pictures.bytes, args.connections as usize);
    let client = Arc::new(client.map_err(anyhow::Error::msg)?);
    try_one(&client, Duration::from_millis(args.give_up_ms)).await?;
    let mut report = LoadReport {
        resnetd: env!("CARGO_PKG_VERSION").to_owned(),
        started: now(),
        url: endpoint.to_string(),
        model: model.name.clone(),
        protocol: args.protocol,
        form: args.form(),
        pictures: pictures.origin,
        images_per_request: args.images_per_request as usize,
        body_bytes: client.body_bytes(),
        timeout_ms: args.timeout_ms,
        priority: args.priority,
        runs: Vec::new(),
    };
    let count = plans.len();
    for (place, plan) in plans.into_iter().enumerate() {
        if stop.is_cancelled() {
            break;
        }
        let which = match plan.pace {
            Pace::Open { rate, .. } if count > 1 => format!("{} of {count}, {rate}/s: ", place + 1),
            _ => String::new(),
        };
        let run = LoadRun::begin(plan)?;
        let bar = RunBar::watch(&run, which);
        let summary = run.drive(client.clone(), stop.clone()).await;
        drop(bar);
        report.runs.push(summary);
    }
    Ok(report)
}

/// What is wrong with every request is said once, in the server's words, and not counted ten thousand times.
async fn try_one(client: &LoadClient, patience: Duration) -> anyhow::Result<()> {
    let reply = timeout(patience, client.ask(0, 0)).await;
    let reply = reply.with_context(|| format!("the first request had no answer in {} s", patience.as_secs_f64()))?;
    let reply = reply.context("the first request")?;
    match reply.status.fate() {
        Fate::Failed => bail!("the server answers {}: {}", reply.status, reply.words.unwrap_or_default()),
        // It may be full, and a deadline may be short.
        Fate::Answered | Fate::Refused | Fate::Expired => Ok(()),
    }
}

struct Pictures {
    bytes: Vec<Bytes>,
    origin: String,
}

fn pictures(args: &BenchArgs, model: &ModelOutline) -> anyhow::Result<Pictures> {
    if args.image.is_empty() {
        let bytes: Vec<Bytes> = sample_uploads(model.side()).into_iter().map(|it| it.into_owned().into()).collect();
        return Ok(Pictures { origin: format!("{} photos of the program", bytes.len()), bytes });
    }
    let found = FoundImages::among(&args.image).context("--image")?;
    for (path, reason) in &found.passed_over {
        complain(&format!("passed over {}: {reason}", files::shown(path)));
    }
    let read = |path| files::read(path, LARGEST_PICTURE).map(Bytes::from).with_context(|| files::shown(path));
    let bytes: Vec<Bytes> = found.files.iter().map(|path| read(path)).collect::<Result<_, _>>()?;
    let origin = match &found.files[..] {
        [file] => files::shown(file),
        several => format!("{} pictures", several.len()),
    };
    Ok(Pictures { bytes, origin })
}

/// The first Ctrl-C or SIGTERM ends the load, and what there is is reported; the second one ends the program.
fn stop_at_signal(stop: CancellationToken) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::spawn(async move {
        loop {
            let kind = tokio::select! {
                _ = interrupt.recv() => SignalKind::interrupt(),
                _ = terminate.recv() => SignalKind::terminate(),
            };
            if stop.is_cancelled() {
                end(128 + kind.as_raw_value());
            }
            stop.cancel();
        }
    });
    Ok(())
}

/// The time, as the log has it.
fn now() -> String {
    let mut text = String::new();
    // Writing to a string never fails.
    let _ = SystemTime.format_time(&mut Writer::new(&mut text));
    match text.get(..19) {
        Some(seconds) => format!("{}Z", seconds),
        None => text,
    }
}
