//! `resnetd inspect`: which ResNet a graph is, as a table for people or JSON for programs.

use std::{io::Write, path::PathBuf};

use anyhow::Context;

use super::{ConfigArgs, kept::Kept, output::Output, table::labelled};
use crate::{
    files,
    inspect::{Block, ImageInput, Inspection, ResNet, StrideIn, inspect_file},
    tensor::Layout,
};

/// The widest label of the table.
const LABEL_WIDTH: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct InspectArgs {
    /// The ONNX file; weights that it keeps in other files are not needed
    #[arg(value_name = "FILE.onnx")]
    file: PathBuf,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Configuration file (TOML), for [runtime] tune_cache
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

/// The graph's own facts, and what is kept of it, in one JSON object.
#[derive(serde::Serialize)]
struct Everything<'a> {
    #[serde(flatten)]
    inspection: &'a Inspection,
    #[serde(flatten)]
    kept: &'a Kept,
}

pub(super) fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let inspection = inspect_file(&args.file).with_context(|| files::shown(&args.file))?;
    let kept = Kept::of(&args.file, ConfigArgs { config: args.config.clone(), models: Vec::new() })?;
    let mut output = Output::stdout();
    match args.format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut output, &Everything { inspection: &inspection, kept: &kept })?;
            writeln!(output)?;
        }
        Format::Table => {
            for (label, value) in rows(&inspection).into_iter().chain(kept.rows(&inspection)) {
                output.line(&format!("{label:<LABEL_WIDTH$}  {value}"))?;
            }
        }
    }
    output.finish()
}

/// The table; a row with an empty label continues the one above.
fn rows(inspection: &Inspection) -> Vec<(&'static str, String)> {
    let mut rows = vec![("architecture", inspection.architecture().to_owned())];
    if let Some(reason) = &inspection.no_resnet {
        rows.push(("no ResNet", reason.clone()));
        let operators: Vec<String> = inspection.operators.iter().map(|(op, count)| format!("{op} {count}")).collect();
        rows.push(("operators", operators.join(", ")));
    }
    if let Some(resnet) = &inspection.resnet {
        rows.extend(network(resnet));
    }
    if let Some(image) = &inspection.input {
        rows.push(("input", input(image)));
    }
    let open_batch = inspection.input.as_ref().is_some_and(|image| image.batch.is_none());
    for (index, output) in inspection.outputs.iter().enumerate() {
        let shape = output.shape.as_deref().map_or("shape not known".into(), |shape| bracketed(shape, open_batch));
        let kind = match output.ends_in {
            Some("log-softmax") => ", logarithms of probabilities (log-softmax inside)".to_owned(),
            Some(function) => format!(", probabilities ({function} inside)"),
            None => String::new(),
        };
        rows.push((if index == 0 { "output" } else { "" }, format!("{} {shape}{kind}", output.name)));
    }
    rows.push(("parameters", grouped(inspection.parameters)));
    let macs = inspection.macs.map_or_else(|| "not known: a size could not be inferred".into(), grouped);
    rows.push(("MACs", format!("{macs} an image")));
    rows.push(("batch norm", inspection.batch_norm.to_string()));
    rows.push(("precision", inspection.precision.clone()));
    let opset = inspection.opset.map_or_else(|| "none".into(), |opset| opset.to_string());
    let others: String =
        inspection.other_opsets.iter().map(|(domain, version)| format!(", {domain} {version}")).collect();
    rows.push(("opset", format!("{opset}{others} (IR version {})", inspection.ir_version)));
    rows.push(("producer", inspection.producer.clone()));
    let metadata = inspection.metadata.iter().map(|(key, value)| format!("{key} = {value}"));
    rows.extend(labelled("metadata", metadata));
    rows.extend(labelled("unusual", inspection.unusual.iter().cloned()));
    rows
}

/// A shape between brackets. An open batch is written `N`, although its size was taken for 1.
fn bracketed(shape: &[usize], open_batch: bool) -> String {
    let dims = shape.iter().enumerate().map(|(axis, dim)| match axis {
        0 if open_batch && *dim == 1 => "N".to_owned(),
        _ => dim.to_string(),
    });
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

fn network(resnet: &ResNet) -> Vec<(&'static str, String)> {
    let kernels = match resnet.block {
        Block::Basic => "3x3, 3x3",
        Block::Bottleneck => "1x1, 3x3, 1x1",
    };
    let mut block = format!("{}: {kernels}", resnet.block);
    if resnet.groups > 1 {
        block.push_str(&format!(", {} groups of {}", resnet.groups, resnet.width_per_group));
    }
    if resnet.pre_activation {
        block.push_str(", pre-activation (version 2)");
    }
    let pool = resnet.stem.pool.as_ref().map_or_else(|| "no max-pool".into(), |pool| format!("max-pool {pool}"));
    let mut rows = vec![
        ("depth", format!("{} weighted layers", resnet.depth)),
        ("block", block),
        ("stem", format!("{} to {} channels, {pool}", resnet.stem.convolutions.join(", "), resnet.stem.channels)),
    ];
    rows.extend(labelled(
        "stages",
        resnet.stages.iter().map(|stage| {
            let size = stage.size.map(|[height, width]| format!(", {height}x{width}")).unwrap_or_default();
            format!("{} modules, {} channels (inner {}){size}", stage.modules, stage.channels, stage.inner_channels)
        }),
    ));
    if let Some(stride_in) = resnet.stride_in {
        let stride = match stride_in {
            StrideIn::Conv3x3 => "in the 3x3 convolution (PyTorch's form)",
            StrideIn::Conv1x1 => "in the first 1x1 convolution (the paper's form, Caffe, Keras)",
            StrideIn::Mixed => "not in the same convolution everywhere",
        };
        rows.push(("stride", stride.into()));
    }
    rows.push(("shortcut", resnet.shortcut.to_string()));
    rows.push((
        "classes",
        resnet.classes.map_or_else(|| "none: features come out".into(), |classes| classes.to_string()),
    ));
    rows
}

fn input(image: &ImageInput) -> String {
    let ImageInput { name, element, batch, channels, height, width, size_assumed, .. } = image;
    let batch = batch.map_or_else(|| "N".into(), |batch| batch.to_string());
    let (layout, shape) = match image.layout {
        Layout::Nchw => ("NCHW", format!("{batch}, {channels}, {height}, {width}")),
        Layout::Nhwc => ("NHWC", format!("{batch}, {height}, {width}, {channels}")),
    };
    format!("{name} {element}[{shape}] {layout}{}", if *size_assumed { ", size assumed" } else { "" })
}

/// `25,557,032`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
