//! One layer of a network: what it does, the same for every exporter.
//!
//! Words only: `layers` reads them from a graph, `modules` and `family` look for patterns among them.

use super::window::Window;

/// One layer. Its inputs are layers before it.
pub(super) struct Layer<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) inputs: Vec<usize>,
    /// The node's name, or what it makes.
    pub(super) name: &'a str,
    /// The value that comes out, after what was joined to the layer.
    pub(super) value: &'a str,
}

/// What a layer does.
#[derive(Clone, Debug)]
pub(super) enum Kind<'a> {
    Input,
    Conv(Conv),
    /// Normalisation that is not joined to a convolution.
    Norm,
    Activation(&'a str),
    MaxPool(Window),
    AveragePool(Window),
    /// The mean over the whole image.
    GlobalPool,
    /// Every n-th row and column.
    Subsample,
    /// Zeros around the image: top, left, bottom, right. Joined to what follows where that has padding of its own.
    PadImage([i64; 4]),
    /// Zero channels before and behind; `None` where the graph computes how many.
    PadChannels(Option<[usize; 2]>),
    /// A product of the value with something computed from it; the operators of that something.
    Gate(Vec<&'a str>),
    Linear {
        classes: Option<usize>,
    },
    Softmax,
    /// A sum of two.
    Add,
    /// Anything else.
    Other(&'a str),
}

impl<'a> Kind<'a> {
    /// The kind as one word, as ONNX names its operators.
    pub(super) fn word(&self) -> &'a str {
        match self {
            Kind::Input => "Input",
            Kind::Conv(_) => "Conv",
            Kind::Norm => "Normalization",
            Kind::MaxPool(_) => "MaxPool",
            Kind::AveragePool(_) => "AveragePool",
            Kind::GlobalPool => "GlobalAveragePool",
            Kind::Subsample => "Slice",
            Kind::PadImage(_) | Kind::PadChannels(_) => "Pad",
            Kind::Gate(_) => "Mul",
            Kind::Linear { .. } => "Gemm",
            Kind::Softmax => "Softmax",
            Kind::Add => "Add",
            Kind::Activation(op) | Kind::Other(op) => op,
        }
    }
}

/// A convolution with what was joined to it.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    pub(super) inputs: usize,
    pub(super) outputs: usize,
    pub(super) groups: usize,
    pub(super) window: Window,
    pub(super) bias: bool,
    pub(super) norm: bool,
}
