//! What cannot be converted to fp16: each with the name of the tensor or node, and what to do.

use crate::onnx::{TensorError, UpgradeError};

/// Why a network cannot be converted.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fp16Error {
    /// A weight is outside fp16's range.
    #[error("tensor {tensor:?} holds {}, beyond fp16's 65504", short(*value))]
    Overflow {
        /// The tensor.
        tensor: String,
        /// The number in it that is farthest off.
        value: f32,
    },
    /// Nothing of a tensor would be left.
    #[error("tensor {tensor:?} holds nothing larger than {value:e}, which is 0 in fp16")]
    Underflow {
        /// The tensor.
        tensor: String,
        /// Its largest number.
        value: f32,
    },
    /// Its arithmetic is int8.
    #[error("the network is quantized (node {node:?} is {op_type}): it computes in int8, not in fp16")]
    Quantized {
        /// The first such node.
        node: String,
        /// Its operator.
        op_type: String,
    },
    /// The types of an operator are not known here.
    #[error("node {node:?} is {op_type}, which is not known to have an fp16 form")]
    Operator {
        /// The node.
        node: String,
        /// Its operator, with the domain where that is not ONNX's own.
        op_type: String,
    },
    /// A node reckons with sizes in floating point, where fp16 miscounts beyond 2048.
    #[error("node {node:?} casts a size to a float, which fp16 cannot count exactly")]
    Size {
        /// The Cast.
        node: String,
    },
    /// The file has functions of its own.
    #[error("the file defines operators of its own ({name:?}); export it with functions inlined")]
    Function {
        /// The first one.
        name: String,
    },
    /// Its operators are too old.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// A number is of a type that is neither fp32 nor an integer.
    #[error("{name:?} is {found}; only fp32 is converted")]
    Type {
        /// The tensor or node.
        name: String,
        /// Its type.
        found: String,
    },
    /// The graph does not say what comes out.
    #[error("output {output:?} has no declared type; export the network again")]
    Untyped {
        /// The output.
        output: String,
    },
    /// A weight's values cannot be had.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// As people write it: the largest have 39 digits otherwise.
fn short(value: f32) -> String {
    if value.abs() < 1e9 { value.to_string() } else { format!("{value:e}") }
}
