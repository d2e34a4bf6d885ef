//! The messages, servers and clients that are generated from `proto/resnetd/v1`, `proto/inference` and `proto/tensorflow`.
#![allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]

tonic::include_proto!("resnetd.v1");
include!(concat!(env!("OUT_DIR"), "/clients/resnetd.v1.rs"));

/// The Open Inference Protocol.
pub mod inference {
    pub use crate::server::grpc::contents::InferTensorContents;

    tonic::include_proto!("inference");
    include!(concat!(env!("OUT_DIR"), "/clients/inference.rs"));
}

/// Tensors and examples of TensorFlow.
pub mod tensorflow {
    pub use crate::server::grpc::tensor_proto::{FloatList, Int64List, TensorProto};

    tonic::include_proto!("tensorflow");

    /// Its error codes.
    pub mod error {
        tonic::include_proto!("tensorflow.error");
    }

    /// TensorFlow Serving.
    pub mod serving {
        tonic::include_proto!("tensorflow.serving");
        include!(concat!(env!("OUT_DIR"), "/clients/tensorflow.serving.rs"));
    }
}
