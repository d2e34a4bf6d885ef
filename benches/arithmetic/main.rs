//! What faster arithmetic gains over HTTP: the same server, the same images, every version of a model.
//!
//! `make bench-arithmetic`, or `cargo bench --bench arithmetic -- --model models/resnet50 --image photo.jpg`. The first
//! version with `provider = "cpu", precision = "fp32"` is the yardstick; each version with `auto` is set against it, in
//! turns within one run, so that a machine whose speed drifts favours none. An int8 version comes from `resnetd quantize`.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../support/load.rs"]
mod load;
#[path = "../support/server.rs"]
mod server;

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use resnetd::model::{ModelFolder, RESNET20_CIFAR10, repository};
use serde_json::{Value, json};
use tempfile::TempDir;

use load::{Load, Until};
use server::{Arithmetic, Server, cpu_time};

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cifar10/cat.jpg");

#[derive(Parser)]
struct Arguments {
    /// A model's folder; its versions are compared [default: the built-in model]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Images to send, in turn [default: one of CIFAR-10]
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    #[arg(long, default_value_t = 16)]
    connections: usize,
    /// How long each side runs in a round
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Write the figures here too
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// What cargo adds
    #[arg(long, hide = true)]
    bench: bool,
}

/// One way to serve the model, and what was measured of it.
struct Side {
    label: String,
    server: Server,
    /// Holds the one version that this server sees.
    _repository: TempDir,
    requests: Vec<Vec<u8>>,
    choice: String,
    rates: Vec<f64>,
    p50_ms: Vec<f64>,
    p99_ms: Vec<f64>,
    batch: Vec<f64>,
    /// Processor time of an image, server only, in milliseconds.
    cpu_ms: Vec<f64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("arithmetic: a benchmark; run it with `cargo bench --bench arithmetic`");
        return Ok(());
    }
    let images = if arguments.image.is_empty() { vec![PathBuf::from(PHOTO)] } else { arguments.image.clone() };
    let images = images
        .iter()
        .map(|file| fs::read(file).with_context(|| format!("cannot read {}", file.display())))
        .collect::<Result<Vec<_>>>()?;
    let mut sides = sides(arguments.model.as_deref(), &images)?;
    for _ in 0..arguments.rounds {
        for side in &mut sides {
            side.measure(arguments.connections, Duration::from_secs_f64(arguments.seconds))?;
        }
    }
    print(&sides, &arguments);
    if let Some(file) = &arguments.json {
        let rows: Vec<Value> = sides.iter().map(Side::json).collect();
        fs::write(file, format!("{:#}\n", json!(rows))).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn sides(model: Option<&Path>, images: &[Vec<u8>]) -> Result<Vec<Side>> {
    let Some(model) = model else {
        let start = |arithmetic| Side::start(RESNET20_CIFAR10.name, None, arithmetic, images);
        return Ok(vec![start(Arithmetic::CpuFp32)?, start(Arithmetic::Auto)?]);
    };
    let model = model.canonicalize().with_context(|| format!("there is no model folder {}", model.display()))?;
    let parent = model.parent().context("the model's folder has no parent")?;
    let folder = repository::scan(parent)?.into_iter().find(|folder| folder.path == model);
    let folder = folder.with_context(|| format!("{} is no model folder", model.display()))?;
    let first = *folder.versions.first().context("the model has no version")?;
    let mut sides = vec![Side::start(&folder.name, Some((&folder, first)), Arithmetic::CpuFp32, images)?];
    for &version in &folder.versions {
        sides.push(Side::start(&folder.name, Some((&folder, version)), Arithmetic::Auto, images)?);
    }
    Ok(sides)
}

impl Side {
    fn start(
        name: &str,
        version: Option<(&ModelFolder, u64)>,
        arithmetic: Arithmetic,
        images: &[Vec<u8>],
    ) -> Result<Self> {
        let repository = tempfile::tempdir()?;
        if let Some((folder, version)) = version {
            let alone = repository.path().join(name);
            fs::create_dir(&alone)?;
            for entry in fs::read_dir(&folder.path)? {
                let path = entry?.path();
                if path.is_file() {
                    symlink(&path, alone.join(path.file_name().context("a file has a name")?))?;
                }
            }
            symlink(folder.path.join(version.to_string()), alone.join(version.to_string()))?;
        }
        let server = Server::start(repository.path(), arithmetic)?;
        let path = format!("/v1/models/{name}:classify?top_k=5");
        let requests = images.iter().map(|image| load::post(server.http, &path, "image/jpeg", image)).collect();
        let metadata = format!("GET /v1/models/{name}/metadata HTTP/1.1\r\nHost: x\r\n\r\n");
        let (status, body) = load::ask(server.http, metadata.as_bytes())?;
        ensure!(status == 200, "the server answers {status}");
        let metadata: Value = serde_json::from_slice(&body)?;
        let word = |key: &str| metadata[key].as_str().unwrap_or_default().to_owned();
        let asked = if arithmetic == Arithmetic::Auto { "auto" } else { "cpu fp32" };
        let number = version.map_or(1, |(_, version)| version);
        let choice = format!(
            "{} {} {}x{}",
            word("provider"),
            word("precision"),
            metadata["instances"],
            metadata["intra_threads"]
        );
        Ok(Self {
            label: format!("version {number}, {asked}"),
            server,
            _repository: repository,
            requests,
            choice,
            rates: Vec::new(),
            p50_ms: Vec::new(),
            p99_ms: Vec::new(),
            batch: Vec::new(),
            cpu_ms: Vec::new(),
        })
    }

    fn measure(&mut self, connections: usize, time: Duration) -> Result<()> {
        let run =
            |until| load::run(Load { address: self.server.http, requests: self.requests.clone(), connections, until });
        // The caches and the clock rate are another side's.
        run(Until::Requests(2))?;
        let before = cpu_time(self.server.id())?;
        let outcome = run(Until::Elapsed(time))?;
        let spent = cpu_time(self.server.id())? - before;
        ensure!(outcome.refused.is_empty(), "the server refused requests (status: count): {:?}", outcome.refused);
        self.rates.push(outcome.rate());
        self.p50_ms.push(outcome.percentile_ms(0.5));
        self.p99_ms.push(outcome.percentile_ms(0.99));
        self.batch.push(outcome.mean_batch());
        self.cpu_ms.push(spent.as_secs_f64() * 1e3 / outcome.latencies.len().max(1) as f64);
        Ok(())
    }

    /// The median of the rounds' ratios to `yardstick`.
    fn gain(&self, yardstick: &Self) -> f64 {
        median(&self.rates.iter().zip(&yardstick.rates).map(|(own, other)| own / other).collect::<Vec<_>>())
    }

    fn json(&self) -> Value {
        json!({
            "side": self.label, "choice": self.choice, "images_per_second": self.rates, "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms, "mean_batch": self.batch, "server_cpu_ms": self.cpu_ms,
        })
    }
}

fn print(sides: &[Side], arguments: &Arguments) {
    let Arguments { connections, seconds, rounds, .. } = arguments;
    println!("{connections} connections, one image a request, {rounds} rounds of {seconds} s a side; medians");
    println!(
        "{:<22} {:<24} {:>9} {:>7} {:>8} {:>8} {:>6} {:>8}",
        "side", "runs as", "images/s", "gain", "p50 ms", "p99 ms", "batch", "cpu ms"
    );
    for side in sides {
        println!(
            "{:<22} {:<24} {:>9.1} {:>7.2} {:>8.2} {:>8.2} {:>6.2} {:>8.3}",
            side.label,
            side.choice,
            median(&side.rates),
            side.gain(&sides[0]),
            median(&side.p50_ms),
            median(&side.p99_ms),
            median(&side.batch),
            median(&side.cpu_ms),
        );
    }
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
