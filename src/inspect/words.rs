//! What was found, in words: the rows of a table, the same for a terminal, a comparison and a page.

use super::report::{Block, ImageInput, Inspection, ResNet, StrideIn};
use crate::tensor::Layout;

/// One row: what it is about, and what is said of it, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FactRow {
    /// One or two words.
    pub label: &'static str,
    /// At least one.
    pub values: Vec<String>,
}

/// The table.
pub fn rows(inspection: &Inspection) -> Vec<FactRow> {
    let mut rows = Vec::new();
    let mut row = |label: &'static str, values: Vec<String>| {
        if !values.is_empty() {
            rows.push(FactRow { label, values });
        }
    };
    row("architecture", vec![inspection.architecture().to_owned()]);
    if let Some(reason) = &inspection.no_resnet {
        row("no ResNet", vec![reason.clone()]);
        let operators: Vec<String> = inspection.operators.iter().map(|(op, count)| format!("{op} {count}")).collect();
        row("operators", vec![operators.join(", ")]);
    }
    if let Some(resnet) = &inspection.resnet {
        for (label, values) in network(resnet, inspection) {
            row(label, values);
        }
    }
    row("input", inspection.input.iter().map(input).collect());
    row("output", outputs(inspection));
    row("parameters", vec![grouped(inspection.parameters)]);
    let macs = inspection.macs.map_or_else(|| "not known: a size could not be inferred".into(), grouped);
    row("MACs", vec![format!("{macs} an image")]);
    row("batch norm", vec![inspection.batch_norm.to_string()]);
    row("precision", vec![inspection.precision.clone()]);
    let opset = inspection.opset.map_or_else(|| "none".into(), |opset| opset.to_string());
    let others: String =
        inspection.other_opsets.iter().map(|(domain, version)| format!(", {domain} {version}")).collect();
    row("opset", vec![format!("{opset}{others} (IR version {})", inspection.ir_version)]);
    row("producer", vec![inspection.producer.clone()]);
    row("metadata", inspection.metadata.iter().map(|(key, value)| format!("{key} = {value}")).collect());
    row("unusual", inspection.unusual.clone());
    rows
}

fn outputs(inspection: &Inspection) -> Vec<String> {
    let open_batch = inspection.input.as_ref().is_some_and(|input| input.batch.is_none());
    let said = |output: &super::GraphOutput| {
        let shape = output.shape.as_deref().map_or("shape not known".into(), |shape| bracketed(shape, open_batch));
        let kind = match output.ends_in {
            Some("log-softmax") => ", logarithms of probabilities (log-softmax inside)".to_owned(),
            Some(function) => format!(", probabilities ({function} inside)"),
            None => String::new(),
        };
        format!("{} {shape}{kind}", output.name)
    };
    inspection.outputs.iter().map(said).collect()
}

/// A shape between brackets. An open batch is written `N`, although its size was taken for 1.
fn bracketed(shape: &[usize], open_batch: bool) -> String {
    let dims = shape.iter().enumerate().map(|(axis, dim)| match axis {
        0 if open_batch && *dim == 1 => "N".to_owned(),
        _ => dim.to_string(),
    });
    format!("[{}]", dims.collect::<Vec<_>>().join(", "))
}

fn network(resnet: &ResNet, inspection: &Inspection) -> Vec<(&'static str, Vec<String>)> {
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
    let stride = resnet.stride_in.map(|stride_in| match stride_in {
        StrideIn::Conv3x3 => "in the 3x3 convolution (PyTorch's form)".to_owned(),
        StrideIn::Conv1x1 => "in the first 1x1 convolution (the paper's form, Caffe, Keras)".to_owned(),
        StrideIn::Mixed => "not in the same convolution everywhere".to_owned(),
    });
    let classes = resnet.classes.map_or_else(|| "none: features come out".into(), |classes| classes.to_string());
    vec![
        ("depth", vec![format!("{} weighted layers", resnet.depth)]),
        ("block", vec![block]),
        ("stem", vec![format!("{} to {} channels, {pool}", resnet.stem.convolutions.join(", "), resnet.stem.channels)]),
        ("stages", stages(resnet, inspection)),
        ("stride", stride.into_iter().collect()),
        ("shortcut", vec![resnet.shortcut.to_string()]),
        ("classes", vec![classes]),
    ]
}

fn stages(resnet: &ResNet, inspection: &Inspection) -> Vec<String> {
    let said = |(index, stage): (usize, &super::Stage)| {
        let size = stage.size.map(|[height, width]| format!(", {height}x{width}")).unwrap_or_default();
        let weight = inspection.anatomy.as_ref().and_then(|anatomy| anatomy.stages.get(index)).map(|it| it.weight);
        let parameters = weight.map(|weight| format!(", {} parameters", grouped(weight.parameters)));
        let macs = weight.and_then(|weight| weight.macs).map(|macs| format!(", {} MACs", grouped(macs)));
        format!(
            "{} modules, {} channels (inner {}){size}{}{}",
            stage.modules,
            stage.channels,
            stage.inner_channels,
            parameters.unwrap_or_default(),
            macs.unwrap_or_default()
        )
    };
    resnet.stages.iter().enumerate().map(said).collect()
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
pub fn grouped(number: u64) -> String {
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
