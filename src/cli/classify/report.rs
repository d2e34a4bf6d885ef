//! What `classify` writes of each picture: a table, JSON, JSON Lines or CSV; and what all that it writes has in common.

use std::io::{IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::answers::Refused;
use crate::{
    cli::output::{Output, complain},
    service::{ModelStatus, Prediction},
    telemetry::escaped,
};

/// Results that are written as they come.
pub(super) trait AnswerSink {
    fn add(&mut self, key: &str, predictions: &[Prediction]) -> anyhow::Result<()>;

    /// Says that a picture has no classes, and why.
    fn refuse(&mut self, key: &str, refused: &Refused) -> anyhow::Result<()>;

    /// As [`Taker::pause`](super::answers::Taker::pause).
    fn pause(&mut self, is_idle: bool) -> anyhow::Result<()>;

    /// As [`Taker::end_batch`](super::answers::Taker::end_batch).
    fn end_batch(&mut self) -> anyhow::Result<()>;

    fn output(&self) -> &Output;

    fn progress(&self) -> &ProgressBar;

    /// Says on stderr what has no place among the results.
    fn complain(&self, name: &str, reason: &str) {
        self.progress().suspend(|| complain(&format!("{name}: {reason}")));
    }

    fn finish(self) -> anyhow::Result<()>;
}

/// How results look as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TextForm {
    Table,
    Json,
    Jsonl,
    Csv,
}

/// The widths of the table's columns.
pub(super) struct Table {
    file: usize,
    label: usize,
}

impl Table {
    pub(super) fn new(names: impl Iterator<Item = String>, model: &ModelStatus) -> Self {
        let longest_label = |model: &ModelStatus| {
            let labels = model.info.as_ref().map(|info| info.labels.clone()).unwrap_or_default();
            labels.iter().map(|label| label.chars().count()).max().unwrap_or_default()
        };
        let file = names.map(|name| escaped(&name).chars().count()).max().unwrap_or_default();
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

/// The line of a picture that has no classes, where each picture has a line.
#[derive(Serialize)]
struct Refusal<'a> {
    file: &'a str,
    error: &'a str,
    code: &'static str,
}

/// Writes results as they come and shows progress.
pub(super) struct Report {
    output: Output,
    progress: ProgressBar,
    form: TextForm,
    table: Table,
    /// Each picture has a line among the results; else those without classes are named on stderr.
    complete: bool,
    written: usize,
}

impl Report {
    /// Begins to write.
    pub(super) fn new(output: Output, form: TextForm, table: Table, bar: ProgressBar) -> anyhow::Result<Self> {
        let mut report = Self { output, form, table, progress: bar, complete: false, written: 0 };
        report.begin()?;
        Ok(report)
    }

    /// The same, with a line also for each picture that has no classes.
    #[must_use]
    pub(super) fn complete(mut self) -> Self {
        self.complete = true;
        self
    }

    fn begin(&mut self) -> anyhow::Result<()> {
        match self.form {
            TextForm::Table => {
                let Table { file, label } = self.table;
                writeln!(self.output, "{:file$}  {:label$}  PROBABILITY", "FILE", "LABEL")?;
            }
            TextForm::Csv => writeln!(self.output, "file,rank,index,label,probability")?,
            TextForm::Json => write!(self.output, "[")?,
            TextForm::Jsonl => {}
        }
        Ok(())
    }

    fn record(&mut self, record: &str) -> anyhow::Result<()> {
        match (self.form, self.written) {
            (TextForm::Json, 0) => write!(self.output, "\n  {record}")?,
            (TextForm::Json, _) => write!(self.output, ",\n  {record}")?,
            _ => writeln!(self.output, "{record}")?,
        }
        self.written += 1;
        Ok(())
    }
}

impl AnswerSink for Report {
    fn add(&mut self, name: &str, predictions: &[Prediction]) -> anyhow::Result<()> {
        match self.form {
            TextForm::Table => {
                let Table { file, label } = self.table;
                let name = escaped(name);
                for (rank, class) in predictions.iter().enumerate() {
                    let shown = if rank == 0 { &*name } else { "" };
                    let percent = class.probability * 100.0;
                    writeln!(self.output, "{shown:file$}  {:label$}  {percent:>10.2}%", escaped(&class.label))?;
                }
            }
            TextForm::Csv => {
                let name = escaped(name);
                let mut writer = csv::WriterBuilder::new().has_headers(false).from_writer(&mut self.output);
                for (rank, class) in predictions.iter().enumerate() {
                    writer.serialize((&*name, rank + 1, class.index, &*class.label, class.probability))?;
                }
                writer.flush()?;
            }
            TextForm::Json | TextForm::Jsonl => {
                let classes = predictions
                    .iter()
                    .map(|p| Class { index: p.index, label: &p.label, probability: p.probability })
                    .collect();
                self.record(&serde_json::to_string(&Record { file: name, classes })?)?;
            }
        }
        self.progress.inc(1);
        Ok(())
    }

    fn refuse(&mut self, name: &str, refused: &Refused) -> anyhow::Result<()> {
        if self.complete {
            let Refused { message, code, .. } = refused;
            self.record(&serde_json::to_string(&Refusal { file: name, error: message, code })?)?;
        } else {
            self.complain(name, &refused.message);
        }
        self.progress.inc(1);
        Ok(())
    }

    fn pause(&mut self, _is_idle: bool) -> anyhow::Result<()> {
        // Whoever waits for an answer before the next picture would wait for ever.
        Ok(self.output.flush()?)
    }

    fn end_batch(&mut self) -> anyhow::Result<()> {
        Ok(())
    }

    fn output(&self) -> &Output {
        &self.output
    }

    fn progress(&self) -> &ProgressBar {
        &self.progress
    }

    fn finish(mut self) -> anyhow::Result<()> {
        if self.form == TextForm::Json {
            writeln!(self.output, "{}]", if self.written == 0 { "" } else { "\n" })?;
        }
        self.progress.finish_and_clear();
        self.output.finish()
    }
}

/// Progress on stderr, where somebody looks at it.
///
/// * `pictures`: how many there are, where that is known
/// * `scrolls`: whether results scroll by on the same terminal; a bar between them would only disturb
pub(super) fn progress(pictures: Option<usize>, scrolls: bool) -> anyhow::Result<ProgressBar> {
    if scrolls || !std::io::stderr().is_terminal() {
        return Ok(ProgressBar::hidden());
    }
    let (bar, style) = match pictures {
        Some(pictures) => (ProgressBar::new(pictures as u64), "{bar:40} {pos}/{len} images, {per_sec}, {eta} left"),
        None => (ProgressBar::no_length(), "{spinner} {pos} images, {per_sec}"),
    };
    bar.set_style(ProgressStyle::with_template(style)?);
    Ok(bar)
}
