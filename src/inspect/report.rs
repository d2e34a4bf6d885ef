//! What an inspection says: plain data, for JSON and for a table.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::anatomy::Anatomy;
use super::class_map::LastLayer;
use crate::tensor::Layout;

/// What a graph is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Inspection {
    /// `resnet50`, `resnext50_32x4d`, `resnet20-cifar`, `resnet[3,4,6,3]-basic-w32`; `resnet50v2` with pre-activation,
    /// `resnet50d` with a deep stem; `unknown` for what is no ResNet.
    pub architecture: String,
    /// What makes it that ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resnet: Option<ResNet>,
    /// The same taken apart: what its parts weigh, its modules opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub anatomy: Option<Anatomy>,
    /// Why it is no ResNet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_resnet: Option<String>,
    /// The image that goes in; `None` where the graph has no input.
    pub input: Option<ImageInput>,
    /// What comes out.
    pub outputs: Vec<GraphOutput>,
    /// Whether probabilities come out, not logits.
    pub softmax: bool,
    /// Numbers in weights, biases, and scales and offsets of normalisation (not running means and variances). A file
    /// with folded batch normalisation has fewer than the network that was trained.
    pub parameters: u64,
    /// Multiplications with additions of convolutions and matrix products, for one image of the input's size; `None`
    /// where a size could not be inferred.
    pub macs: Option<u64>,
    /// Numbers in the largest of the values that are computed on the way, for one image of the input's size; 0 where no
    /// size could be inferred. For reckoning with memory.
    #[serde(skip)]
    pub largest_value: u64,
    /// Where batch normalisation went.
    pub batch_norm: BatchNorm,
    /// `fp32`, `fp16`, `bf16`, `int8 QDQ`, `int8 QOperator`, `int8 dynamic`; several with how many layers have them.
    pub precision: String,
    /// The version of ONNX's own operators.
    pub opset: Option<i64>,
    /// Operator sets of others, with their versions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub other_opsets: BTreeMap<String, i64>,
    /// The version of the file format.
    pub ir_version: i64,
    /// The program that wrote the file, and its version.
    pub producer: String,
    /// What the file says about itself (source, licence, untrained).
    pub metadata: BTreeMap<String, String>,
    /// How often each operator stands in the graph.
    pub operators: BTreeMap<String, usize>,
    /// What differs from what the architecture's name leads one to expect, a sentence each.
    pub unusual: Vec<String>,
}

/// What tells one ResNet from another.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ResNet {
    /// Weighted layers on the longest way.
    pub depth: usize,
    /// The kind of all modules.
    pub block: Block,
    /// Whether normalisation and ReLU stand before the convolutions (version 2, arXiv:1603.05027).
    pub pre_activation: bool,
    /// What stands before the first module.
    pub stem: Stem,
    /// In order.
    pub stages: Vec<Stage>,
    /// Groups of the 3x3 convolution of a bottleneck.
    pub groups: usize,
    /// Channels a group where a plain bottleneck has 64.
    pub width_per_group: usize,
    /// Which convolution of a halving bottleneck has the stride.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stride_in: Option<StrideIn>,
    /// What goes around a module that changes the number of channels.
    pub shortcut: Shortcut,
    /// Outputs of the last layer; `None` where there is no classifier.
    pub classes: Option<usize>,
}

/// The kind of a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// 3x3, 3x3.
    Basic,
    /// 1x1, 3x3, 1x1.
    Bottleneck,
}

impl Block {
    /// Channels out for each channel of the module's width.
    pub(super) fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// Where a halving bottleneck has its stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum StrideIn {
    /// torchvision, timm.
    #[serde(rename = "3x3")]
    Conv3x3,
    /// The paper, Caffe, Keras.
    #[serde(rename = "1x1")]
    Conv1x1,
    /// Not the same everywhere.
    #[serde(rename = "mixed")]
    Mixed,
}

/// What goes around a module that changes the shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shortcut {
    /// A 1x1 convolution (option B of the paper).
    Projection,
    /// Every second pixel and zero channels (option A), all of them behind.
    IdentityTrailing,
    /// Half of the zero channels in front.
    IdentityCentered,
    /// Zero channels, placed where the graph computes.
    Identity,
    /// No module changes the number of channels.
    None,
    /// Several kinds.
    Mixed,
}

/// The layers before the first module.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stem {
    /// Which of the known ones.
    pub kind: StemKind,
    /// `7x7/2`, in order.
    pub convolutions: Vec<String>,
    /// Channels that the first module gets.
    pub channels: usize,
    /// `3x3/2, padded (PyTorch)`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
}

/// Stems that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StemKind {
    /// 7x7/2 and a 3x3/2 max-pool.
    ImageNet,
    /// 3x3/1.
    Cifar,
    /// Three 3x3, the first /2, and a max-pool (ResNet-C and -D).
    Deep,
    /// Another.
    Other,
}

/// Modules of one width.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stage {
    /// How many.
    pub modules: usize,
    /// Channels out.
    pub channels: usize,
    /// Channels of the 3x3 convolutions.
    pub inner_channels: usize,
    /// Pixels from one place of its output to the next, in places of its input.
    pub stride: usize,
    /// Height and width of its output.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<[usize; 2]>,
}

/// The graph's image input.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ImageInput {
    /// Its name in the graph.
    pub name: String,
    /// `nchw` or `nhwc`.
    pub layout: Layout,
    /// `float32`, `uint8`.
    pub element: String,
    /// The fixed number of images; `None` where it is free.
    pub batch: Option<usize>,
    /// 3 for colour.
    pub channels: usize,
    /// In pixels.
    pub height: usize,
    /// In pixels.
    pub width: usize,
    /// Whether the graph leaves the size free, and the one here was assumed.
    pub size_assumed: bool,
}

/// An output of the graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphOutput {
    /// Its name in the graph.
    pub name: String,
    /// For one image, or a batch of the fixed size; `None` where it could not be inferred.
    pub shape: Option<Vec<usize>>,
    /// What it ends in: `softmax`, `log-softmax`, `sigmoid`; absent for logits, and where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_in: Option<&'static str>,
    /// The value that the last layer before it reads: pooled, a row for each image. Else why there is none, as the end of a
    /// sentence.
    #[serde(skip)]
    pub features: Result<String, String>,
    /// Where it ends in a mean over the picture and one layer of weights, that layer and what is averaged. Else why it does not,
    /// as the end of a sentence.
    #[serde(skip)]
    pub last_layer: Result<LastLayer, String>,
}

/// Where batch normalisation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BatchNorm {
    /// In the convolutions' weights and biases.
    Folded,
    /// In nodes of its own, BatchNormalization or Mul and Add.
    Kept,
    /// Some folded, some kept.
    Mixed,
    /// There are no such nodes, and no biases into which it could have been folded.
    None,
}

/// One line for a log: `resnet50: stride in 3x3, shortcut projection, …`.
impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.architecture)?;
        if let Some(reason) = &self.no_resnet {
            write!(f, " (no ResNet: {reason})")?;
        }
        if let Some(resnet) = &self.resnet {
            let modules: Vec<usize> = resnet.stages.iter().map(|stage| stage.modules).collect();
            write!(f, ": {} modules {modules:?}, shortcut {}", resnet.block, resnet.shortcut)?;
            if let Some(stride_in) = resnet.stride_in {
                write!(f, ", stride in {stride_in}")?;
            }
        }
        write!(f, ", {:.2} M parameters", self.parameters as f64 / 1e6)?;
        if let Some(macs) = self.macs {
            write!(f, ", {:.2} G MACs", macs as f64 / 1e9)?;
        }
        write!(f, ", {}, batch norm {}", self.precision, self.batch_norm)?;
        if let Some(opset) = self.opset {
            write!(f, ", opset {opset}")?;
        }
        if !self.unusual.is_empty() {
            write!(f, "; unusual: {}", self.unusual.join("; "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Basic => "basic",
            Self::Bottleneck => "bottleneck",
        })
    }
}

impl fmt::Display for StrideIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conv3x3 => "3x3",
            Self::Conv1x1 => "1x1",
            Self::Mixed => "several places",
        })
    }
}

impl fmt::Display for Shortcut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Projection => "projection",
            Self::IdentityTrailing => "identity, trailing zero channels",
            Self::IdentityCentered => "identity, centered zero channels",
            Self::Identity => "identity, zero channels",
            Self::None => "identity: no module changes the number of channels",
            Self::Mixed => "mixed",
        })
    }
}

impl fmt::Display for BatchNorm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folded => "folded",
            Self::Kept => "kept",
            Self::Mixed => "partly folded",
            Self::None => "none",
        })
    }
}
