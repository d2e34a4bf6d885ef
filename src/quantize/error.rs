//! Why there is no 8-bit model, whichever step found it out.

use super::{images::ImagesError, prepare::PrepareError};
use crate::{
    onnx::TensorError,
    runtime::{LoadError, RunError},
};

/// Why there is no 8-bit model.
#[derive(Debug, thiserror::Error)]
pub enum QuantizeError {
    /// The graph.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// Its weights.
    #[error(transparent)]
    Tensor(#[from] TensorError),
    /// The runtime refuses a graph.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The runtime fails.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The images.
    #[error(transparent)]
    Images(#[from] ImagesError),
    /// Nobody says how large the images are.
    #[error("the graph leaves the image size open and model.toml has crop_size = 0: set [input] crop_size")]
    OpenSize,
    /// A value inside the network is infinite or no number.
    #[error(
        "value {value:?} is infinite, no number or empty for some calibration image; check the model's weights and model.toml's [input]"
    )]
    NotFinite {
        /// Its name.
        value: String,
    },
    /// A layer that is to stay fp32 is not there.
    #[error("there is no layer {name:?} to keep in fp32; the layers with weights are {layers}")]
    UnknownLayer {
        /// What was asked for.
        name: String,
        /// What there is.
        layers: String,
    },
}
