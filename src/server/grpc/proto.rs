//! The messages, servers and clients that are generated from `proto/resnetd/v1` and `proto/inference`.
#![allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]

tonic::include_proto!("resnetd.v1");
include!(concat!(env!("OUT_DIR"), "/clients/resnetd.v1.rs"));

/// The Open Inference Protocol.
pub mod inference {
    pub use crate::server::grpc::contents::InferTensorContents;

    tonic::include_proto!("inference");
    include!(concat!(env!("OUT_DIR"), "/clients/inference.rs"));
}
