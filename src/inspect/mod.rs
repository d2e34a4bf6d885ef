//! Which ResNet a graph is, whoever exported it.
//!
//! [`inspect`] reads the graph's structure and the shapes of its weights, never their values, and believes no names:
//!
//! `onnx` ─▶ shapes (`values`) ─▶ the layers that matter (`layers`) ─▶ residual modules (`modules`) ─▶ stem, stages,
//! head (`family`) ─▶ [`Inspection`]
//!
//! Takes milliseconds for a ResNet-152 and linear time for anything; the server does it for every model that it loads.
//! Knows the ONNX format. Must not know how networks are built or run.

mod anatomy;
mod class_map;
mod compare;
mod facts;
mod family;
mod features;
mod layer;
mod layers;
mod modules;
mod name;
mod numbers;
mod operators;
mod padding;
mod parts;
mod report;
mod shape;
mod stem;
mod values;
mod window;
mod words;

use std::{
    collections::{BTreeMap, HashMap},
    path::Path,
};

use crate::{
    onnx::{CycleError, Ending, GraphProto, ModelProto, ReadError, Walk, read_graph},
    tensor::Layout,
};
pub use anatomy::{Anatomy, OpenedConv, OpenedHead, OpenedModule, OpenedShortcut, OpenedStage, PartWeight};
pub use class_map::LastLayer;
pub use compare::{Difference, differences};
use layers::Layers;
pub use report::{
    BatchNorm, Block, GraphOutput, ImageInput, Inspection, ResNet, Shortcut, Stage, Stem, StemKind, StrideIn,
};
use values::Values;
pub use words::{FactRow, grouped, rows};

/// Pixels along each side of the image where the graph leaves the size free.
const ASSUMED_SIZE: usize = 224;
/// The same for a network with a CIFAR stem.
const ASSUMED_CIFAR_SIZE: usize = 32;
/// What is no ResNet is called so.
const UNKNOWN: &str = "unknown";

/// Why a file cannot be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// Its graph cannot be run by anyone.
    #[error(transparent)]
    Cycle(#[from] CycleError),
}

/// Reads the file at `path` and inspects its graph. Weights in files beside it are not needed.
///
/// # Errors
/// [`InspectError`].
pub fn inspect_file(path: &Path) -> Result<Inspection, InspectError> {
    Ok(inspect(&read_graph(path)?)?)
}

/// Inspects a graph. What is no ResNet is described too: [`Inspection::no_resnet`] says why.
///
/// # Errors
/// [`CycleError`]: there is no order in which its nodes could run.
pub fn inspect(model: &ModelProto) -> Result<Inspection, CycleError> {
    let empty = GraphProto::default();
    let walk = Walk::new(model.graph.as_ref().unwrap_or(&empty));
    let order = walk.topological_order()?;
    let inspection = inspect_at(model, &walk, &order, ASSUMED_SIZE);
    let cifar = inspection.resnet.as_ref().is_some_and(|resnet| resnet.stem.kind == StemKind::Cifar);
    if cifar && inspection.input.as_ref().is_some_and(|input| input.size_assumed) {
        return Ok(inspect_at(model, &walk, &order, ASSUMED_CIFAR_SIZE));
    }
    Ok(inspection)
}

impl Inspection {
    /// The architecture's name; `unknown` for what is no ResNet.
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// Says that a model called `name` is another network than its name claims; `None` where the name claims nothing or
    /// is right.
    pub fn contradiction(&self, name: &str) -> Option<String> {
        name::contradiction(name, &self.architecture)
    }
}

fn inspect_at(model: &ModelProto, walk: &Walk<'_>, order: &[usize], assumed_size: usize) -> Inspection {
    let input = facts::image_input(walk, assumed_size);
    let shapes = input.iter().filter_map(|image| {
        let info = walk.inputs().find(|info| info.name == image.name)?;
        Some((info.name.as_str(), image.shape()))
    });
    let values = Values::infer(walk, order, shapes.collect::<HashMap<_, _>>());
    let channels_last = input.as_ref().is_some_and(|image| image.layout == Layout::Nhwc);
    let layers = Layers::of(walk, order, &values, channels_last);
    let operators = operators::counted(walk);
    let graph = walk.graph();
    let ends: Vec<usize> = graph.output.iter().filter_map(|output| layers.of_value(&output.name)).collect();

    let mut unusual = file_oddities(model, walk, &layers, input.as_ref());
    let (batch_norm, biased_before) = facts::batch_norm(&layers, &operators);
    for norm in ["InstanceNormalization", "GroupNormalization", "LayerNormalization"] {
        if let Some(count) = operators.get(norm) {
            unusual.push(format!("{count} {norm} where batch normalisation is expected"));
        }
    }
    if layers.products > 0 {
        unusual
            .push(format!("{} batch normalisations are written as Mul and Add (TensorFlow, Caffe)", layers.products));
    }
    if biased_before > 0 {
        unusual
            .push(format!("{biased_before} convolutions have a bias before their batch normalisation (Keras, Caffe)"));
    }
    let sums = modules::find(&layers);
    let mut anatomy = None;
    let (architecture, resnet, no_resnet, softmax) = match family::recognise(&layers, &sums, &values, &ends) {
        Ok(found) => {
            unusual.splice(0..0, found.unusual);
            anatomy = parts::taken_apart(walk, &values, &layers, &sums.modules, &found.resnet, &found.head);
            (found.architecture, Some(found.resnet), None, found.head.softmax)
        }
        Err(reason) => {
            let softmax = ends.iter().any(|&end| matches!(layers.all[end].kind, layer::Kind::Softmax));
            (UNKNOWN.to_owned(), None, Some(reason), softmax)
        }
    };
    if let Some(said) = model.metadata("architecture").filter(|said| *said != architecture) {
        unusual.push(format!("the file says architecture = {said}, its graph is {architecture}"));
    }

    Inspection {
        architecture,
        resnet,
        anatomy,
        no_resnet,
        softmax,
        outputs: graph
            .output
            .iter()
            .map(|output| GraphOutput {
                name: output.name.clone(),
                shape: values.shape(&output.name).map(<[usize]>::to_vec),
                ends_in: match Ending::of(walk, &output.name) {
                    Ending::Softmax => Some("softmax"),
                    Ending::LogSoftmax => Some("log-softmax"),
                    Ending::Sigmoid => Some("sigmoid"),
                    Ending::Logits | Ending::Unknown => None,
                },
                features: features::features(walk, &layers, &values, &output.name),
                last_layer: class_map::last_layer(walk, &values, &output.name),
            })
            .collect(),
        parameters: facts::parameters(walk, &values, &layers),
        macs: facts::macs(walk, &values),
        largest_value: facts::largest_value(walk, &values, input.as_ref().and_then(|image| image.batch)),
        batch_norm,
        precision: facts::precision(walk, &values),
        opset: model.opset(),
        other_opsets: model
            .opset_import
            .iter()
            .filter(|set| !matches!(set.domain.as_str(), "" | "ai.onnx"))
            .map(|set| (set.domain.clone(), set.version))
            .collect(),
        ir_version: model.ir_version,
        producer: format!("{} {}", model.producer_name, model.producer_version).trim().to_owned(),
        metadata: model
            .metadata_props
            .iter()
            .map(|entry| (entry.key.clone(), entry.value.clone()))
            .collect::<BTreeMap<_, _>>(),
        operators,
        input,
        unusual,
    }
}

/// What is unusual about the file and its input, whatever the network.
fn file_oddities(model: &ModelProto, walk: &Walk<'_>, layers: &Layers<'_>, input: Option<&ImageInput>) -> Vec<String> {
    let mut unusual = Vec::new();
    let inputs = walk.inputs().count();
    if inputs != 1 {
        unusual.push(format!("the graph has {inputs} inputs, not 1"));
    }
    if let Some(image) = input {
        if let Some(batch) = image.batch {
            unusual.push(format!("the batch is fixed at {batch}: requests cannot be run together"));
        }
        if image.size_assumed {
            unusual.push(format!(
                "the graph leaves the image size free; {}x{} is assumed here",
                image.height, image.width
            ));
        }
        if image.channels != 3 {
            unusual.push(format!("the image has {} channels, not 3", image.channels));
        }
        if image.element != "float32" {
            unusual.push(format!("the input is {}, not float32", image.element));
        }
    }
    if !layers.input_arithmetic.is_empty() {
        unusual.push(format!("the graph itself normalises pixels: {}", layers.input_arithmetic.join(", ")));
    }
    let outputs = walk.graph().output.len();
    if outputs != 1 {
        unusual.push(format!("the graph has {outputs} outputs, not 1"));
    }
    if layers.transposes > 1 {
        unusual.push(format!("{} Transposes move the data about", layers.transposes));
    }
    if !model.functions.is_empty() {
        unusual.push(format!(
            "{} functions of its own, which are not looked into: inline them (onnx.inliner) and inspect again",
            model.functions.len()
        ));
    }
    unusual
}
