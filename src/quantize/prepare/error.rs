//! Why a graph cannot be quantized, each with what to start from instead.

use crate::onnx::{TensorError, UpgradeError};

/// Why a graph cannot be quantized.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// It has 8-bit arithmetic.
    #[error(
        "it is quantized already (node {node:?}, {op_type}); start from the fp32 version that it was made from (--version)"
    )]
    Quantized {
        /// The node that gives it away.
        node: String,
        /// What it is.
        op_type: String,
    },
    /// It has no convolution.
    #[error("it is no ResNet: it has no convolution with constant weights, so 8 bits gain nothing")]
    NoConvolution,
    /// The weights are 16-bit.
    #[error(
        "its weights are {found} (tensor {tensor:?}); quantize the version with fp32 weights that it was made from"
    )]
    Weights {
        /// The tensor.
        tensor: String,
        /// Its element type.
        found: &'static str,
    },
    /// The operators are too old to be read as those that 8 bits need.
    #[error(transparent)]
    Upgrade(#[from] UpgradeError),
    /// A weight cannot be read.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}
