//! Served throughput against a bare loop: how much of the machine's inference speed reaches the clients.
//!
//! `make bench-serve`, or `cargo bench --bench serve -- --model models/resnet50 --image cat.jpg`. The release server
//! under load and the bare loop take turns within one run, on the same images, so that a machine whose speed drifts
//! does not favour either. Both must name the same class for every image before anything is timed.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

mod alone;
#[path = "../support/bare.rs"]
mod bare;
mod grpc;
#[path = "../support/load.rs"]
mod load;
mod report;
#[path = "../support/server.rs"]
mod server;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use resnetd::{
    loadgen::RunSummary,
    model::{ModelFolder, RESNET20_CIFAR10, repository},
    runtime::Runtime,
};
use serde_json::Value;

use bare::Bare;
use load::{LEAD, Load, Outcome, Until};
use report::{Report, Round};
use server::{Arithmetic, Server, cpu_time};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cifar10");

#[derive(Parser)]
struct Arguments {
    /// A model's folder (NAME/VERSION/model.onnx) [default: the built-in model]
    #[arg(long, value_name = "DIR", requires = "image")]
    model: Option<PathBuf>,
    /// Images to send, in turn [default: ten of CIFAR-10, for the built-in model]
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long each side runs in a round
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// Requests of each connection in a round, instead of --seconds
    #[arg(long)]
    requests: Option<usize>,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Threads, and sessions, of the bare loop [default: one for each core]
    #[arg(long)]
    threads: Option<usize>,
    /// Batch size of the bare loop [default: the model's max_batch_size]
    #[arg(long)]
    batch: Option<usize>,
    /// Over gRPC, by the generator of `resnetd bench`, which takes more of the cores than the one for HTTP here
    #[arg(long, conflicts_with = "requests")]
    grpc: bool,
    /// One request at a time against the quickest session alone, instead of throughput
    #[arg(long, conflicts_with = "grpc")]
    alone: bool,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if the median ratio is below this
    #[arg(long, value_name = "RATIO")]
    require: Option<f64>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("serve: a benchmark; run it with `cargo bench --bench serve`");
        return Ok(());
    }
    let repository = tempfile::tempdir()?;
    let folder = arguments.model.as_deref().map(|model| alone(model, repository.path())).transpose()?;
    let name = folder.as_ref().map_or(RESNET20_CIFAR10.name, |folder| &folder.name);
    let images = read_images(&arguments.image)?;
    let cores = thread::available_parallelism()?.get();
    let threads = arguments.threads.unwrap_or(cores);
    let runtime = Runtime::load()?;
    let mut bare = Bare::load(&runtime, folder.as_ref(), threads, arguments.batch)?;
    let server = Server::start(repository.path(), Arithmetic::CPU_FP32)?;

    let path = format!("/v1/models/{name}:classify?top_k=1");
    let requests: Vec<_> = images.iter().map(|image| load::post(server.http, &path, "image/jpeg", image)).collect();
    compare_answers(&server, &requests, &mut bare, &images)?;

    let time = Duration::from_secs_f64(arguments.seconds);
    let serve = |until| {
        let connections = if arguments.alone { 1 } else { arguments.connections };
        let load = Load { address: server.http, requests: requests.clone(), connections, until };
        load::run(load).context("the load generator failed")
    };
    if arguments.alone {
        let extent = (arguments.rounds, time, cores);
        let found = alone::measure(name, (&runtime, folder.as_ref()), &images, extent, || serve(Until::Elapsed(time)))?;
        println!("{found}");
        return write(&arguments, &serde_json::to_value(&found)?);
    }
    let warm_up = time.min(Duration::from_secs(1));
    serve(Until::Elapsed(warm_up))?;
    bare.run(&images, warm_up)?;

    let mut report = Report {
        model: name.to_owned(),
        connections: arguments.connections,
        bare_threads: threads,
        bare_batch_size: bare.batch_size,
        seconds: arguments.seconds,
        processor: report::processor(),
        cores,
        rounds: Vec::new(),
    };
    let until = arguments.requests.map_or(Until::Elapsed(time), Until::Requests);
    for _ in 0..arguments.rounds {
        let serve = || match arguments.grpc {
            true => Served::of_run(&grpc::load(server.http, name, &images, arguments.connections, time)?, time),
            false => Served::of(&serve(until)?),
        };
        report.rounds.push(round(&server, serve, || bare.run(&images, time))?);
    }
    println!("{report}");
    write(&arguments, &report.json())?;
    let ratio = report.median(|round| round.ratio);
    if let Some(required) = arguments.require {
        ensure!(ratio >= required, "the median ratio is {ratio:.3}, required is {required}");
    }
    Ok(())
}

fn write(arguments: &Arguments, figures: &Value) -> Result<()> {
    let Some(file) = &arguments.json else { return Ok(()) };
    fs::write(file, format!("{figures:#}\n")).with_context(|| format!("cannot write {}", file.display()))
}

/// What a load came to, over whichever protocol.
struct Served {
    answers: f64,
    rate: f64,
    p50_ms: f64,
    p99_ms: f64,
    mean_batch: f64,
}

impl Served {
    fn of(outcome: &Outcome) -> Result<Self> {
        ensure!(outcome.refused.is_empty(), "the server refused requests (status: count): {:?}", outcome.refused);
        Ok(Self {
            answers: outcome.latencies.len() as f64,
            rate: outcome.rate(),
            p50_ms: outcome.percentile_ms(0.5),
            p99_ms: outcome.percentile_ms(0.99),
            mean_batch: outcome.mean_batch(),
        })
    }

    /// * `time`: how long requests were sent
    fn of_run(run: &RunSummary, time: Duration) -> Result<Self> {
        ensure!(run.answered == run.requests, "the server refused requests: {:?} {:?}", run.statuses, run.errors);
        let times = run.latency_ms.context("nothing was answered")?;
        let lead = (time / LEAD).as_secs_f64();
        let settled: Vec<_> =
            run.over_time.iter().filter(|moment| moment.at_s > lead).map(|moment| moment.answered_per_s).collect();
        Ok(Self {
            answers: run.answered as f64,
            rate: settled.iter().sum::<f64>() / settled.len() as f64,
            p50_ms: times.p50,
            p99_ms: times.p99,
            mean_batch: run.batch_size_mean.unwrap_or(f64::NAN),
        })
    }
}

fn round(server: &Server, serve: impl FnOnce() -> Result<Served>, bare: impl FnOnce() -> Result<f64>) -> Result<Round> {
    let (server_before, own_before) = (cpu_time(server.id())?, cpu_time(process::id())?);
    let served = serve()?;
    let (server_after, own_between) = (cpu_time(server.id())?, cpu_time(process::id())?);
    let started = std::time::Instant::now();
    let bare = bare()?;
    let bare_images = bare * started.elapsed().as_secs_f64();
    let own_after = cpu_time(process::id())?;
    let micros = |time: Duration, images: f64| time.as_secs_f64() * 1e6 / images;
    let Served { answers, rate, p50_ms, p99_ms, mean_batch } = served;
    Ok(Round {
        served: rate,
        bare,
        ratio: rate / bare,
        p50_ms,
        p99_ms,
        mean_batch,
        server_cpu_us: micros(server_after - server_before, answers),
        client_cpu_us: micros(own_between - own_before, answers),
        bare_cpu_us: micros(own_after - own_between, bare_images),
    })
}

/// A repository at `repository` with nothing but `model` in it.
fn alone(model: &Path, repository: &Path) -> Result<ModelFolder> {
    let model = model.canonicalize().with_context(|| format!("there is no model folder {}", model.display()))?;
    symlink(&model, repository.join(model.file_name().context("the model's folder has no name")?))?;
    repository::scan(repository)?.pop().with_context(|| format!("{} is no model folder", model.display()))
}

fn read_images(named: &[PathBuf]) -> Result<Vec<Vec<u8>>> {
    let mut files = named.to_vec();
    if files.is_empty() {
        for entry in fs::read_dir(FIXTURES).with_context(|| format!("cannot read {FIXTURES}"))? {
            files.push(entry?.path());
        }
        files.retain(|file| file.extension().is_some_and(|extension| extension == "jpg"));
        files.sort();
    }
    let read = |file: &PathBuf| fs::read(file).with_context(|| format!("cannot read {}", file.display()));
    files.iter().map(read).collect()
}

/// A fast wrong answer is no throughput.
fn compare_answers(server: &Server, requests: &[Vec<u8>], bare: &mut Bare, images: &[Vec<u8>]) -> Result<()> {
    for (request, image) in requests.iter().zip(images) {
        let (status, body) = load::ask(server.http, request)?;
        let text = String::from_utf8_lossy(&body);
        ensure!(status == 200, "the server answers {status}: {text}");
        let answer: Value = serde_json::from_slice(&body).with_context(|| format!("no JSON: {text}"))?;
        let expected = bare.top_1(image)?;
        let got = answer["predictions"][0]["classes"][0]["index"].as_u64();
        ensure!(got == Some(expected as u64), "the server says {got:?}, the bare loop {expected}: {text}");
    }
    Ok(())
}
