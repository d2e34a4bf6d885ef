//! The workshop: the ResNet family of arXiv:1512.03385 and its implementations, from weights to ONNX.
//!
//! Meets the server only on disk: it writes a model's folder, and the server reads it.

pub mod import;
pub mod state_dict;
