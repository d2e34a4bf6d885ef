//! The Open Inference Protocol, version 2, as far as both doors speak it: datatypes, the input, outputs, what is told of a model.
//!
//! The doors turn their bytes into these words and these words into bytes: `http::v2` and `grpc::inference`.
//!
//! Knows the service. Must not know a door, JSON or protobuf.

mod config;
mod datatype;
mod elements;
mod input;
mod metadata;
mod output;
mod repository;
mod schedule;
mod version;

pub(super) use config::{ConfigFormat, ModelConfig};
pub(super) use datatype::{BYTES, Datatype, name_of};
pub(super) use input::{InputData, InputTensor, only_input};
pub(super) use metadata::{EXTENSIONS, ModelMetadata, NAME, RepositoryEntry, TensorMetadata, VERSION, index};
pub(super) use output::{Column, OutputTensor, Requested, RequestedOutput};
pub(super) use repository::check_load;
pub(super) use schedule::Schedule;
pub(super) use version::pick;
