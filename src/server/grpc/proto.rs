//! The messages, servers and clients that are generated from `proto/resnetd/v1`.
#![allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all)]

tonic::include_proto!("resnetd.v1");
include!(concat!(env!("OUT_DIR"), "/clients/resnetd.v1.rs"));
