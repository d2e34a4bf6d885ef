//! The workshop: the ResNet family of arXiv:1512.03385 and its implementations, from weights to ONNX.
//!
//! Meets the server only on disk: it writes a model's folder, and the server reads it.
//!
//! [`architecture`] says what a network is, [`network`] makes its ONNX graph from a [`state_dict`], [`build()`] writes
//! the model's folder.

pub mod architecture;
mod build;
mod fold;
pub mod hub;
pub mod import;
mod name;
mod network;
mod preprocessing;
pub mod state_dict;
mod weights;

pub use build::{BuildError, Recipe, Written, build};
pub use name::ArchitectureNameError;
pub use network::{Options, Precision, network};
pub use preprocessing::Preprocessing;
pub use weights::{Mismatch, WeightsError, check};
