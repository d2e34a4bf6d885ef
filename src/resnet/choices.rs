//! Settles one architecture from what the user asked for and what the tensors tell.
//!
//! The order of precedence: a flag, then the tensors, then the framework that wrote the file.

use super::{
    architecture::{Architecture, IdentityPadding, MaxPool, Shortcut, Stem, StrideIn},
    detect::detect,
    error::WeightsError,
    name::ArchitectureNameError,
    preprocessing::Preprocessing,
    state_dict::StateDict,
};

/// The framework whose reading of the paper the weights follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// torchvision, timm, Hugging Face: stride in the 3x3, padded max-pool, epsilon 1e-5, RGB.
    PyTorch,
    /// Chainer, from Caffe: stride in the first 1x1, ceil-mode max-pool, epsilon 2e-5, BGR.
    Chainer,
    /// Caffe2 and Detectron: stride in the first 1x1, padded max-pool, epsilon 1e-5, BGR.
    Caffe2,
    /// Keras, from Caffe: stride in the first 1x1, padded max-pool, epsilon 1.001e-5, BGR.
    Keras,
}

/// The epsilon of Caffe2's batch normalization.
pub(super) const CAFFE2_EPSILON: f64 = 1e-5;

impl Variant {
    /// The word for it on the command line and in a model's metadata.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::PyTorch => "pytorch",
            Self::Chainer => "chainer",
            Self::Caffe2 => "caffe2",
            Self::Keras => "keras",
        }
    }

    /// Sets what the framework decides.
    fn apply(self, architecture: &mut Architecture) {
        let (pool, stride_in, bn_epsilon) = match self {
            Self::PyTorch => (MaxPool::Padded, StrideIn::Conv3x3, 1e-5),
            Self::Chainer => (MaxPool::Ceil, StrideIn::Conv1x1, 2e-5),
            Self::Caffe2 => (MaxPool::Padded, StrideIn::Conv1x1, CAFFE2_EPSILON),
            Self::Keras => (MaxPool::Padded, StrideIn::Conv1x1, 1.001e-5),
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
            (Self::Caffe2, Stem::ImageNet(_)) => Preprocessing::caffe2(architecture),
            (Self::Keras, Stem::ImageNet(_)) => Preprocessing::keras(architecture),
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
    /// The name is of no architecture.
    #[error(transparent)]
    Name(#[from] ArchitectureNameError),
    /// The tensors are of no architecture.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// `auto` without weights in which an architecture could be found.
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
                // Details that the name leaves open are taken from the tensors. If these tell nothing, the later check
                // lists what is missing.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resnet::untrained;

    #[test]
    fn chainer_form_is_its_own_until_a_flag_says_otherwise() {
        let chainer = Choices::default().architecture("resnet50", Variant::Chainer, None).unwrap();
        assert_eq!(chainer.stem, Stem::ImageNet(MaxPool::Ceil));
        assert_eq!((chainer.stride_in, chainer.conv1_bias), (StrideIn::Conv1x1, true));
        assert_eq!(Variant::Chainer.preprocessing(&chainer).color, "bgr");

        let facebook = Choices { stride_in: Some(StrideIn::Conv3x3), ..Choices::default() };
        let facebook = facebook.architecture("resnet50", Variant::Chainer, None).unwrap();
        assert_eq!(facebook, Architecture { stride_in: StrideIn::Conv3x3, ..chainer });
    }

    #[test]
    fn caffe2_and_keras_have_the_stride_of_the_paper_and_epsilons_and_pixels_of_their_own() {
        for (variant, epsilon, mean, mode) in [
            (Variant::Caffe2, 1e-5, [102.9801, 115.9465, 122.7717], "shorter_side"),
            (Variant::Keras, 1.001e-5, [103.939, 116.779, 123.68], "stretch"),
        ] {
            let found = Choices::default().architecture("resnet50", variant, None).unwrap();
            assert_eq!(found.stem, Stem::ImageNet(MaxPool::Padded), "{variant:?}");
            assert_eq!((found.stride_in, found.bn_epsilon), (StrideIn::Conv1x1, epsilon), "{variant:?}");
            let pixels = variant.preprocessing(&found);
            assert_eq!((&*pixels.color, pixels.scale, pixels.mean), ("bgr", Some(1.0), mean), "{variant:?}");
            assert_eq!(pixels.resize_mode, mode, "{variant:?}");
        }
    }

    #[test]
    fn tensors_say_what_the_name_leaves_open() {
        let trained = Architecture {
            classes: 7,
            shortcut: Shortcut::Identity(IdentityPadding::Trailing),
            ..Architecture::imagenet(super::super::architecture::Block::Basic, &[1, 1])
        };
        let weights = untrained(&trained, 1);
        for name in ["auto", "resnet[1,1]-basic"] {
            let found = Choices::default().architecture(name, Variant::PyTorch, Some(&weights)).unwrap();
            assert_eq!(found, trained, "{name}");
        }
    }

    #[test]
    fn flags_say_more_than_the_tensors() {
        let weights = untrained(&"resnet20-cifar".parse().unwrap(), 1);
        let centered = Choices { identity_padding: Some(IdentityPadding::Centered), ..Choices::default() };
        let found = centered.architecture("auto", Variant::PyTorch, Some(&weights)).unwrap();
        assert_eq!(found.shortcut, Shortcut::Identity(IdentityPadding::Centered));
    }

    #[test]
    fn choices_that_make_no_network_are_refused() {
        let padding = Some(IdentityPadding::Centered);
        for (choices, name, expected) in [
            (Choices::default(), "auto", "untrained"),
            (Choices::default(), "alexnet", "names no architecture"),
            (Choices { identity_padding: padding, ..Choices::default() }, "resnet50", "this network projects"),
            (
                Choices { identity: Some(false), identity_padding: padding, ..Choices::default() },
                "resnet20-cifar",
                "needs an identity shortcut",
            ),
            (Choices { classes: Some(0), ..Choices::default() }, "resnet50", "not 0"),
            (Choices { input_size: Some(7), ..Choices::default() }, "resnet50", "not 7"),
        ] {
            let error = choices.architecture(name, Variant::PyTorch, None).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
