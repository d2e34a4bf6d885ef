//! `resnetd`: a server that classifies images with ResNet models in ONNX Runtime.

pub mod batching;
pub mod cli;
pub mod config;
pub mod evaluate;
pub mod files;
pub mod heap;
pub mod inspect;
pub mod lifecycle;
pub mod loadgen;
pub mod model;
pub mod onnx;
pub mod page;
pub mod postprocess;
pub mod preprocess;
pub mod quantize;
pub mod resnet;
pub mod runtime;
pub mod server;
pub mod service;
pub mod settings;
pub mod staging;
pub mod store;
pub mod telemetry;
pub mod tensor;
pub mod tls;
pub mod tune;
