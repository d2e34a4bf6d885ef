//! What faster arithmetic gains over HTTP, and what it costs in right answers: the same server, the same images, every
//! version of a model.
//!
//! `make bench-arithmetic`, or `cargo bench --bench arithmetic -- --model models/resnet50 --image photo.jpg`. The first
//! version with `provider = "cpu", precision = "fp32"` is the yardstick; each version with `auto` is set against it, in
//! turns within one run, so that a machine whose speed drifts favours none. `--engine openvino:bf16` adds a side that is
//! served so whatever `auto` thinks of it; `--labelled DIR` grades every side. An int8 version comes from `resnetd
//! quantize`.
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

#[path = "../support/bare.rs"]
mod bare;
#[path = "../support/load.rs"]
mod load;
#[path = "../support/server.rs"]
mod server;
mod side;

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use resnetd::{
    model::{ModelFolder, RESNET20_CIFAR10, repository},
    runtime::Runtime,
};
use serde_json::json;

use bare::Bare;
use server::Arithmetic;
use side::{Side, median};

const PHOTO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cifar10/cat.jpg");

#[derive(Parser)]
struct Arguments {
    /// A model's folder; its versions are compared [default: the built-in model]
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Images to send, in turn [default: one of CIFAR-10]
    #[arg(long, value_name = "FILE")]
    image: Vec<PathBuf>,
    /// Serve the first version with this, too
    #[arg(long, value_name = "PROVIDER:PRECISION", value_parser = engine)]
    engine: Vec<(String, String)>,
    /// Images in folders named by their label: each side classifies them all once
    #[arg(long, value_name = "DIR")]
    labelled: Option<PathBuf>,
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

fn engine(text: &str) -> Result<(String, String), String> {
    let (provider, precision) =
        text.split_once(':').ok_or("expected PROVIDER:PRECISION, for instance openvino:bf16")?;
    Ok((provider.to_owned(), precision.to_owned()))
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("arithmetic: a benchmark; run it with `cargo bench --bench arithmetic`");
        return Ok(());
    }
    let images = if arguments.image.is_empty() { vec![PathBuf::from(PHOTO)] } else { arguments.image.clone() };
    let images = images.iter().map(|file| read(file)).collect::<Result<Vec<_>>>()?;
    let folder = arguments.model.as_deref().map(model_folder).transpose()?;
    let threads = thread::available_parallelism()?.get();
    let mut bare = Bare::load(&Runtime::load()?, first_version(folder.as_ref()).as_ref(), threads, Some(8))?;
    let mut sides = sides(folder.as_ref(), &arguments.engine, &images)?;

    let time = Duration::from_secs_f64(arguments.seconds);
    let mut bare_rates = Vec::new();
    for _ in 0..arguments.rounds {
        bare_rates.push(bare.run(&images, time)?);
        for side in &mut sides {
            side.measure(arguments.connections, time)?;
        }
    }
    if let Some(root) = &arguments.labelled {
        let labelled = labelled(root)?;
        for side in &mut sides {
            side.grade(&labelled, arguments.connections)?;
        }
    }
    print(&sides, &bare_rates, &arguments);
    if let Some(file) = &arguments.json {
        let sides: Vec<_> = sides.iter().map(Side::json).collect();
        let figures = json!({ "bare_cpu_fp32_images_per_second": bare_rates, "sides": sides });
        fs::write(file, format!("{figures:#}\n")).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

fn model_folder(model: &Path) -> Result<ModelFolder> {
    let model = model.canonicalize().with_context(|| format!("there is no model folder {}", model.display()))?;
    let parent = model.parent().context("the model's folder has no parent")?;
    let folder = repository::scan(parent)?.into_iter().find(|folder| folder.path == model);
    let folder = folder.with_context(|| format!("{} is no model folder", model.display()))?;
    ensure!(!folder.versions.is_empty(), "{} has no VERSION/model.onnx", model.display());
    Ok(folder)
}

fn first_version(folder: Option<&ModelFolder>) -> Option<ModelFolder> {
    folder.map(|folder| ModelFolder { versions: folder.versions[..1].to_vec(), ..folder.clone() })
}

fn sides(folder: Option<&ModelFolder>, engines: &[(String, String)], images: &[Vec<u8>]) -> Result<Vec<Side>> {
    const AUTO: Arithmetic<'_> = Arithmetic { provider: "auto", precision: "auto" };
    let name = folder.map_or(RESNET20_CIFAR10.name, |folder| &folder.name);
    let of_version = |version: Option<u64>| folder.zip(version);
    let versions: Vec<_> = folder.map_or(vec![None], |folder| folder.versions.iter().copied().map(Some).collect());
    let mut sides = Vec::new();
    let first = engines.iter().map(|(provider, precision)| Arithmetic { provider, precision });
    for arithmetic in [Arithmetic::CPU_FP32].into_iter().chain(first) {
        sides.push(Side::start(name, of_version(versions[0]), arithmetic, images)?);
    }
    for version in versions {
        sides.push(Side::start(name, of_version(version), AUTO, images)?);
    }
    Ok(sides)
}

/// The images below the folders of `root`, with their folder's name.
fn labelled(root: &Path) -> Result<Vec<(String, Vec<u8>)>> {
    let entries = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        Ok(entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?)
    };
    let mut images = Vec::new();
    for class in entries(root)?.into_iter().filter(|path| path.is_dir()) {
        let label = class.file_name().unwrap_or_default().to_string_lossy().into_owned();
        for file in entries(&class)? {
            images.push((label.clone(), read(&file)?));
        }
    }
    ensure!(!images.is_empty(), "{} has no image in a folder named by its label", root.display());
    Ok(images)
}

fn read(file: &Path) -> Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

fn print(sides: &[Side], bare: &[f64], arguments: &Arguments) {
    let Arguments { connections, seconds, rounds, .. } = arguments;
    println!("{connections} connections, one image a request, {rounds} rounds of {seconds} s a side; medians");
    println!(
        "{:<24} {:<22} {:>9} {:>7} {:>7} {:>8} {:>8} {:>9} {:>6} {:>8} {:>8} {:>8}",
        "side",
        "runs as",
        "images/s",
        "gain",
        "of bare",
        "p50 ms",
        "p99 ms",
        "1 conn ms",
        "batch",
        "cpu ms",
        "drift",
        "top-1 %"
    );
    let or_dash = |value: Option<f64>, digits| value.map_or("-".to_owned(), |value| format!("{value:.digits$}"));
    for side in sides {
        println!(
            "{:<24} {:<22} {:>9.1} {:>7.3} {:>7.3} {:>8.2} {:>8.2} {:>9.3} {:>6.2} {:>8.3} {:>8} {:>8}",
            side.label,
            side.choice,
            median(&side.rates),
            side.gain(&sides[0].rates),
            side.gain(bare),
            median(&side.p50_ms),
            median(&side.p99_ms),
            median(&side.alone_ms),
            median(&side.batch),
            median(&side.cpu_ms),
            or_dash(side.drift, 4),
            or_dash(side.top1, 2),
        );
    }
    println!(
        "bare: cpu fp32, a session of one thread for each core, batches of 8, decoding included, no server: {:.1} images/s",
        median(bare)
    );
}
