//! A ResNet taken apart: its parts in order, what each of them weighs, and its modules opened. Plain data, for a drawing.

use serde::Serialize;

/// The parts of a recognised network, from the image to the classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Anatomy {
    /// The convolutions before the first module, in order.
    pub stem: Vec<OpenedConv>,
    /// Height and width of what comes out of each of them.
    pub stem_sizes: Vec<Option<[usize; 2]>>,
    /// What the stem weighs.
    pub stem_weight: PartWeight,
    /// As `ResNet::stages` has them.
    pub stages: Vec<OpenedStage>,
    /// What follows the last module.
    pub head: OpenedHead,
}

/// What one stretch of a network weighs. All stretches together weigh what the network does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartWeight {
    /// Numbers in weights, biases, and scales and offsets of normalisation.
    pub parameters: u64,
    /// Multiplications with additions for one image; `None` where a size could not be inferred.
    pub macs: Option<u64>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenedStage {
    /// All its modules.
    pub weight: PartWeight,
    /// In order; those that are alike and stand behind each other are one.
    pub modules: Vec<OpenedModule>,
}

/// One residual module, and how many of its like stand behind each other.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OpenedModule {
    /// At least 1.
    pub count: usize,
    /// Of the longer branch, in order.
    pub convolutions: Vec<OpenedConv>,
    /// What goes around it.
    pub shortcut: OpenedShortcut,
    /// What else stands in the longer branch: attention, an activation that is no ReLU.
    pub extras: Vec<String>,
    /// Normalisation and activation stand before the first convolution.
    pub pre_activation: bool,
}

/// One convolution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenedConv {
    /// Height and width.
    pub kernel: [usize; 2],
    /// By height and width.
    pub stride: [usize; 2],
    /// 1 where neighbours are read.
    pub dilation: [usize; 2],
    /// Top, left, bottom, right.
    pub padding: [i64; 4],
    /// 1 where every output reads every input.
    pub groups: usize,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
}

impl OpenedConv {
    /// Whether it makes the image smaller.
    pub fn is_strided(&self) -> bool {
        self.stride != [1, 1]
    }

    /// What no convolution of the paper has, in a word or two.
    pub fn oddity(&self) -> Option<&'static str> {
        let [top, left, bottom, right] = self.padding;
        if self.dilation != [1, 1] {
            Some("dilated")
        } else if (top, left) != (bottom, right) {
            Some("padded unevenly")
        } else if self.kernel == [3, 3] && self.padding == [0; 4] {
            Some("not padded")
        } else {
            None
        }
    }
}

/// The shorter way around a module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum OpenedShortcut {
    /// Nothing is done.
    Identity,
    /// A convolution, after a pool where `pooled`.
    Projection {
        /// Height and width.
        kernel: [usize; 2],
        /// By height and width.
        stride: [usize; 2],
        /// An average of neighbours comes before it.
        pooled: bool,
    },
    /// No weights: every n-th pixel, or an average where `pooled`, and zero channels where the number of channels grows.
    Padded {
        /// In front and behind; `None` where the graph computes how many, or there are none.
        channels: Option<[usize; 2]>,
        /// Whether channels are added.
        widens: bool,
        /// An average of neighbours in place of every n-th pixel.
        pooled: bool,
    },
    /// Something that no ResNet does.
    Other,
}

/// What follows the last module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct OpenedHead {
    /// The mean over the whole image.
    pub pooled: bool,
    /// Fully connected layers.
    pub linears: usize,
    /// Probabilities come out.
    pub softmax: bool,
    /// All of it.
    pub weight: PartWeight,
}
