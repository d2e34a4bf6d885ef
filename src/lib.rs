//! `resnetd`: a server that classifies images with ResNet models in ONNX Runtime.

pub mod onnx;
pub mod preprocess;
pub mod resnet;
pub mod runtime;
pub mod service;
pub mod tensor;
