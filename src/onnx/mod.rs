//! The ONNX file as data: read it, walk it, edit it, write it.
//!
//! [`read()`] and [`write`](write()) move whole files, [`Walk`] answers who makes and who reads a value, [`GraphBuilder`]
//! makes nodes and weights. Weight bytes are [`bytes::Bytes`]: cloning a model does not copy them.
//!
//! Knows the format, and how a file appears whole: no ResNet, no inference engine.

mod attribute;
mod constant;
mod edit;
mod ending;
mod external;
mod fold;
mod fp16;
mod free_size;
mod names;
mod read;
mod read_error;
mod structure;
mod tensor;
mod unrounded;
mod upgrade;
mod walk;
mod write;

pub use constant::Constant;
pub use edit::{ConvShape, GraphBuilder, PoolShape, expose, fix_batch, shapeless, untyped, value_info, with_outputs};
pub use ending::Ending;
pub use external::{check_external, external_locations};
pub use fold::BatchNormalization;
pub use fp16::{Fp16Error, to_fp16};
pub use free_size::free_size;
pub use read::{decode, read, read_bytes, read_graph};
pub use read_error::{LARGEST_FILE, ReadError};
pub use structure::structure;
pub use tensor::{TensorError, f32_values, float_tensor, half_tensor, i64_values, int_tensor, tensor_len};
pub use unrounded::without_rounding;
pub use upgrade::{UPGRADED_OPSET, UpgradeError, upgrade};
pub use walk::{CycleError, Walk};
pub use write::{WriteError, into_bytes, write};

pub use proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto, attribute_proto::AttributeType, tensor_proto::DataType,
    tensor_shape_proto, type_proto,
};

/// The messages of `proto/onnx/onnx.proto`, generated.
pub mod proto {
    #![allow(missing_docs, unreachable_pub, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/onnx.rs"));
}
