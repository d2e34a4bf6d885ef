//! Runs networks. The only room that knows an inference engine.
//!
//! [`Executor`] is what the batching stage sees; [`OrtExecutor`] serves, a scripted one stands in for it in tests. `ort`
//! makes sessions.

mod binding;
mod caught;
mod class_output;
mod element;
mod engine;
mod executor;
mod fetch;
mod graph_tensor;
mod library;
mod ort;
mod output;
mod plugin;
mod probe;
mod processor;
mod profile;
mod quiet;
mod scratch;
pub mod scripted;
mod session_threads;
mod shared_object;
mod shared_weights;
mod side_by_side;
mod signature;
mod sizes;

use std::{fmt, path::Path};

use bytes::Bytes;

pub use caught::caught;
pub use class_output::OutputError;
pub use element::Element;
pub use engine::{Engine, Precision, PrecisionError, Provider};
pub use executor::OrtExecutor;
pub use graph_tensor::GraphTensor;
pub use library::{LIBRARY_VARIABLE, LibraryError};
pub use ort::{LoadError, Runtime, SessionOptions, build_info};
pub use plugin::{PLUGIN_VARIABLE, ProviderError};
pub use probe::{Probe, Seen};
pub use processor::{Processor, pairs_may_overflow};
pub use quiet::{behind_traffic, in_gaps, step_back, with_share};
pub use session_threads::sessions_behind_traffic;
pub use shared_weights::SharedWeights;
pub use side_by_side::side_by_side;
pub use signature::{InnerValue, Signature, SignatureError, Stated, check_size};

use crate::{
    onnx::{self, ModelProto},
    tensor::{Batch, FeatureMaps, Logits},
};

/// Where a graph comes from.
#[derive(Clone, Copy, Debug)]
pub enum GraphSource<'a> {
    /// A file on disk.
    File(&'a Path),
    /// Bytes in the binary.
    Memory(&'a [u8]),
    /// A file that ONNX Runtime has written for this processor: its sessions take it as it is. See [`SharedWeights`].
    Prepared(&'a Path),
}

impl<'a> GraphSource<'a> {
    /// Where the files are that it keeps weights in; `None` for what is no file.
    pub fn folder(self) -> Option<&'a Path> {
        match self {
            Self::File(path) | Self::Prepared(path) => {
                path.parent().map(|folder| if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
            }
            Self::Memory(_) => None,
        }
    }

    /// The graph as data, with its weights wherever they lie.
    ///
    /// # Errors
    /// [`onnx::ReadError`].
    pub fn read(self) -> Result<ModelProto, onnx::ReadError> {
        match self {
            Self::File(path) | Self::Prepared(path) => onnx::read(path),
            Self::Memory(bytes) => onnx::decode(Bytes::copy_from_slice(bytes)),
        }
    }
}

/// As messages call it.
impl fmt::Display for GraphSource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) | Self::Prepared(path) => write!(f, "{}", path.display()),
            Self::Memory(_) => f.write_str("the built-in model"),
        }
    }
}

impl<'a> From<&'a Path> for GraphSource<'a> {
    fn from(path: &'a Path) -> Self {
        Self::File(path)
    }
}

/// Runs one compiled network. Each worker thread owns one value; it is never shared.
pub trait Executor: Send + 'static {
    /// Runs a batch and writes what the network says, row `i` for image `i`.
    ///
    /// * `batch`: normalized images in the network's own layout, `1 <= N <= max_batch_size`
    /// * `logits`: replaced by `f32[N, K]`; its memory is reused between runs
    ///
    /// # Errors
    /// [`RunError::Shape`] if `batch` does not fit the graph's input; nothing was run.
    /// [`RunError::Engine`] if the engine failed; the executor stays usable.
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError>;

    /// The same, with the pooled values that the last layer reads, `f32[N, F]`, in `features`. For batches in which somebody asks
    /// for them.
    ///
    /// # Errors
    /// As [`Executor::run`], and [`RunError::Engine`] for a network that has none.
    fn run_with_features(
        &mut self,
        _batch: &Batch,
        _logits: &mut Logits,
        _features: &mut Logits,
    ) -> Result<(), RunError> {
        Err(RunError::Engine("the network gives no features".to_owned()))
    }

    /// The same, with the maps that are averaged before the last layer; with the features too, where somebody asks for them.
    ///
    /// # Errors
    /// As [`Executor::run`], and [`RunError::Engine`] for a network that has none.
    fn run_with_maps(
        &mut self,
        _batch: &Batch,
        _logits: &mut Logits,
        _features: Option<&mut Logits>,
        _maps: &mut FeatureMaps,
    ) -> Result<(), RunError> {
        Err(RunError::Engine("the network gives no maps".to_owned()))
    }

    /// Whether runs are the calling thread's own work, alone or among others, so that its place among all threads is theirs. A GPU's are not, and it keeps what
    /// it needs for runs by the thread.
    fn runs_on_its_caller(&self) -> bool {
        true
    }
}

/// Why a batch has no logits.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RunError {
    /// The batch does not fit the graph's input.
    #[error("a batch of shape {got:?} does not fit the network's input {expected}")]
    Shape {
        /// What was given.
        got: [usize; 4],
        /// What the graph declares, free dimensions as `?`.
        expected: String,
    },
    /// The engine failed.
    #[error("the engine failed: {0}")]
    Engine(String),
}

/// ONNX Runtime for the tests of this room; a process has one.
#[cfg(test)]
fn for_tests() -> Runtime {
    static RUNTIME: std::sync::OnceLock<Runtime> = std::sync::OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load().expect("`make runtime` fetches ONNX Runtime")).clone()
}
