//! `resnetd classify`: pictures to labels, without a server, through the same service. They come as files, folders and shards, or as
//! a stream on stdin from a program that keeps one of these processes for each of its workers.

mod answers;
mod batches;
mod feed;
mod job;
mod report;
mod sources;

use std::{
    fs::File,
    io::{self, IsTerminal},
    ops::ControlFlow,
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::ValueEnum;
use tokio::runtime::Runtime;

use super::{
    ConfigArgs,
    interrupt::{Interrupt, NOTHING_WRITTEN},
    offline::{Offline, settings},
    output::{Output, complain},
};
use crate::{
    bulk::{PictureStream, ShardColumns, StreamReading, Streamed},
    files,
    service::{ClassesWanted, DEFAULT_TOP_K},
};
use answers::{PictureOutcome, Taker, answer_all};
use batches::BatchReport;
use report::{AnswerSink, Report, Table, TextForm, progress};
use sources::Sources;

#[derive(Debug, clap::Args)]
pub(super) struct ClassifyArgs {
    /// Image files, shards of many (.tar, .tar.gz, .parquet), and folders that are searched for both
    #[arg(required_unless_present = "stdin", conflicts_with = "stdin", value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Read pictures from stdin, as records or as a stream of Arrow's record batches (docs/bulk.md), and write a row for each; with
    /// --format jsonl or arrow
    #[arg(long)]
    stdin: bool,
    /// The column of Parquet files and record batches that has the pictures [default: image, bytes, jpg or content]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// The column of Parquet files and record batches that says what each picture is called [default: FILE:ROW, or the row's number]
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
    /// A stream of record batches in Arrow's IPC format
    Arrow,
}

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text(TextForm),
    Parquet,
    Arrow,
}

/// The most classes in the answers to one record batch, which are all in memory.
const MOST_CLASSES: usize = 1 << 22;

impl ClassifyArgs {
    fn classes(&self) -> ClassesWanted {
        ClassesWanted { top_k: self.top_k, min_probability: None }
    }

    /// Where results go.
    fn output(&self) -> anyhow::Result<Output> {
        Output::to(self.output.as_deref())
    }

    fn columns(&self) -> ShardColumns {
        ShardColumns { picture: self.column.clone(), key: self.key.clone() }
    }

    fn form(&self) -> Form {
        let is_parquet = |path: &Path| path.extension().is_some_and(|extension| extension == "parquet");
        match self.format {
            None if self.output.as_deref().is_some_and(is_parquet) => Form::Parquet,
            None | Some(Format::Table) => Form::Text(TextForm::Table),
            Some(Format::Json) => Form::Text(TextForm::Json),
            Some(Format::Jsonl) => Form::Text(TextForm::Jsonl),
            Some(Format::Csv) => Form::Text(TextForm::Csv),
            Some(Format::Parquet) => Form::Parquet,
            Some(Format::Arrow) => Form::Arrow,
        }
    }

    /// Whether results scroll by on the terminal.
    fn scrolls(&self) -> bool {
        self.output.is_none() && io::stdout().is_terminal()
    }
}

pub(super) fn run(args: &ClassifyArgs) -> anyhow::Result<()> {
    if args.form() == Form::Arrow && args.scrolls() {
        bail!(
            "stdout is a terminal, and record batches are no text: name a file with --output, or pipe them into a program"
        );
    }
    if args.stdin {
        return run_stream(args);
    }
    let config = settings(&args.config)?;
    let sources = Sources::among(&args.paths, args.columns(), args.output.as_deref())?;
    let start = || Offline::start(config, args.model.as_deref());
    match (args.form(), &args.output) {
        (Form::Parquet, Some(path)) => job::run(args.classes(), &start()?, sources, path),
        (Form::Parquet, None) => bail!("--format parquet needs a file: name one with --output"),
        (Form::Text(form), _) => run_text(args, form, &start()?, sources),
        (Form::Arrow, _) => run_batches(args, &start()?, sources),
    }
}

fn run_text(args: &ClassifyArgs, form: TextForm, offline: &Offline, sources: Sources) -> anyhow::Result<()> {
    let table = Table::new(sources.names(), &offline.model);
    let bar = progress(sources.count(), args.scrolls())?;
    let what = if sources.count().is_some() { "files" } else { "pictures" };
    let passed_over = sources.passed_over.len();
    let counts = write_sources(args, offline, Report::new(args.output()?, form, table, bar)?, sources)?;
    let (failed, total) = (counts.refused + passed_over, counts.taken + passed_over);
    if failed > 0 {
        bail!("{failed} of {total} {what} could not be classified; each is named above");
    }
    Ok(())
}

/// Each picture has its row, a bad one with its error: only what has none is a failure, and what another run may do better.
fn run_batches(args: &ClassifyArgs, offline: &Offline, sources: Sources) -> anyhow::Result<()> {
    let bar = progress(sources.count(), args.scrolls())?;
    let passed_over = sources.passed_over.len();
    let counts = write_sources(args, offline, BatchReport::new(args.output()?, &offline.model, bar)?, sources)?;
    if counts.refused > 0 {
        complain(&format!("{} of {} pictures have an error in their row", counts.refused, counts.taken));
    }
    if counts.cuts + passed_over > 0 {
        bail!(
            "not all could be read: {} rows say where a shard was cut, {passed_over} files are named above",
            counts.cuts
        );
    }
    counts.judge_ours()
}

fn write_sources(
    args: &ClassifyArgs,
    offline: &Offline,
    report: impl AnswerSink,
    sources: Sources,
) -> anyhow::Result<Counts> {
    for (path, reason) in &sources.passed_over {
        report.complain(&files::shown(path), reason);
    }
    let limit = offline.picture_limit();
    write_all(args, offline, report, move |hand| sources.read(limit, (0, 0), hand))
}

/// The pictures of a stream. The program at its other end counts rows: each picture has one, and an exit code of 0 says that
/// the stream was whole.
fn run_stream(args: &ClassifyArgs) -> anyhow::Result<()> {
    let form = args.form();
    if !matches!(form, Form::Text(TextForm::Jsonl) | Form::Arrow) {
        bail!("--stdin writes one row for each picture: give --format jsonl, or arrow");
    }
    if io::stdin().is_terminal() {
        bail!("stdin is a terminal, and --stdin reads pictures from it: docs/bulk.md");
    }
    let config = settings(&args.config)?;
    let offline = Offline::start(config, args.model.as_deref())?;
    let bar = progress(None, args.scrolls())?;
    let open = || {
        let stdin = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        PictureStream::open(stdin)
    };
    let unread = "stdin cannot be read";
    if form == Form::Arrow {
        let report = BatchReport::new(args.output()?, &offline.model, bar)?;
        let stream = open().context(unread)?;
        let report = report.following(stream.has_batches());
        answer_stream(args, &offline, report, stream)
    } else {
        let table = Table::new(std::iter::empty(), &offline.model);
        let report = Report::new(args.output()?, TextForm::Jsonl, table, bar)?.complete();
        answer_stream(args, &offline, report, open().context(unread)?)
    }
}

fn answer_stream(
    args: &ClassifyArgs,
    offline: &Offline,
    report: impl AnswerSink,
    stream: PictureStream<File>,
) -> anyhow::Result<()> {
    let classes = offline.model.info.as_ref().map_or(1, |info| info.labels.len());
    let top_k = args.top_k.unwrap_or(DEFAULT_TOP_K).clamp(1, classes.max(1));
    let reading =
        StreamReading { columns: args.columns(), limit: offline.picture_limit(), most_rows: MOST_CLASSES / top_k };
    let counts = write_all(args, offline, report, move |hand| {
        stream.read(&reading, &mut |streamed| match streamed {
            Streamed::Picture(member) => hand.give(0, member),
            Streamed::EndOfBatch => hand.end_batch(),
        });
    })?;
    if let Some(reason) = counts.cut {
        bail!("record {} on stdin: {reason}", counts.taken);
    }
    counts.judge_ours()
}

/// What became of the pictures.
#[derive(Debug, Default)]
struct Counts {
    taken: usize,
    /// Those without classes.
    refused: usize,
    /// Of these, the ones that have nothing to do with the picture.
    ours: usize,
    /// Sources that could not be read to their end.
    cuts: usize,
    /// Why the last of them could not.
    cut: Option<String>,
}

impl Counts {
    /// # Errors
    /// Where pictures have an error that is not theirs.
    fn judge_ours(&self) -> anyhow::Result<()> {
        if self.ours > 0 {
            bail!("{} of {} pictures could not be run; each is named in its row", self.ours, self.taken);
        }
        Ok(())
    }
}

/// A report, and the counts of what it got.
struct Written<R> {
    report: R,
    counts: Counts,
}

impl<R: AnswerSink> Taker for Written<R> {
    fn take(&mut self, PictureOutcome { key, outcome, .. }: PictureOutcome) -> anyhow::Result<ControlFlow<()>> {
        self.counts.taken += 1;
        match outcome {
            Ok(predictions) => self.report.add(&key, &predictions)?,
            Err(refused) => {
                self.counts.refused += 1;
                self.counts.ours += usize::from(refused.is_ours);
                self.report.refuse(&key, &refused)?;
                if refused.is_cut {
                    self.counts.cuts += 1;
                    self.counts.cut = Some(refused.message);
                }
            }
        }
        let is_unread = self.report.output().is_unread();
        Ok(if is_unread { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn pause(&mut self, is_idle: bool) -> anyhow::Result<()> {
        self.report.pause(is_idle)
    }

    fn end_batch(&mut self) -> anyhow::Result<()> {
        self.report.end_batch()
    }
}

/// Classifies what `read` hands on, and writes it.
fn write_all(
    args: &ClassifyArgs,
    offline: &Offline,
    report: impl AnswerSink,
    read: impl FnOnce(&feed::Hand) + Send + 'static,
) -> anyhow::Result<Counts> {
    let bar = report.progress().clone();
    let interrupt =
        report.output().is_file().then(|| Interrupt::watch(move || bar.finish_and_clear(), NOTHING_WRITTEN));
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
