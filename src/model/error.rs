//! Why a model cannot be served: each with what to mend.

use super::manifest::ManifestError;
use crate::{
    postprocess::LabelsError,
    runtime::{self, RunError},
    tensor::ColorOrder,
};

/// Why a model cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ModelError {
    /// Its settings.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Its graph.
    #[error("{graph}: {cause}")]
    Graph {
        /// The file.
        graph: String,
        /// Why it cannot be run.
        cause: runtime::LoadError,
    },
    /// Its labels.
    #[error(transparent)]
    Labels(#[from] LabelsError),
    /// Labels and classes do not match.
    #[error("the network has {classes} classes and {labels} labels are given: one label a line for each class")]
    LabelCount {
        /// What the network gives.
        classes: usize,
        /// What the file holds.
        labels: usize,
    },
    /// Images and graph do not match.
    #[error("the graph takes images of {height}x{width} and model.toml prepares {prepared}: set [input] {remedy}")]
    Size {
        /// The graph's.
        height: usize,
        /// The graph's.
        width: usize,
        /// What preprocessing gives.
        prepared: String,
        /// The key, and its value.
        remedy: String,
    },
    /// Nobody says how large the images are.
    #[error("the graph leaves the image size open and model.toml has crop_size = 0: set [input] crop_size")]
    OpenSize,
    /// `color` in model.toml is of three channels.
    #[error(
        "its graph takes images of one channel and model.toml says color = {said:?}: set [input] color = \"gray\", or remove it"
    )]
    OneChannel {
        /// The manifest's.
        said: ColorOrder,
    },
    /// Settings for floats, and a graph that takes whole numbers.
    #[error(
        "its graph takes whole numbers, and [input] scale, mean and std leave {levels} of the 256 levels of a pixel: remove them, \
         pixels are given as they are (for int8 less 128)"
    )]
    Levels {
        /// How many.
        levels: usize,
    },
    /// Its file cannot be read.
    #[error("cannot read {graph}: {cause}")]
    File {
        /// The file.
        graph: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Its sessions need more memory than there is.
    #[error(
        "{sessions} sessions with batches of {batch} images of {height}x{width} take {needed} at least, and {free} are free: \
         {remedy}"
    )]
    Memory {
        /// How many sessions.
        sessions: usize,
        /// The images of a run.
        batch: u64,
        /// Rows of an image.
        height: u64,
        /// Columns of an image.
        width: u64,
        /// What they take.
        needed: String,
        /// What there is.
        free: String,
        /// What to do.
        remedy: &'static str,
    },
    /// The network overflows, or its weights are damaged.
    #[error(
        "its answers to ordinary photos are not finite numbers (class {class} is {value}): check the weights, or set [runtime] \
         precision = \"fp32\" where it is another; a class that is masked needs a large negative number, not -inf"
    )]
    NotNumbers {
        /// The class.
        class: usize,
        /// What the network says of it.
        value: f32,
    },
    /// Its output has no columns.
    #[error("it gives no classes: its output is empty; export the graph with its last layer")]
    NoClasses,
    /// Its output is not a row for each image.
    #[error(
        "{images} images give {got} and not {images} x {classes}: export the graph with a free batch, or a batch of 1"
    )]
    Rows {
        /// The images of the run.
        images: usize,
        /// The classes of a single image.
        classes: usize,
        /// What came out.
        got: String,
    },
    /// The first run failed.
    #[error("the warm-up run failed: {0}")]
    WarmUp(#[from] RunError),
    /// There was nothing that could be measured.
    #[error("nothing could be measured: {reasons}")]
    Unmeasured {
        /// Each candidate and what was wrong with it.
        reasons: String,
    },
    /// The system gave no thread.
    #[error("cannot start the model's threads: {0}")]
    Threads(#[from] std::io::Error),
}
