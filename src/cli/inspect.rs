//! `resnetd inspect`: which ResNet a graph is, as a table for people, JSON for programs, or drawn; and what differs between two.

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{ConfigArgs, kept::Kept, output::Output, table::labelled};
use crate::{
    drawing::{Drawing, comparison, comparison_page, page},
    files,
    inspect::{Difference, Inspection, differences, inspect_file, rows},
};

/// The widest label of the table.
const LABEL_WIDTH: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// The ONNX file; weights that it keeps in other files are not needed
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// A second one: what differs is said, or drawn side by side
    #[arg(value_name = "OTHER.onnx")]
    other: Option<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Write to this file in place of the terminal
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Configuration file (TOML), for [runtime] tune_cache
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// For people
    Table,
    /// For programs
    Json,
    /// Drawn, as the paper draws networks
    Svg,
    /// The same in a page that opens from disk, with the table
    Html,
}

/// A file, what its graph is, and what is kept of it.
struct Looked {
    title: String,
    inspection: Inspection,
    kept: Kept,
}

/// The graph's own facts, and what is kept of it, in one JSON object.
#[derive(serde::Serialize)]
struct Everything<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    #[serde(flatten)]
    kept: &'a Kept,
}

/// Two of them, and what differs.
#[derive(serde::Serialize)]
struct Both<'a> {
    a: Everything<'a>,
    b: Everything<'a>,
    differences: &'a [Difference],
}

pub(super) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let look = |file: &Path| -> anyhow::Result<Looked> {
        let inspection = inspect_file(file).with_context(|| files::shown(file))?;
        let kept = Kept::of(file, &inspection, ConfigArgs { config: args.config.clone(), models: Vec::new() })?;
        Ok(Looked { title: files::shown(file), inspection, kept })
    };
    let first = look(&args.file)?;
    let second = args.other.as_deref().map(look).transpose()?;
    let mut output = Output::to(args.output.as_deref())?;
    match second {
        None => one(&first, args.format, &mut output)?,
        Some(second) => two(&first, &second, args.format, &mut output)?,
    }
    output.finish()
}

fn one(looked: &Looked, format: Format, output: &mut Output) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *output, &looked.everything())?;
            writeln!(output)?;
        }
        Format::Table => {
            let of_graph = rows(&looked.inspection).into_iter();
            let of_graph = of_graph.flat_map(|row| labelled(row.label, row.values.into_iter()));
            for (label, value) in of_graph.chain(looked.kept.rows(&looked.inspection)) {
                output.line(&format!("{label:<LABEL_WIDTH$}  {value}"))?;
            }
        }
        Format::Svg => writeln!(output, "{}", looked.drawing().svg())?,
        Format::Html => page(&looked.drawing(), output)?,
    }
    Ok(())
}

fn two(a: &Looked, b: &Looked, format: Format, output: &mut Output) -> anyhow::Result<()> {
    match format {
        Format::Json => {
            let differences = differences(&a.inspection, &b.inspection);
            let both = Both { a: a.everything(), b: b.everything(), differences: &differences };
            serde_json::to_writer_pretty(&mut *output, &both)?;
            writeln!(output)?;
        }
        Format::Table => {
            output.line(&format!("{:<LABEL_WIDTH$}  A  {}", "", a.title))?;
            output.line(&format!("{:<LABEL_WIDTH$}  B  {}", "", b.title))?;
            let found = differences(&a.inspection, &b.inspection);
            for Difference { what, a, b } in &found {
                let said = |text: &str| if text.is_empty() { "nothing".to_owned() } else { text.to_owned() };
                output.line(&format!("{what:<LABEL_WIDTH$}  A  {}", said(a)))?;
                output.line(&format!("{:<LABEL_WIDTH$}  B  {}", "", said(b)))?;
            }
            if found.is_empty() {
                output.line("no difference: as far as the graphs show, they are the same network in the same form")?;
            }
        }
        Format::Svg => writeln!(output, "{}", comparison(&a.drawing(), &b.drawing()))?,
        Format::Html => comparison_page(&a.drawing(), &b.drawing(), output)?,
    }
    Ok(())
}

impl Looked {
    fn everything(&self) -> Everything<'_> {
        Everything { inspection: &self.inspection, kept: &self.kept }
    }

    fn drawing(&self) -> Drawing<'_> {
        Drawing {
            title: &self.title,
            inspection: &self.inspection,
            preparation: &self.kept.preparation,
            labels: &self.kept.labels,
        }
    }
}
