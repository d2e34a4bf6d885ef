//! One copy of a network's weights for all of its sessions on the processor.
//!
//! ONNX Runtime brings weights into the order in which its convolutions read them, in each session anew: memory of its own that no
//! two sessions share, and most of the time that making one takes. Here it does so once and writes the result into a file that
//! nobody else can read; every session maps the weights from there and finds nothing left to do. The file goes as soon as they
//! are made, and the system keeps what is mapped.

use std::{
    io,
    path::{Path, PathBuf},
};

use ort::logging::LogLevel;
use tempfile::TempDir;

use super::{GraphSource, LoadError, Runtime, SessionOptions, Stated};

/// ONNX Runtime's names for the file of the weights beside the graph that it writes, for the smallest weight in it, and for writing the
/// weights of matrix products packed, too: each session would pack them for itself.
const WEIGHTS_FILE: &str = "session.optimized_model_external_initializers_file_name";
const SMALLEST_WEIGHT: &str = "session.optimized_model_external_initializers_min_size_in_bytes";
const PACKED_WEIGHTS: &str = "session.save_external_prepacked_constant_initializers";

/// A graph as ONNX Runtime runs it on this processor, with weights that sessions map. It is to live until the last of them is made.
#[derive(Debug)]
pub struct SharedWeights {
    graph: PathBuf,
    /// Removed with this.
    folder: TempDir,
}

impl SharedWeights {
    /// What its files are called: the graph and the weights.
    pub const FILES: [&str; 2] = ["model.onnx", "weights"];

    /// One that was prepared earlier, for the same graph, on the same processor, by the same ONNX Runtime.
    ///
    /// * `fill`: puts [`Self::FILES`] into the folder that it is given
    ///
    /// # Errors
    /// What `fill` says, or the system where it gives no folder.
    pub fn prepared_earlier(fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Self> {
        Self::prepared_in(&std::env::temp_dir(), fill)
    }

    /// The same in a folder inside `place`, rather than in that for temporary files.
    pub(crate) fn prepared_in(place: &Path, fill: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<Self> {
        let made = Self::empty_in(place)?;
        fill(made.folder())?;
        Ok(made)
    }

    fn empty_in(place: &Path) -> io::Result<Self> {
        // Of another kind than the cause: that a file is not there is told of what is to be copied.
        let unwritable = |cause: io::Error| {
            io::Error::other(format!("no folder in {}: {cause}; TMPDIR names another place", place.display()))
        };
        let folder = tempfile::Builder::new().prefix("resnetd-weights-").tempdir_in(place).map_err(unwritable)?;
        Ok(Self { graph: folder.path().join(Self::FILES[0]), folder })
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the sessions are to be made of.
    pub fn graph(&self) -> GraphSource<'_> {
        GraphSource::Prepared(&self.graph)
    }
}

impl Runtime {
    /// Prepares a graph for several sessions on the processor, in fp32.
    ///
    /// * `stated`: as in [`Runtime::executor_for`]; the same as for the sessions
    ///
    /// # Errors
    /// [`LoadError`], also where the folder for temporary files takes no file of the size of the weights.
    pub fn share_weights(&self, graph: GraphSource<'_>, stated: &Stated) -> Result<SharedWeights, LoadError> {
        let options = SessionOptions::reference(1, 1);
        let made =
            SharedWeights::empty_in(&std::env::temp_dir()).map_err(|cause| LoadError::Engine(cause.to_string()))?;
        let [_, weights] = SharedWeights::FILES;
        let builder = self
            .builder(graph, options)?
            // That the file holds for this processor only is what it is for.
            .with_log_level(LogLevel::Error)?
            .with_optimized_model_path(&made.graph)?
            .with_config_entry(WEIGHTS_FILE, weights)?
            .with_config_entry(SMALLEST_WEIGHT, "1024")?
            .with_config_entry(PACKED_WEIGHTS, "1")?;
        drop(Self::commit(builder, graph, options, &stated.exposed())?);
        Ok(made)
    }
}
