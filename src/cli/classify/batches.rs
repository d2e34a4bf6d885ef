//! What `classify --format arrow` writes: a stream of record batches with a row for each picture.

use std::io::Write;

use indicatif::ProgressBar;

use super::{
    answers::Refused,
    job::{class, facts},
    report::AnswerSink,
};
use crate::{
    bulk::{AnswerRow, BatchWriter},
    cli::output::{Output, RawOutput},
    service::{ModelStatus, Prediction},
};

/// AnswerSink of a batch, where the pictures do not come in batches themselves.
const ROWS: usize = 1024;

/// Writes a batch for each batch that came, so that whoever sends one knows what to wait for; else one of some rows, or of what there is
/// when nothing is under way.
pub(super) struct BatchReport {
    output: Output,
    progress: ProgressBar,
    batches: BatchWriter,
    follows: bool,
}

impl BatchReport {
    /// Begins the stream: its columns are written at once, because many readers wait for them before they send anything.
    pub(super) fn new(output: Output, model: &ModelStatus, progress: ProgressBar) -> anyhow::Result<Self> {
        let batches = BatchWriter::new(&facts(model))?;
        let mut report = Self { output, progress, batches, follows: false };
        report.hand_over()?;
        Ok(report)
    }

    /// The same, with the batches of the pictures.
    #[must_use]
    pub(super) fn following(mut self, follows: bool) -> Self {
        self.follows = follows;
        self
    }

    fn add_row(&mut self, row: AnswerRow) -> anyhow::Result<()> {
        self.batches.add(row)?;
        self.progress.inc(1);
        if !self.follows && self.batches.waiting() == ROWS { self.end_batch() } else { Ok(()) }
    }

    fn hand_over(&mut self) -> anyhow::Result<()> {
        let bytes = self.batches.take();
        let mut output = RawOutput(&mut self.output);
        output.write_all(&bytes)?;
        Ok(output.flush()?)
    }
}

impl AnswerSink for BatchReport {
    fn add(&mut self, key: &str, predictions: &[Prediction]) -> anyhow::Result<()> {
        let classes = Some(predictions.iter().map(class).collect());
        self.add_row(AnswerRow { key: key.to_owned(), classes, error: None })
    }

    fn refuse(&mut self, key: &str, refused: &Refused) -> anyhow::Result<()> {
        let error = Some((refused.message.clone(), refused.code.to_owned()));
        self.add_row(AnswerRow { key: key.to_owned(), classes: None, error })
    }

    fn pause(&mut self, is_idle: bool) -> anyhow::Result<()> {
        if is_idle && !self.follows && self.batches.waiting() > 0 { self.end_batch() } else { Ok(()) }
    }

    fn end_batch(&mut self) -> anyhow::Result<()> {
        self.batches.end_batch()?;
        self.hand_over()
    }

    fn output(&self) -> &Output {
        &self.output
    }

    fn progress(&self) -> &ProgressBar {
        &self.progress
    }

    fn finish(mut self) -> anyhow::Result<()> {
        self.batches.finish()?;
        self.hand_over()?;
        self.progress.finish_and_clear();
        self.output.finish()
    }
}
