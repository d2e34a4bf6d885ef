//! `classify --format parquet`: work that may take days, and goes on where it stopped.
//!
//! Each answer is a line of a journal beside the output, in the order of the pictures, so what is done is a beginning of the whole,
//! and the last line says where to go on. When all is done the lines become the file, which is the same whether the work was
//! interrupted or not. The journal's lock keeps a second run with the same output away.

use std::{
    ffi::OsString,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};

use super::{
    answers::{PictureOutcome, Taker, answer_all},
    feed,
    report::progress,
    sources::Sources,
};
use crate::{
    bulk::{AnswerRow, RowWriter},
    cli::{
        interrupt::{Interrupt, KEPT},
        offline::Offline,
        output::{Output, RawOutput, complain},
        place::ModelPlace,
    },
    files,
    journal::{JournalHead, LineJournal},
    service::{ClassesWanted, ModelStatus, Prediction},
};

/// Lines that are written together at most.
const TOGETHER: usize = 1024;

/// Everything that an answer depends on, and the pictures.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
struct Work {
    resnetd: String,
    libraries: String,
    model: String,
    digest: String,
    settings: String,
    options: String,
    pictures: String,
}

impl JournalHead for Work {
    const KIND: &'static str = "resnetd classification";

    fn objection(&self, other: &Self) -> Option<String> {
        let parts = [
            ("another version of resnetd", &self.resnetd, &other.resnetd),
            ("another ONNX Runtime", &self.libraries, &other.libraries),
            ("another model", &self.model, &other.model),
            ("the model's file was changed", &self.digest, &other.digest),
            ("other settings of the model", &self.settings, &other.settings),
            ("other options", &self.options, &other.options),
        ];
        let difference = parts.into_iter().find(|(_, ours, theirs)| ours != theirs);
        Some(difference.map_or("other pictures, or files that were changed", |(words, _, _)| words).to_owned())
    }
}

/// One picture's line.
#[derive(Serialize, Deserialize)]
struct Piece {
    key: String,
    /// The file, and the place in it.
    at: (usize, u64),
    /// Index, label, probability.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    classes: Option<Vec<(i32, String, f32)>>,
    /// What is wrong, and the kind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<(String, String)>,
    /// The file could not be read any further.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    is_cut: bool,
}

/// What is done.
#[derive(Debug, Default)]
struct Done {
    rows: u64,
    errors: u64,
    cuts: u64,
    /// Where to go on.
    next: (usize, u64),
}

impl Done {
    fn count(&mut self, piece: &Piece) {
        self.rows += 1;
        self.errors += u64::from(piece.error.is_some());
        self.cuts += u64::from(piece.is_cut);
        self.next = (piece.at.0, piece.at.1 + 1);
    }
}

/// Takes answers into the journal.
struct Keeper {
    journal: LineJournal,
    waiting: Vec<Piece>,
    done: Done,
    bar: ProgressBar,
}

impl Taker for Keeper {
    fn take(&mut self, PictureOutcome { key, at, outcome }: PictureOutcome) -> anyhow::Result<ControlFlow<()>> {
        let piece = match outcome {
            Ok(predictions) => {
                let classes = Some(predictions.iter().map(class).collect());
                Piece { key, at, classes, error: None, is_cut: false }
            }
            Err(refused) if refused.is_ours => {
                self.keep()?;
                bail!("{key}: {}; what is done is kept, and the same command goes on from there", refused.message);
            }
            Err(refused) => {
                let error = Some((refused.message, refused.code.to_owned()));
                Piece { key, at, classes: None, error, is_cut: refused.is_cut }
            }
        };
        self.done.count(&piece);
        self.waiting.push(piece);
        self.bar.inc(1);
        if self.waiting.len() == TOGETHER {
            self.keep()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn pause(&mut self, _is_idle: bool) -> anyhow::Result<()> {
        self.keep()
    }

    fn end_batch(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

impl Keeper {
    fn keep(&mut self) -> anyhow::Result<()> {
        if !self.waiting.is_empty() {
            self.journal.keep(self.waiting.drain(..))?;
        }
        Ok(())
    }
}

/// A class as rows have it.
pub(super) fn class(prediction: &Prediction) -> (i32, String, f32) {
    (i32::try_from(prediction.index).unwrap_or(i32::MAX), prediction.label.to_string(), prediction.probability)
}

/// Where what is done is kept.
fn journal_beside(output: &Path) -> PathBuf {
    let mut name = OsString::from(output);
    name.push(".journal");
    PathBuf::from(name)
}

/// Classifies the sources into `path`.
pub(super) fn run(wanted: ClassesWanted, offline: &Offline, sources: Sources, path: &Path) -> anyhow::Result<()> {
    let mut output = Output::to(Some(path))?;
    if !output.is_file() {
        bail!("{} is no file: what is done of a Parquet file is kept beside it; name a file", files::shown(path));
    }
    let mut done = Done::default();
    let journal = LineJournal::open(&journal_beside(path), &work(wanted, offline, &sources)?, &mut |line| {
        let piece = serde_json::from_slice(line);
        piece.inspect(|piece| done.count(piece)).is_ok()
    })?;
    if done.rows > 0 {
        complain(&format!("going on after {} pictures; {} has them", done.rows, files::shown(&journal_beside(path))));
    }
    let bar = progress(sources.count(), false)?;
    bar.inc(done.rows);
    let shown = bar.clone();
    let interrupt = Interrupt::watch(move || shown.finish_and_clear(), KEPT)?;
    let passed_over = sources.passed_over.len();
    for (path, reason) in &sources.passed_over {
        bar.suspend(|| complain(&format!("{}: {reason}", files::shown(path))));
    }

    let (limit, start) = (offline.picture_limit(), done.next);
    let runtime = tokio::runtime::Runtime::new()?;
    let fed =
        feed::start(runtime.handle().clone(), offline.concurrency(), move |hand| sources.read(limit, start, hand))?;
    let mut keeper = Keeper { journal, waiting: Vec::new(), done, bar };
    runtime.block_on(answer_all(offline, fed, wanted, &mut keeper))?;
    keeper.keep()?;

    let Keeper { mut journal, done, bar, .. } = keeper;
    bar.finish_and_clear();
    write(&mut output, &mut journal, &offline.model).with_context(|| format!("cannot write {}", files::shown(path)))?;
    let mut written = interrupt.hold();
    output.finish()?;
    *written = true;
    drop(written);
    journal.remove()?;
    if done.errors > 0 {
        complain(&format!("{} of {} pictures have an error in their row", done.errors, done.rows));
    }
    if done.cuts + passed_over as u64 > 0 {
        bail!(
            "not all could be read: {} rows say where a shard was cut, {passed_over} files are named above",
            done.cuts
        );
    }
    Ok(())
}

fn work(wanted: ClassesWanted, offline: &Offline, sources: &Sources) -> anyhow::Result<Work> {
    let Offline { config, model, .. } = offline;
    let place = ModelPlace::find(&config.models.dir, &model.name)?;
    let manifest = place.manifest(config)?;
    let columns = sources.columns();
    Ok(Work {
        resnetd: env!("CARGO_PKG_VERSION").to_owned(),
        libraries: offline.libraries.clone(),
        model: format!("{} version {}", model.name, model.version),
        digest: place.digest(model.version),
        settings: serde_json::to_string(&(&manifest.input, &manifest.output, &manifest.runtime, &manifest.cascade))?,
        options: format!("top_k {:?}, column {:?}, key {:?}", wanted.top_k, columns.picture, columns.key),
        pictures: sources.fingerprint(),
    })
}

/// What is said of all rows.
pub(super) fn facts(model: &ModelStatus) -> [(&'static str, String); 2] {
    [("resnetd.model", model.name.to_string()), ("resnetd.model_version", model.version.to_string())]
}

/// Makes rows of the journal's lines.
fn write(output: &mut Output, journal: &mut LineJournal, model: &ModelStatus) -> anyhow::Result<()> {
    let mut rows = RowWriter::new(RawOutput(output), &facts(model))?;
    journal.replay(|line| {
        let Piece { key, classes, error, .. } = serde_json::from_slice(line)?;
        Ok::<_, anyhow::Error>(rows.add(AnswerRow { key, classes, error })?)
    })?;
    Ok(rows.finish()?)
}
