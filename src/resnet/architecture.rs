//! What a ResNet is, as numbers: everything that tells one network of the family from another.
//!
//! A pure description. [`Architecture::modules`] and [`Module::convs`] spell it out layer by layer, under torchvision's
//! names; the network builder, the untrained weights and the check of a state dict all read the same list.
//!
//! Section numbers are those of arXiv:1512.03385.

use std::fmt;

/// One network of the family.
#[derive(Clone, Debug, PartialEq)]
pub struct Architecture {
    /// What stands before the first module.
    pub stem: Stem,
    /// The kind of every module.
    pub block: Block,
    /// Modules of each stage.
    pub stages: Vec<usize>,
    /// Channels of the stem and of the first stage's 3x3 convolutions; each later stage has twice as many.
    pub width: usize,
    /// ResNeXt: groups of the 3x3 convolution of a bottleneck.
    pub groups: usize,
    /// ResNeXt and Wide-ResNet: channels a group where a plain bottleneck has 64.
    pub width_per_group: usize,
    /// Which convolution of a halving bottleneck has the stride.
    pub stride_in: StrideIn,
    /// What goes around a module that changes the shape.
    pub shortcut: Shortcut,
    /// Outputs of the last layer, `K`.
    pub classes: usize,
    /// Height and width of the image that it was trained for, in pixels.
    pub input_size: usize,
    /// What batch normalisation adds to a variance.
    pub bn_epsilon: f64,
    /// Whether the first convolution has a bias (Chainer's files, from Caffe).
    pub conv1_bias: bool,
}

/// The layers before the first module.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stem {
    /// 7x7/2 convolution and 3x3/2 max-pool (section 3.4).
    ImageNet(MaxPool),
    /// 3x3/1 convolution (section 4.2).
    Cifar,
}

/// How the stem's max-pool treats the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxPool {
    /// PyTorch: one place around the image, windows that fit.
    Padded,
    /// Chainer and Caffe: no padding, the last window may lie partly outside.
    Ceil,
}

/// The residual module (figure 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// 3x3, 3x3.
    Basic,
    /// 1x1, 3x3, 1x1 with four times the channels out.
    Bottleneck,
}

/// Where a halving bottleneck has its stride.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrideIn {
    /// PyTorch, Chainer with `downsample_fb=True`; "ResNet v1.5".
    Conv3x3,
    /// The paper, Caffe, Chainer's default.
    Conv1x1,
}

/// The shortcut of a module that changes the shape (section 3.3, equation 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortcut {
    /// Option B: a 1x1 convolution and batch normalisation.
    Projection,
    /// Option A: every second pixel, and channels of zeros.
    Identity(IdentityPadding),
}

/// Where the identity shortcut puts its zero channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdentityPadding {
    /// All behind the old channels.
    Trailing,
    /// Half in front of them, half behind.
    Centered,
}

/// One convolution with its batch normalisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvBn {
    /// The convolution's name: `layer1.0.conv1`.
    pub name: String,
    /// The batch normalisation's name: `layer1.0.bn1`.
    pub bn: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Height and width of the kernel; the padding keeps the size: `kernel / 2`.
    pub kernel: usize,
    /// Pixels from one place to the next.
    pub stride: usize,
    /// Groups of channels.
    pub groups: usize,
    /// Whether it has a bias of its own.
    pub bias: bool,
}

/// One residual module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// `layer1.0`.
    pub name: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels between its convolutions.
    pub inner: usize,
    /// Channels out.
    pub outputs: usize,
    /// 2 in the first module of every stage but the first.
    pub stride: usize,
}

impl Block {
    /// Channels out for each channel of the stage's width.
    pub fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }

    /// Convolutions of a module.
    pub fn depth(self) -> usize {
        match self {
            Self::Basic => 2,
            Self::Bottleneck => 3,
        }
    }
}

impl Architecture {
    /// An ImageNet network (table 1) as torchvision builds it.
    pub fn imagenet(block: Block, stages: &[usize]) -> Self {
        Self {
            stem: Stem::ImageNet(MaxPool::Padded),
            block,
            stages: stages.to_vec(),
            width: 64,
            groups: 1,
            width_per_group: 64,
            stride_in: StrideIn::Conv3x3,
            shortcut: Shortcut::Projection,
            classes: 1000,
            input_size: 224,
            bn_epsilon: 1e-5,
            conv1_bias: false,
        }
    }

    /// A CIFAR network (section 4.2) of three stages of `modules` basic modules, with the paper's identity shortcuts.
    pub fn cifar(modules: usize) -> Self {
        Self {
            stem: Stem::Cifar,
            width: 16,
            shortcut: Shortcut::Identity(IdentityPadding::Trailing),
            classes: 10,
            input_size: 32,
            ..Self::imagenet(Block::Basic, &[modules; 3])
        }
    }

    /// Weighted layers on the longest way: the number in the network's name.
    pub fn depth(&self) -> usize {
        self.stages.iter().sum::<usize>() * self.block.depth() + 2
    }

    /// The first convolution.
    pub fn conv1(&self) -> ConvBn {
        let (kernel, stride) = match self.stem {
            Stem::ImageNet(_) => (7, 2),
            Stem::Cifar => (3, 1),
        };
        ConvBn {
            name: "conv1".into(),
            bn: "bn1".into(),
            inputs: 3,
            outputs: self.width,
            kernel,
            stride,
            groups: 1,
            bias: self.conv1_bias,
        }
    }

    /// All modules, in order.
    pub fn modules(&self) -> Vec<Module> {
        let mut modules = Vec::new();
        let mut inputs = self.width;
        for (stage, &count) in self.stages.iter().enumerate() {
            let planes = self.width << stage;
            let inner = match self.block {
                Block::Basic => planes,
                Block::Bottleneck => planes * self.width_per_group / 64 * self.groups,
            };
            let outputs = planes * self.block.expansion();
            for index in 0..count {
                let stride = if stage > 0 && index == 0 { 2 } else { 1 };
                modules.push(Module { name: format!("layer{}.{index}", stage + 1), inputs, inner, outputs, stride });
                inputs = outputs;
            }
        }
        modules
    }

    /// Channels of the last stage: what global average pooling gives, and the last layer takes.
    pub fn features(&self) -> usize {
        (self.width << self.stages.len().saturating_sub(1)) * self.block.expansion()
    }

    /// The number of values in all tensors. A float, because an architecture that was asked for can have any size.
    pub fn parameters(&self) -> f64 {
        let size = |shape: &Vec<usize>| shape.iter().map(|&dim| dim as f64).product::<f64>();
        self.tensors().iter().map(|(_, shape)| size(shape)).sum()
    }

    /// Every tensor that the network has, by torchvision's name, with its shape.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let mut tensors = self.conv1().tensors();
        for module in self.modules() {
            tensors.extend(module.convs(self).iter().chain(&module.projection(self)).flat_map(ConvBn::tensors));
        }
        tensors.push(("fc.weight".into(), vec![self.classes, self.features()]));
        tensors.push(("fc.bias".into(), vec![self.classes]));
        tensors
    }
}

impl Module {
    /// The convolutions of the residual branch, in order.
    pub fn convs(&self, architecture: &Architecture) -> Vec<ConvBn> {
        let conv = |index: usize, inputs, outputs, kernel, stride, groups| ConvBn {
            name: format!("{}.conv{index}", self.name),
            bn: format!("{}.bn{index}", self.name),
            inputs,
            outputs,
            kernel,
            stride,
            groups,
            bias: false,
        };
        match architecture.block {
            Block::Basic => {
                vec![conv(1, self.inputs, self.inner, 3, self.stride, 1), conv(2, self.inner, self.outputs, 3, 1, 1)]
            }
            Block::Bottleneck => {
                let (stride_1x1, stride_3x3) = match architecture.stride_in {
                    StrideIn::Conv1x1 => (self.stride, 1),
                    StrideIn::Conv3x3 => (1, self.stride),
                };
                vec![
                    conv(1, self.inputs, self.inner, 1, stride_1x1, 1),
                    conv(2, self.inner, self.inner, 3, stride_3x3, architecture.groups),
                    conv(3, self.inner, self.outputs, 1, 1, 1),
                ]
            }
        }
    }

    /// The convolution of the shortcut, where there is one.
    pub fn projection(&self, architecture: &Architecture) -> Option<ConvBn> {
        (self.changes_shape() && architecture.shortcut == Shortcut::Projection).then(|| ConvBn {
            name: format!("{}.downsample.0", self.name),
            bn: format!("{}.downsample.1", self.name),
            inputs: self.inputs,
            outputs: self.outputs,
            kernel: 1,
            stride: self.stride,
            groups: 1,
            bias: false,
        })
    }

    /// Whether what comes out has another shape than what goes in.
    pub fn changes_shape(&self) -> bool {
        self.stride != 1 || self.inputs != self.outputs
    }
}

impl ConvBn {
    /// Its tensors and those of its batch normalisation.
    pub fn tensors(&self) -> Vec<(String, Vec<usize>)> {
        let per_channel = |name: String| (name, vec![self.outputs]);
        let kernel = vec![self.outputs, self.inputs / self.groups, self.kernel, self.kernel];
        let mut tensors = vec![(format!("{}.weight", self.name), kernel)];
        if self.bias {
            tensors.push(per_channel(format!("{}.bias", self.name)));
        }
        let parameters = ["weight", "bias", "running_mean", "running_var"];
        tensors.extend(parameters.map(|parameter| per_channel(format!("{}.{parameter}", self.bn))));
        tensors
    }
}

impl fmt::Display for StrideIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Conv3x3 => "3x3",
            Self::Conv1x1 => "1x1",
        })
    }
}

impl fmt::Display for Shortcut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Projection => "projection",
            Self::Identity(IdentityPadding::Trailing) => "identity, trailing zero channels",
            Self::Identity(IdentityPadding::Centered) => "identity, centered zero channels",
        })
    }
}
