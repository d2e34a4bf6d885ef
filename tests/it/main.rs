//! The integration tests: one binary, one file a behaviour.

mod build_model;
mod onnx_file;
