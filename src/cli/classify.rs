//! `resnetd classify`: files and folders to labels, without a server, through the same service.

use std::{
    io::{IsTerminal, Write},
    path::{Path, PathBuf},
};

use anyhow::bail;
use clap::ValueEnum;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{
    ConfigArgs,
    images::FoundImages,
    interrupt::Interrupt,
    offline::{Offline, settings},
    output::{Output, complain},
};
use crate::{
    files,
    service::{ClassesWanted, ModelStatus, Prediction, Priority, Request, TraceContext, Wanted},
    telemetry::escaped,
};

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

/// What a signal ends with as long as the file with the results is not there.
const NOTHING_WRITTEN: &str = "error: interrupted; nothing was written";

pub(super) fn run(args: &ClassifyArgs) -> anyhow::Result<()> {
    let config = settings(&args.config)?;
    let FoundImages { files, passed_over } = FoundImages::among(&args.paths)?;

    let offline = Offline::start(config, args.model.as_deref())?;
    let table = Table::new(&files, &offline.model);
    let mut report = Report::new(args, files.len(), table)?;
    let progress = report.progress.clone();
    let interrupt =
        report.output.is_file().then(|| Interrupt::watch(move || progress.finish_and_clear(), NOTHING_WRITTEN));
    let interrupt = interrupt.transpose()?;
    for (path, reason) in &passed_over {
        report.complain(path, reason);
    }
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let failed = tokio.block_on(async {
        let options = ClassesWanted { top_k: args.top_k, min_probability: None };
        let mut answers = stream::iter(&files)
            .map(async |file| (file, classify(&offline, file, options).await))
            .buffered(offline.concurrency());
        let mut failed = passed_over.len();
        while let Some((file, answer)) = answers.next().await {
            match answer {
                Ok(predictions) => report.add(file, &predictions)?,
                Err(error) => {
                    failed += 1;
                    report.complain(file, &format!("{error:#}"));
                    report.progress.inc(1);
                }
            }
            if report.output.is_unread() {
                break;
            }
        }
        anyhow::Ok(failed)
    })?;
    let written = interrupt.as_ref().map(Interrupt::hold);
    report.finish()?;
    if let Some(mut written) = written {
        *written = true;
    }
    if failed > 0 {
        bail!("{failed} of {} files could not be classified; each is named above", files.len() + passed_over.len());
    }
    Ok(())
}

async fn classify(offline: &Offline, file: &Path, classes: ClassesWanted) -> anyhow::Result<Vec<Prediction>> {
    let image = offline.read(file)?;
    let Offline { service, model, .. } = offline;
    let target = service.target(&model.name, Some(model.version))?;
    let request = Request {
        items: vec![target.picture(image.into())],
        target,
        wanted: Wanted::classes(classes),
        deadline: None,
        priority: Priority::DEFAULT,
        client: None,
        charge: service.open_charge()?,
        trace: TraceContext::new(file.to_string_lossy()),
    };
    let mut answer = service.answer(request).await?;
    Ok(answer.predictions.pop().unwrap_or_default())
}

/// The widths of the table's columns.
struct Table {
    file: usize,
    label: usize,
}

impl Table {
    fn new(images: &[PathBuf], model: &ModelStatus) -> Self {
        let longest_label = |model: &ModelStatus| {
            let labels = model.info.as_ref().map(|info| info.labels.clone()).unwrap_or_default();
            labels.iter().map(|label| label.chars().count()).max().unwrap_or_default()
        };
        let file = images.iter().map(|file| escaped(&files::shown(file)).chars().count()).max().unwrap_or_default();
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
        let name = files::shown(file);
        match self.format {
            Format::Table => {
                let Table { file, label } = self.table;
                let name = escaped(&name);
                for (rank, class) in predictions.iter().enumerate() {
                    let shown = if rank == 0 { &*name } else { "" };
                    let percent = class.probability * 100.0;
                    writeln!(self.output, "{shown:file$}  {:label$}  {percent:>10.2}%", escaped(&class.label))?;
                }
            }
            Format::Csv => {
                let name = escaped(&name);
                let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(&mut self.output);
                for (rank, class) in predictions.iter().enumerate() {
                    writer.serialize((&*name, rank + 1, class.index, &*class.label, class.probability))?;
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

    fn complain(&self, file: &Path, reason: &str) {
        self.progress.suspend(|| complain(&format!("{}: {reason}", files::shown(file))));
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if self.format == Format::Json {
            writeln!(self.output, "{}]", if self.written == 0 { "" } else { "\n" })?;
        }
        self.progress.finish_and_clear();
        self.output.finish()
    }
}
