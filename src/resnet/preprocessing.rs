//! How images are prepared for a network: the `[input]` of the `model.toml` that is written beside it.

use std::fmt;

use super::architecture::{Architecture, Stem};

/// What the training framework did to an image before the network saw it; the words are `model.toml`'s.
#[derive(Clone, Debug, PartialEq)]
pub struct Preprocessing {
    /// Where these numbers come from, for the reader of `model.toml`; one line.
    pub source: String,
    /// In pixels.
    pub resize_size: usize,
    /// In pixels.
    pub crop_size: usize,
    /// `shorter_side` or `stretch`.
    pub resize_mode: String,
    /// `bilinear`, `bicubic` or `nearest`.
    pub interpolation: String,
    /// `rgb` or `bgr`.
    pub color: String,
    /// What a pixel 0-255 is multiplied by; `None` is 1/255.
    pub scale: Option<f64>,
    /// In the order of `color`.
    pub mean: [f64; 3],
    /// In the order of `color`.
    pub std: [f64; 3],
}

impl Preprocessing {
    /// torchvision's: the shorter side to 256 of 224, the centre, ImageNet's mean and standard deviation. The CIFAR
    /// networks take the image whole.
    pub fn torchvision(architecture: &Architecture) -> Self {
        let size = architecture.input_size;
        let (source, resize_size) = match architecture.stem {
            Stem::ImageNet(_) => ("torchvision's evaluation of ImageNet", (size * 256 + 112) / 224),
            Stem::Cifar => ("CIFAR as trained here: the whole image, ImageNet's mean and standard deviation", size),
        };
        Self {
            source: source.into(),
            resize_size,
            crop_size: size,
            resize_mode: "shorter_side".into(),
            interpolation: "bilinear".into(),
            color: "rgb".into(),
            scale: None,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        }
    }

    /// Caffe's, as Chainer has it: blue first, 0-255, the mean pixel of the paper's ImageNet models.
    pub fn caffe(architecture: &Architecture) -> Self {
        Self {
            source: "Caffe's, as in Chainer's ResNet layers: BGR, 0-255, minus the mean pixel".into(),
            color: "bgr".into(),
            scale: Some(1.0),
            mean: [103.063, 115.903, 123.152],
            std: [1.0, 1.0, 1.0],
            ..Self::torchvision(architecture)
        }
    }

    /// Caffe2's, as Detectron has it: as Caffe's, with the mean pixel that its models were trained with.
    pub fn caffe2(architecture: &Architecture) -> Self {
        Self {
            source: "Caffe2's, as in Detectron's models: BGR, 0-255, minus the mean pixel".into(),
            mean: [102.9801, 115.9465, 122.7717],
            ..Self::caffe(architecture)
        }
    }

    /// Keras', as its page shows it for `ResNet50`: stretched to the nearest pixel, then as Caffe's, with a mean pixel of its own.
    pub fn keras(architecture: &Architecture) -> Self {
        Self {
            source: "Keras', as its preprocess_input has it (preset keras-caffe): BGR, 0-255, minus the mean pixel"
                .into(),
            resize_size: architecture.input_size,
            resize_mode: "stretch".into(),
            interpolation: "nearest".into(),
            mean: [103.939, 116.779, 123.68],
            ..Self::caffe(architecture)
        }
    }
}

/// The `[input]` section.
impl fmt::Display for Preprocessing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "# {}", self.source.replace('\n', " "))?;
        writeln!(f, "[input]")?;
        writeln!(f, "resize_size = {}", self.resize_size)?;
        writeln!(f, "crop_size = {}", self.crop_size)?;
        writeln!(f, "resize_mode = {:?}", self.resize_mode)?;
        writeln!(f, "interpolation = {:?}", self.interpolation)?;
        writeln!(f, "color = {:?}", self.color)?;
        if let Some(scale) = self.scale {
            writeln!(f, "scale = {scale:?}")?;
        }
        writeln!(f, "mean = {:?}", self.mean)?;
        writeln!(f, "std = {:?}", self.std)
    }
}
