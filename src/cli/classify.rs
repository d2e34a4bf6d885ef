//! `resnetd classify`: files and folders to labels, without a server, through the same service.

use std::{
    fs,
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use walkdir::WalkDir;

use super::{
    ConfigArgs,
    output::{Output, complain},
    serve::limits,
};
use crate::{
    config::{Config, Flags},
    lifecycle::{Lifecycle, LoadOptions, Loader, ModelDefaults, wanted},
    runtime::Runtime,
    service::{
        ClassesWanted, ModelState, ModelStatus, Prediction, Priority, Request, Service, TraceContext, Wanted, cores,
    },
    telemetry::{self, Metrics},
};

/// What counts as an image inside a folder; a file that is named itself is always tried.
const EXTENSIONS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "webp", "gif", "bmp", "tif", "tiff"];

#[derive(Debug, clap::Args)]
pub(super) struct ClassifyArgs {
    /// Image files, and folders that are searched for images
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// The model, where there are several
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How many classes an image gets [default: 5]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// How results look
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write the results to this file
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Jsonl,
    Csv,
}

pub(super) fn run(args: &ClassifyArgs) -> anyhow::Result<()> {
    let mut defaults = Config::default();
    // A folder is classified sooner than every way to run the network is measured, and in fp32 it is the same anywhere.
    defaults.runtime.tune = false;
    let mut config = args.config.load_over(defaults, Flags::default())?;
    args.config.check_repository()?;
    // Of the log, only what is wrong: results are on stdout, progress on stderr.
    config.log.level = std::env::var("RESNETD__LOG__LEVEL").unwrap_or_else(|_| "warn".to_owned());
    telemetry::start_log(&config.log)?;
    let files = find_images(&args.paths)?;

    let runtime = Runtime::load()?;
    let (service, writer) = Service::new(limits(&config), config.server.decode_threads, Metrics::default());
    let lifecycle = Lifecycle::start(writer, Loader { runtime, cores: cores() }, LoadOptions::default())?;
    let defaults = ModelDefaults { batching: config.batching.clone(), runtime: config.runtime.clone() };
    lifecycle.apply(wanted(&config.models.dir, args.model.as_deref(), &defaults)?).wait();
    let model = choose(service.list(), args.model.as_deref())?;
    let table = Table::new(&files, &model);

    let concurrency = 2 * model.info.as_ref().map_or(1, |info| info.max_batch_size * info.instances);
    let concurrency = concurrency.min(config.batching.queue_capacity);
    let mut report = Report::new(args, files.len(), table)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let failed = tokio.block_on(async {
        let options = ClassesWanted { top_k: args.top_k, min_probability: None };
        let mut answers = stream::iter(&files)
            .map(async |file| (file, classify(&service, &model, file, options).await))
            .buffered(concurrency);
        let mut failed = 0usize;
        while let Some((file, answer)) = answers.next().await {
            match answer {
                Ok(predictions) => report.add(file, &predictions)?,
                Err(error) => {
                    failed += 1;
                    report.complain(file, &error);
                }
            }
        }
        anyhow::Ok(failed)
    })?;
    report.finish()?;
    if failed > 0 {
        bail!("{failed} of {} files could not be classified; each is named above", files.len());
    }
    Ok(())
}

async fn classify(
    service: &Service,
    model: &ModelStatus,
    file: &Path,
    classes: ClassesWanted,
) -> anyhow::Result<Vec<Prediction>> {
    let limit = service.limits().max_body_bytes as u64;
    let size = fs::metadata(file)?.len();
    if size > limit {
        bail!("{size} bytes, the limit is {limit}: raise [limits] max_body_bytes");
    }
    let target = service.target(&model.name, Some(model.version))?;
    let request = Request {
        items: vec![target.picture(fs::read(file)?.into())],
        target,
        wanted: Wanted::classes(classes),
        deadline: None,
        priority: Priority::DEFAULT,
        trace: TraceContext::new(file.to_string_lossy()),
    };
    let mut answer = service.answer(request).await?;
    Ok(answer.predictions.pop().unwrap_or_default())
}

/// The images among `paths` and inside the folders among them, by name.
pub(super) fn find_images(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if !path.exists() {
            bail!("{}: there is no such file or folder", path.display());
        }
        if path.is_file() {
            files.push(path.clone());
            continue;
        }
        for entry in WalkDir::new(path).follow_links(true).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot search {}", path.display()))?;
            let extension = entry.path().extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            let is_image = EXTENSIONS.iter().any(|known| known.eq_ignore_ascii_case(extension));
            if entry.file_type().is_file() && is_image {
                files.push(entry.into_path());
            }
        }
    }
    if files.is_empty() {
        bail!("no images found in the folders given (looked for {})", EXTENSIONS.join(", "));
    }
    Ok(files)
}

fn choose(models: Vec<ModelStatus>, wanted: Option<&str>) -> anyhow::Result<ModelStatus> {
    let names = || {
        let mut names: Vec<_> = models.iter().map(|model| model.name.to_string()).collect();
        names.dedup();
        names.join(", ")
    };
    let several = || models.iter().any(|model| model.name != models[0].name);
    match wanted {
        None if models.is_empty() => bail!("the repository holds no model that can be loaded"),
        None if several() => bail!("there are several models: choose one with --model ({})", names()),
        Some(name) if models.iter().all(|model| &*model.name != name) => {
            bail!("there is no model `{name}`; give --models the folder that holds it")
        }
        _ => {}
    }
    let served = models.iter().rev().find(|model| model.state == ModelState::Available);
    match (served, models.last().map(|model| &model.state)) {
        (Some(model), _) => Ok(model.clone()),
        (None, Some(ModelState::Failed(reason))) => bail!("model `{}` cannot be loaded: {reason}", names()),
        (None, _) => bail!("model `{}` cannot be loaded", names()),
    }
}

/// The widths of the table's columns.
struct Table {
    file: usize,
    label: usize,
}

impl Table {
    fn new(files: &[PathBuf], model: &ModelStatus) -> Self {
        let longest_label = |model: &ModelStatus| {
            let labels = model.info.as_ref().map(|info| info.labels.clone()).unwrap_or_default();
            labels.iter().map(|label| label.chars().count()).max().unwrap_or_default()
        };
        let file = files.iter().map(|file| file.display().to_string().chars().count()).max().unwrap_or_default();
        Self { file: file.clamp(4, 80), label: longest_label(model).clamp(5, 40) }
    }
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: &'a str,
    probability: f32,
}

#[derive(Serialize)]
struct Record<'a> {
    file: &'a str,
    classes: Vec<Class<'a>>,
}

/// Writes results as they come and shows progress.
struct Report {
    output: Output,
    format: Format,
    table: Table,
    progress: ProgressBar,
    written: usize,
}

impl Report {
    fn new(args: &ClassifyArgs, files: usize, table: Table) -> anyhow::Result<Self> {
        let mut output = Output::to(args.output.as_deref())?;
        // A bar between results that scroll by would only disturb.
        let watched = std::io::stderr().is_terminal() && (args.output.is_some() || !std::io::stdout().is_terminal());
        let progress = if watched { ProgressBar::new(files as u64) } else { ProgressBar::hidden() };
        let style = ProgressStyle::with_template("{bar:40} {pos}/{len} images, {per_sec}, {eta} left")?;
        progress.set_style(style);
        match args.format {
            Format::Table => {
                writeln!(
                    output,
                    "{:file$}  {:label$}  PROBABILITY",
                    "FILE",
                    "LABEL",
                    file = table.file,
                    label = table.label
                )?;
            }
            Format::Csv => writeln!(output, "file,rank,index,label,probability")?,
            Format::Json => write!(output, "[")?,
            Format::Jsonl => {}
        }
        Ok(Self { output, format: args.format, table, progress, written: 0 })
    }

    fn add(&mut self, file: &Path, predictions: &[Prediction]) -> anyhow::Result<()> {
        let name = file.display().to_string();
        match self.format {
            Format::Table => {
                let Table { file, label } = self.table;
                for (rank, class) in predictions.iter().enumerate() {
                    let shown = if rank == 0 { name.as_str() } else { "" };
                    let percent = class.probability * 100.0;
                    writeln!(self.output, "{shown:file$}  {:label$}  {percent:>10.2}%", class.label)?;
                }
            }
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(&mut self.output);
                for (rank, class) in predictions.iter().enumerate() {
                    writer.serialize((&name, rank + 1, class.index, &*class.label, class.probability))?;
                }
                writer.flush()?;
            }
            Format::Json | Format::Jsonl => {
                let classes = predictions
                    .iter()
                    .map(|p| Class { index: p.index, label: &p.label, probability: p.probability })
                    .collect();
                let record = serde_json::to_string(&Record { file: &name, classes })?;
                match (self.format, self.written) {
                    (Format::Jsonl, _) => writeln!(self.output, "{record}")?,
                    (_, 0) => write!(self.output, "\n  {record}")?,
                    _ => write!(self.output, ",\n  {record}")?,
                }
            }
        }
        self.written += 1;
        self.progress.inc(1);
        Ok(())
    }

    fn complain(&self, file: &Path, error: &anyhow::Error) {
        self.progress.suspend(|| complain(&format!("{}: {error:#}", file.display())));
        self.progress.inc(1);
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if self.format == Format::Json {
            writeln!(self.output, "{}]", if self.written == 0 { "" } else { "\n" })?;
        }
        self.progress.finish_and_clear();
        self.output.finish()
    }
}
