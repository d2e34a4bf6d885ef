//! TensorFlow Serving's API, as far as both doors speak it: signatures, types of numbers, features, states of versions.
//!
//! The doors turn their bytes into these words and these words into bytes: `http::v1` and `grpc::prediction`.
//!
//! Knows the service. Must not know a door, JSON or protobuf.

mod data_type;
mod feature;
mod signature;
mod state;

pub(super) use data_type::name_of;
pub(super) use feature::{CONTEXT_TOP_K, is_picture, no_picture, picture};
pub(super) use signature::{ServingSignature, SignatureEntry, SignatureTensor, signatures};
pub(super) use state::{VersionStatus, states};
