//! From what somebody asked for, and what the tensors say, to one architecture.
//!
//! The order of precedence: a flag, then the tensors, then the framework that wrote the file.

use super::{
    architecture::{Architecture, IdentityPadding, MaxPool, Shortcut, Stem, StrideIn},
    detect::detect,
    name::ArchitectureNameError,
    preprocessing::Preprocessing,
    state_dict::StateDict,
    weights::WeightsError,
};

/// The framework whose reading of the paper the weights follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// torchvision, timm, Hugging Face: stride in the 3x3, padded max-pool, epsilon 1e-5, RGB.
    PyTorch,
    /// Chainer, from Caffe: stride in the first 1x1, ceil-mode max-pool, epsilon 2e-5, BGR.
    Chainer,
}

impl Variant {
    /// The word for it on the command line and in a model's metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PyTorch => "pytorch",
            Self::Chainer => "chainer",
        }
    }

    /// Sets what the framework decides.
    fn apply(self, architecture: &mut Architecture) {
        let (pool, stride_in, bn_epsilon) = match self {
            Self::PyTorch => (MaxPool::Padded, StrideIn::Conv3x3, 1e-5),
            Self::Chainer => (MaxPool::Ceil, StrideIn::Conv1x1, 2e-5),
        };
        if let Stem::ImageNet(_) = architecture.stem {
            architecture.stem = Stem::ImageNet(pool);
        }
        architecture.stride_in = stride_in;
        architecture.bn_epsilon = bn_epsilon;
    }

    /// How the framework prepares images for it.
    pub fn preprocessing(self, architecture: &Architecture) -> Preprocessing {
        match (self, architecture.stem) {
            (Self::Chainer, Stem::ImageNet(_)) => Preprocessing::caffe(architecture),
            _ => Preprocessing::torchvision(architecture),
        }
    }
}

/// What the caller says about a network; `None` leaves it to the tensors and the framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// `--stride-in`
    pub stride_in: Option<StrideIn>,
    /// `--shortcut`: `true` is the identity.
    pub identity: Option<bool>,
    /// `--identity-padding`
    pub identity_padding: Option<IdentityPadding>,
    /// `--classes`
    pub classes: Option<usize>,
    /// `--input-size`, in pixels.
    pub input_size: Option<usize>,
}

/// Why there is no architecture.
#[derive(Debug, thiserror::Error)]
pub enum ChoiceError {
    /// The name says none.
    #[error(transparent)]
    Name(#[from] ArchitectureNameError),
    /// The tensors say none.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Nothing to find an architecture in.
    #[error(
        "`auto` finds the architecture in the weights, and untrained ones have none: name it, for example resnet50"
    )]
    AutoUntrained,
    /// Two choices that exclude each other.
    #[error("an identity padding needs an identity shortcut; this network projects")]
    PaddingWithoutIdentity,
}

impl Choices {
    /// Settles the architecture called `name` (`auto`: that of the tensors) for these weights, `None` for untrained ones.
    ///
    /// # Errors
    /// [`ChoiceError`]. Whether every tensor fits is checked when the network is built.
    pub fn architecture(
        &self,
        name: &str,
        variant: Variant,
        weights: Option<&StateDict>,
    ) -> Result<Architecture, ChoiceError> {
        let mut architecture = match (name, weights) {
            ("auto", None) => return Err(ChoiceError::AutoUntrained),
            ("auto", Some(weights)) => detect(weights)?,
            (name, weights) => {
                let mut named: Architecture = name.parse()?;
                if weights.is_none() {
                    named.conv1_bias = variant == Variant::Chainer && matches!(named.stem, Stem::ImageNet(_));
                }
                // What the tensors say beyond the name; if they say nothing, the check will say what is missing.
                if let Some(found) = weights.and_then(|weights| detect(weights).ok()) {
                    named.classes = found.classes;
                    named.conv1_bias = found.conv1_bias;
                    named.shortcut = found.shortcut;
                }
                named
            }
        };
        variant.apply(&mut architecture);
        architecture.stride_in = self.stride_in.unwrap_or(architecture.stride_in);
        architecture.classes = self.classes.unwrap_or(architecture.classes);
        architecture.input_size = self.input_size.unwrap_or(architecture.input_size);
        architecture.shortcut = match (self.identity, self.identity_padding, architecture.shortcut) {
            (Some(false) | None, Some(_), Shortcut::Projection) | (Some(false), Some(_), _) => {
                return Err(ChoiceError::PaddingWithoutIdentity);
            }
            (Some(false), None, _) => Shortcut::Projection,
            (_, Some(padding), _) => Shortcut::Identity(padding),
            (Some(true), None, _) => Shortcut::Identity(IdentityPadding::Trailing),
            (None, None, found) => found,
        };
        architecture.validate()?;
        Ok(architecture)
    }
}
