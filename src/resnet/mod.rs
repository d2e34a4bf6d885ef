//! The workshop: the ResNet family of arXiv:1512.03385 and its implementations, from weights to ONNX.
//!
//! Meets the server only on disk: it writes a model's folder, and the server reads it.
//!
//! [`architecture`] says what a network is, [`network()`] makes its ONNX graph from a [`state_dict`], [`build()`] writes
//! the model's folder.

pub mod architecture;
mod build;
mod choices;
mod detect;
mod error;
mod fold;
pub mod hub;
pub mod import;
mod name;
mod network;
mod preprocessing;
pub mod state_dict;
mod untrained;
mod weights;

/// ImageNet's 1,000 classes, `WordNet-id<TAB>name` a line, in the order of every ImageNet network's outputs.
pub const IMAGENET_LABELS: &str = include_str!("labels/imagenet1k.tsv");

pub use build::{BuildError, Recipe, Written, build};
use choices::CAFFE2_EPSILON;
pub use choices::{ChoiceError, Choices, Variant};
pub use detect::detect;
pub use error::{Mismatch, WeightsError};
pub use name::ArchitectureNameError;
pub use network::{GraphOptions, GraphPrecision, network};
pub use preprocessing::Preprocessing;
pub use untrained::untrained;
pub use weights::check;
