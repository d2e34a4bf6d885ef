//! `resnetd classify`: pictures to labels, without a server, through the same service. They come as files, folders and shards, or as
//! a stream on stdin from a program that keeps one of these processes for each of its workers.

mod answers;
mod feed;
mod job;
mod report;
mod sources;

use std::{
    io::{self, BufReader, IsTerminal},
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::bail;
use clap::ValueEnum;
use tokio::runtime::Runtime;

use super::{
    ConfigArgs,
    interrupt::{Interrupt, NOTHING_WRITTEN},
    offline::{Offline, settings},
    output::Output,
};
use crate::{
    bulk::{ShardColumns, read_frames},
    files,
    service::ClassesWanted,
};
use answers::{PictureOutcome, Taker, answer_all};
use report::{Report, Table, TextForm, progress};
use sources::Sources;

#[derive(Debug, clap::Args)]
pub(super) struct ClassifyArgs {
    /// Image files, shards of many (.tar, .tar.gz, .parquet), and folders that are searched for both
    #[arg(required_unless_present = "stdin", conflicts_with = "stdin", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read pictures from stdin, each behind its key and its length (docs/bulk.md), and write a line for each; with --format jsonl
    #[arg(long)]
    stdin: bool,
    /// The column of Parquet files that has the pictures [default: image, bytes or jpg]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// The column of Parquet files that says what each picture is called [default: FILE:ROW]
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// The model, where there are several
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// How many classes an image gets [default: 5]
    #[arg(long, value_name = "K")]
    top_k: Option<usize>,
    /// How results look [default: table; parquet for an --output that ends so]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the results to this file; where it is Parquet, what is done is kept beside it until then
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Table,
    Json,
    Jsonl,
    Csv,
    Parquet,
}

impl ClassifyArgs {
    fn classes(&self) -> ClassesWanted {
        ClassesWanted { top_k: self.top_k, min_probability: None }
    }

    fn columns(&self) -> ShardColumns {
        ShardColumns { picture: self.column.clone(), key: self.key.clone() }
    }

    /// `None`: rows of Parquet.
    fn form(&self) -> Option<TextForm> {
        let is_parquet = |path: &Path| path.extension().is_some_and(|extension| extension == "parquet");
        match self.format {
            None if self.output.as_deref().is_some_and(is_parquet) => None,
            None | Some(Format::Table) => Some(TextForm::Table),
            Some(Format::Json) => Some(TextForm::Json),
            Some(Format::Jsonl) => Some(TextForm::Jsonl),
            Some(Format::Csv) => Some(TextForm::Csv),
            Some(Format::Parquet) => None,
        }
    }

    /// Whether results scroll by on the terminal.
    fn scrolls(&self) -> bool {
        self.output.is_none() && io::stdout().is_terminal()
    }
}

pub(super) fn run(args: &ClassifyArgs) -> anyhow::Result<()> {
    if args.stdin {
        return run_stream(args);
    }
    let config = settings(&args.config)?;
    let sources = Sources::among(&args.paths, args.columns(), args.output.as_deref())?;
    match (args.form(), &args.output) {
        (None, Some(path)) => job::run(args.classes(), &Offline::start(config, args.model.as_deref())?, sources, path),
        (None, None) => bail!("--format parquet needs a file: name one with --output"),
        (Some(form), _) => run_text(args, form, &Offline::start(config, args.model.as_deref())?, sources),
    }
}

fn run_text(args: &ClassifyArgs, form: TextForm, offline: &Offline, sources: Sources) -> anyhow::Result<()> {
    let table = Table::new(sources.names(), &offline.model);
    let bar = progress(sources.count(), args.scrolls())?;
    let report = Report::new(Output::to(args.output.as_deref())?, form, table, bar)?;
    for (path, reason) in &sources.passed_over {
        report.complain(&files::shown(path), reason);
    }
    let passed_over = sources.passed_over.len();
    let what = if sources.count().is_some() { "files" } else { "pictures" };
    let limit = offline.picture_limit();
    let counts = write_all(args, offline, report, move |hand| sources.read(limit, (0, 0), hand))?;
    let (failed, total) = (counts.refused + passed_over, counts.taken + passed_over);
    if failed > 0 {
        bail!("{failed} of {total} {what} could not be classified; each is named above");
    }
    Ok(())
}

/// The pictures of a stream. The program at its other end counts lines: each picture has one, and an exit code of 0 says that
/// the stream was whole.
fn run_stream(args: &ClassifyArgs) -> anyhow::Result<()> {
    let Some(form @ TextForm::Jsonl) = args.form() else {
        bail!("--stdin writes one line for each picture: give --format jsonl");
    };
    if io::stdin().is_terminal() {
        bail!("stdin is a terminal, and --stdin reads records of keys and pictures from it: docs/bulk.md");
    }
    let config = settings(&args.config)?;
    let offline = Offline::start(config, args.model.as_deref())?;
    let table = Table::new(std::iter::empty(), &offline.model);
    let bar = progress(None, args.scrolls())?;
    let report = Report::new(Output::to(args.output.as_deref())?, form, table, bar)?.complete();
    let limit = offline.picture_limit();
    let read = move |hand: &feed::Hand| {
        let mut stdin = BufReader::with_capacity(1 << 16, io::stdin().lock());
        read_frames(&mut stdin, limit, &mut |member| hand.give(0, member));
    };
    let counts = write_all(args, &offline, report, read)?;
    if let Some(reason) = counts.cut {
        bail!("record {} on stdin: {reason}", counts.taken);
    }
    if counts.ours > 0 {
        bail!("{} of {} pictures could not be run; each is named in its line", counts.ours, counts.taken);
    }
    Ok(())
}

/// What became of the pictures.
#[derive(Debug, Default)]
struct Counts {
    taken: usize,
    /// Those without classes.
    refused: usize,
    /// Of these, the ones that have nothing to do with the picture.
    ours: usize,
    /// Why a source could not be read to its end.
    cut: Option<String>,
}

/// A report, and the counts of what it got.
struct Written {
    report: Report,
    counts: Counts,
}

impl Taker for Written {
    fn take(&mut self, PictureOutcome { key, outcome, .. }: PictureOutcome) -> anyhow::Result<ControlFlow<()>> {
        self.counts.taken += 1;
        match outcome {
            Ok(predictions) => self.report.add(&key, &predictions)?,
            Err(refused) => {
                self.counts.refused += 1;
                self.counts.ours += usize::from(refused.is_ours);
                self.report.refuse(&key, &refused)?;
                if refused.is_cut {
                    self.counts.cut = Some(refused.message);
                }
            }
        }
        let is_unread = self.report.output.is_unread();
        Ok(if is_unread { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn pause(&mut self) -> anyhow::Result<()> {
        // Whoever waits for an answer before the next picture would wait for ever.
        Ok(io::Write::flush(&mut self.report.output)?)
    }
}

/// Classifies what `read` hands on, and writes it.
fn write_all(
    args: &ClassifyArgs,
    offline: &Offline,
    report: Report,
    read: impl FnOnce(&feed::Hand) + Send + 'static,
) -> anyhow::Result<Counts> {
    let bar = report.progress.clone();
    let interrupt = report.output.is_file().then(|| Interrupt::watch(move || bar.finish_and_clear(), NOTHING_WRITTEN));
    let interrupt = interrupt.transpose()?;
    let runtime = Runtime::new()?;
    let fed = feed::start(runtime.handle().clone(), offline.concurrency(), read)?;
    let mut written = Written { report, counts: Counts::default() };
    runtime.block_on(answer_all(offline, fed, args.classes(), &mut written))?;
    let done = interrupt.as_ref().map(Interrupt::hold);
    written.report.finish()?;
    if let Some(mut done) = done {
        *done = true;
    }
    Ok(written.counts)
}
