//! `resnetd quantize`: an 8-bit version of a served model, written only if its answers hold.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex},
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};

use super::{
    ConfigArgs,
    images::FoundImages,
    interrupt::{Interrupt, NOTHING_WRITTEN},
    output::{Output, complain},
    place::ModelPlace,
    repositories::on_disk,
};
use crate::{
    files,
    inspect::inspect,
    model::Manifest,
    onnx::ModelProto,
    postprocess::ClassNames,
    quantize::{
        Destination, Fp32Model, Keep, MAX_TOP1_DROP, Method, Outcome, Progress, QuantizationReport, QuantizeOptions,
        REPORT_FILE, Sample, Speed, TriedBits, by_folder, publish, quantize,
    },
    runtime::Runtime,
    service::cores,
    telemetry,
};

#[derive(Debug, clap::Args)]
pub(super) struct QuantizeArgs {
    /// The model's name in the repository, or the built-in resnet20-cifar10
    #[arg(value_name = "MODEL")]
    name: String,
    /// Images like those that the model will see, 16 at least; 100 to 500 are usual
    #[arg(long, value_name = "DIR")]
    calibration: PathBuf,
    /// Images to judge the result on, in folders named after their class (label or WordNet id)
    #[arg(long, value_name = "DIR")]
    evaluate: Option<PathBuf>,
    /// How the range of an activation is found
    #[arg(long, value_enum, default_value = "percentile")]
    method: MethodArg,
    /// The most that top-1 may fall on the --evaluate images
    #[arg(long, value_name = "POINTS", default_value_t = MAX_TOP1_DROP, value_parser = points)]
    max_drop: f64,
    /// Bits of a weight; auto: 8, and 7 on a processor without VNNI if the answers hold
    #[arg(long, value_enum, default_value = "auto")]
    weight_bits: BitsArg,
    /// Layers that stay fp32: so many of the worst, or names with commas between; auto: only if the answers do not hold
    #[arg(long, value_name = "N|NAMES", default_value = "auto")]
    keep_fp32: KeepArg,
    /// The fp32 version to start from [default: the highest]
    #[arg(long, value_name = "N")]
    version: Option<u64>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Write it even if its answers do not hold
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum MethodArg {
    /// Leaves the rarest 0.005 % of the values out
    Percentile,
    /// From the smallest to the largest value
    Minmax,
    /// The range with the least squared error
    Mse,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BitsArg {
    #[value(name = "7")]
    Seven,
    #[value(name = "8")]
    Eight,
    Auto,
}

#[derive(Clone, Debug)]
struct KeepArg(Keep);

impl FromStr for KeepArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
        match text.trim().parse::<usize>() {
            _ if text.trim() == "auto" => Ok(Self(Keep::Auto)),
            Ok(count) => Ok(Self(Keep::Worst(count))),
            Err(_) if names.iter().any(String::is_empty) => Err("give a number, or layers with commas between".into()),
            Err(_) => Ok(Self(Keep::Named(names))),
        }
    }
}

fn points(text: &str) -> Result<f64, String> {
    let points = text.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.0..=100.0).contains(&points) { Ok(points) } else { Err("a drop is 0 to 100 points".into()) }
}

pub(super) fn run(args: &QuantizeArgs) -> anyhow::Result<()> {
    // What the engine logs as an error comes back as one, too.
    let config = args.config.load_quiet("warn,ort=off")?;
    telemetry::start_log(&config.log)?;
    let repository = on_disk(&config)?;
    let place = ModelPlace::find(repository, &args.name)?;
    let version = place.version(args.version)?;
    let manifest = place.manifest(&config)?;
    let calibration = find(&args.calibration).context("--calibration")?;
    let calibration = calibration.into_iter().map(|file| Sample { file, class: None }).collect();
    let evaluation = match &args.evaluate {
        Some(root) => {
            let files = find(root).context("--evaluate")?;
            Some(by_folder(&ClassNames::parse(&place.needed_labels(&manifest)?), root, files)?)
        }
        None => None,
    };
    let options = QuantizeOptions {
        method: match args.method {
            MethodArg::Percentile => Method::Percentile,
            MethodArg::Minmax => Method::MinMax,
            MethodArg::Mse => Method::Mse,
        },
        weight_bits: match args.weight_bits {
            BitsArg::Seven => Some(7),
            BitsArg::Eight => Some(8),
            BitsArg::Auto => None,
        },
        keep: args.keep_fp32.0.clone(),
        max_drop: args.max_drop,
        threads: cores(),
    };

    place.destination().check().context("nothing was begun")?;
    let bars = Arc::new(Bars::default());
    let shown = bars.clone();
    let interrupt = Interrupt::watch(move || shown.end(), NOTHING_WRITTEN)?;

    let runtime = Runtime::load()?;
    let model = place.read(version)?;
    if let Ok(Some(reason)) = inspect(&model).map(|inspection| inspection.no_resnet) {
        complain(&format!("note: the graph is no ResNet ({reason}); its answers are judged all the same"));
    }
    let source =
        Fp32Model { name: &args.name, version, model, manifest: &manifest, labels: place.class_count(&manifest)? };
    let Outcome { model, report } = quantize(&runtime, source, calibration, evaluation, &options, &*bars)
        .with_context(|| format!("cannot quantize {} version {version}", args.name))?;
    let mut out = Output::stdout();
    print(&mut out, &report)?;
    out.flush()?;
    if let Some(objection) = report.objection.as_ref().filter(|_| !args.force) {
        bail!(
            "nothing was written: {objection}; try another --method, more --calibration images or --keep-fp32, or write it anyway with --force"
        );
    }
    let mut written = interrupt.hold();
    let folder = publish(&model, &report, place.next_version()?, place.destination())?;
    *written = true;
    drop(written);
    out.line(&format!("written to {}, with {REPORT_FILE}", files::shown(&folder)))?;
    if let ModelPlace::BuiltIn(_, built_in) = &place {
        out.line(&format!(
            "the built-in model was copied beside it as version {}; a server with --models {} serves the new version",
            built_in.version,
            files::shown(repository)
        ))?;
    }
    out.finish()
}

/// The images in `folder`; what of it cannot be looked at is said on stderr.
fn find(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let found = FoundImages::among(&[folder.to_owned()])?;
    for (path, reason) in &found.passed_over {
        complain(&format!("passed over {}: {reason}", files::shown(path)));
    }
    Ok(found.files)
}

impl ModelPlace {
    /// The text of the label file.
    fn needed_labels(&self, manifest: &Manifest) -> anyhow::Result<String> {
        self.labels(manifest)?
            .context("--evaluate needs the names of the classes: put labels.txt into the model's folder")
    }

    fn read(&self, version: u64) -> anyhow::Result<ModelProto> {
        self.with_graph(version, |graph| graph.read().with_context(|| graph.to_string()))
    }

    /// One more than any version that is there, with a graph or without.
    fn next_version(&self) -> anyhow::Result<u64> {
        match self {
            Self::BuiltIn(_, built_in) => Ok(built_in.version + 1),
            Self::Folder(folder) => {
                let names = fs::read_dir(&folder.path)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
                let highest = names.filter_map(|name| name.parse::<u64>().ok()).max().unwrap_or(0);
                highest.checked_add(1).context("the highest version is taken; remove one")
            }
        }
    }

    fn destination(&self) -> Destination<'_> {
        match self {
            Self::Folder(folder) => Destination::Beside(&folder.path),
            Self::BuiltIn(folder, built_in) => Destination::Unpacked(folder, built_in),
        }
    }
}

fn print(out: &mut Output, report: &QuantizationReport) -> anyhow::Result<()> {
    let QuantizationReport { answers, .. } = report;
    let percent = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2} %"));
    writeln!(out, "{:28} {:>12} {:>12}", "", "FP32", "INT8")?;
    if answers.labelled > 0 {
        let (fp32, int8) = (percent(answers.top1_fp32_percent), percent(answers.top1_int8_percent));
        writeln!(out, "{:28} {fp32:>12} {int8:>12}", format!("top-1 of {} images", answers.labelled))?;
    }
    for Speed { provider, batch_size, fp32, int8, failure, .. } in &report.images_per_second {
        let rate = |rate: Option<f64>| rate.map_or("-".to_owned(), |rate| format!("{rate:.1}"));
        let label = format!("images/s, {provider}, batch {batch_size}");
        writeln!(out, "{label:28} {:>12} {:>12}", rate(*fp32), rate(*int8))?;
        if let Some(failure) = failure {
            out.line(&format!("{provider} fails here: {failure}"))?;
        }
    }
    writeln!(
        out,
        "same top class for {:.2} % of {} {} images; probabilities of the top five move by {:.4} on average",
        answers.agreement_percent, answers.images, report.judged_on, answers.mean_drift
    )?;
    if answers.top_classes == 1 && answers.images > 1 {
        writeln!(
            out,
            "note: fp32 gives all of these images one class (an untrained network does), so agreement proves nothing"
        )?;
    }
    if report.unreadable_images > 0 {
        writeln!(out, "{} images could not be read and were passed over", report.unreadable_images)?;
    }
    if !report.weight_bits_tried.is_empty() {
        let tried = report.weight_bits_tried.iter().map(|TriedBits { weight_bits, answers }| {
            format!(
                "{weight_bits} keep {:.2} % of the top classes (drift {:.4})",
                answers.agreement_percent, answers.mean_drift
            )
        });
        writeln!(
            out,
            "weights have {} bits: without VNNI, 8 are slower on cpu and cut off on openvino; \
             {} on the calibration images",
            report.weight_bits,
            tried.collect::<Vec<_>>().join(", ")
        )?;
    }
    if !report.kept_fp32.is_empty() {
        out.line(&format!("in fp32 stay {}", report.kept_fp32.join(", ")))?;
    }
    let worst = report.worst_layers.iter().map(|noise| format!("{} {:.1} dB", noise.layer, noise.sqnr_db));
    out.line(&format!("layers farthest from fp32: {}", worst.collect::<Vec<_>>().join(", ")))?;
    Ok(())
}

/// A bar for each step, on terminals.
#[derive(Default)]
struct Bars {
    current: Mutex<Option<ProgressBar>>,
}

impl Bars {
    fn with(&self, use_it: impl FnOnce(&ProgressBar)) {
        if let Some(bar) = self.current.lock().ok().and_then(|bar| bar.clone()) {
            use_it(&bar);
        }
    }
}

impl Progress for Bars {
    fn begin(&self, step: &str, total: usize) {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new(total as u64) } else { ProgressBar::hidden() };
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:16} {bar:40} {pos}/{len} images, {per_sec}, {eta} left")
        {
            bar.set_style(style);
        }
        bar.set_prefix(step.to_owned());
        if let Ok(mut current) = self.current.lock() {
            *current = Some(bar);
        }
    }

    fn advance(&self, count: usize) {
        self.with(|bar| bar.inc(count as u64));
    }

    fn end(&self) {
        self.with(ProgressBar::finish_and_clear);
    }

    fn passed_over(&self, file: &Path, reason: &str) {
        self.with(|bar| bar.suspend(|| complain(&format!("passed over {}: {reason}", files::shown(file)))));
    }
}
