//! Watching a network at work: the fp32 graph with inner values exposed as outputs, run on the calibration images.
//!
//! Memory is bounded: images come in small batches, and values are exposed in groups of a bounded size, with one pass
//! over the images for each group (one in all for anything up to ResNet-152 at 224 pixels).

use std::collections::HashMap;

use prost::Message;

use super::{
    QuantizeError,
    histogram::Histogram,
    images::{ImagePreparation, Progress, Sample},
};
use crate::{
    onnx::{ModelProto, NodeProto, untyped},
    runtime::{GraphSource, Probe, Runtime, Seen, SessionOptions},
    tensor::Batch,
};

/// The most bytes that the exposed values of one run may take together.
const GROUP_BYTES: usize = 256 << 20;

/// Sessions that show what flows inside a graph, one for each group of values.
pub(super) struct Observer {
    probes: Vec<Probe>,
    /// The graph's own input, where it is to be shown too.
    input: Option<String>,
    /// Images of one run; the graph may fix it.
    pub batch_size: usize,
}

impl Observer {
    /// Prepares to watch `values` of `model`, in runs of up to `batch_size` images like those of `example`.
    ///
    /// # Errors
    /// [`QuantizeError`] if the runtime refuses the graph with these outputs.
    pub(super) fn new(
        runtime: &Runtime,
        options: SessionOptions,
        model: &ModelProto,
        values: &[&str],
        example: &Batch,
        batch_size: usize,
    ) -> Result<Self, QuantizeError> {
        let inputs = model.graph.iter().flat_map(|graph| &graph.input).map(|input| input.name.as_str());
        let input = inputs.into_iter().find(|input| values.contains(input));
        let values: Vec<&str> = values.iter().copied().filter(|&value| Some(value) != input).collect();
        let open = |exposed: &ModelProto| {
            runtime.probe(GraphSource::Memory(&exposed.encode_to_vec()), options).map_err(QuantizeError::Load)
        };
        let mut bytes: HashMap<String, usize> = HashMap::new();
        open(&with_shapes(model, &values))?.run(example, |name, seen| {
            if let (Some(value), Seen::Integers(shape)) = (name.strip_suffix(SHAPE), seen) {
                let len = shape.iter().map(|&dim| dim.max(0) as usize).product::<usize>();
                bytes.insert(value.to_owned(), len * size_of::<f32>() / example.len());
            }
        })?;
        let size = |value: &str| bytes.get(value).copied().unwrap_or(0) * batch_size;
        let mut groups: Vec<Vec<&str>> = Vec::new();
        let mut room = 0;
        for &value in &values {
            match groups.last_mut().filter(|_| size(value) <= room) {
                Some(group) => group.push(value),
                None => {
                    groups.push(vec![value]);
                    room = GROUP_BYTES;
                }
            }
            room = room.saturating_sub(size(value));
        }
        let probes = groups.iter().map(|group| open(&with_outputs(model, group))).collect::<Result<_, _>>()?;
        Ok(Self { probes, input: input.map(str::to_owned), batch_size })
    }

    /// Runs `samples` through and hands each exposed value of each batch to `visit`.
    ///
    /// # Errors
    /// [`QuantizeError`] from the runtime and the files.
    pub(super) fn watch(
        &mut self,
        images: &ImagePreparation,
        samples: &[Sample],
        progress: &dyn Progress,
        mut visit: impl FnMut(&str, &[f32]),
    ) -> Result<(), QuantizeError> {
        for group in 0..self.groups() {
            images.batches(samples, self.batch_size, |batch, chunk| {
                self.show(group, batch, &mut visit)?;
                progress.advance(chunk.len());
                Ok::<_, QuantizeError>(())
            })?;
        }
        Ok(())
    }

    /// Runs one batch and hands each value of a group to `visit`.
    ///
    /// # Errors
    /// [`QuantizeError`] from the runtime.
    pub(super) fn show(
        &mut self,
        group: usize,
        batch: &Batch,
        mut visit: impl FnMut(&str, &[f32]),
    ) -> Result<(), QuantizeError> {
        if let Some(input) = self.input.as_ref().filter(|_| group == 0) {
            visit(input, batch.data());
        }
        let show = |name: &str, seen: Seen<'_>| {
            if let Seen::Floats(values) = seen {
                visit(name, values);
            }
        };
        Ok(self.probes[group].run(batch, show)?)
    }

    /// How many passes over the images it takes to see everything.
    pub(super) fn groups(&self) -> usize {
        self.probes.len()
    }
}

/// The distribution of each of `values` over `samples`.
///
/// # Errors
/// [`QuantizeError`], and [`QuantizeError::NotFinite`] where a value is infinite or no number.
pub(super) fn histograms(
    mut observer: Observer,
    values: &[&str],
    images: &ImagePreparation,
    samples: &[Sample],
    progress: &dyn Progress,
) -> Result<HashMap<String, Histogram>, QuantizeError> {
    let mut histograms: HashMap<String, Histogram> =
        values.iter().map(|&value| (value.to_owned(), Histogram::default())).collect();
    progress.begin("observing", samples.len() * observer.groups());
    observer.watch(images, samples, progress, |name, values| {
        if let Some(histogram) = histograms.get_mut(name) {
            histogram.add(values);
        }
    })?;
    progress.end();
    match histograms.iter().find(|(_, histogram)| histogram.not_finite() > 0 || histogram.extremes().is_none()) {
        Some((value, _)) => Err(QuantizeError::NotFinite { value: value.clone() }),
        None => Ok(histograms),
    }
}

const SHAPE: &str = "#shape";

fn with_outputs(model: &ModelProto, values: &[&str]) -> ModelProto {
    let mut graph = model.graph.clone().unwrap_or_default();
    graph.output = values.iter().map(|&value| untyped(value)).collect();
    ModelProto { graph: Some(graph), ..model.clone() }
}

/// With the shape of each of `values` as an output, instead of the value.
fn with_shapes(model: &ModelProto, values: &[&str]) -> ModelProto {
    let mut graph = model.graph.clone().unwrap_or_default();
    graph.output.clear();
    for &value in values {
        let output = format!("{value}{SHAPE}");
        graph.output.push(untyped(&output));
        graph.node.push(NodeProto {
            op_type: "Shape".into(),
            name: output.clone(),
            input: vec![value.into()],
            output: vec![output],
            ..NodeProto::default()
        });
    }
    ModelProto { graph: Some(graph), ..model.clone() }
}
