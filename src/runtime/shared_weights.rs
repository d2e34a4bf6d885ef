//! One copy of a network's weights for all of its sessions on the processor.
//!
//! ONNX Runtime brings weights into the order in which its convolutions read them, in each session anew: memory of its own that no
//! two sessions share, and most of the time that making one takes. Here it does so once and writes the result into a file that
//! nobody else can read; every session maps the weights from there and finds nothing left to do. The file goes as soon as they
//! are made, and the system keeps what is mapped.

use std::path::PathBuf;

use ort::logging::LogLevel;
use tempfile::TempDir;

use super::{GraphSource, LoadError, Runtime, SessionOptions, Stated};

/// ONNX Runtime's names for the file of the weights beside the graph that it writes, and for the smallest weight in it.
const WEIGHTS_FILE: &str = "session.optimized_model_external_initializers_file_name";
const SMALLEST_WEIGHT: &str = "session.optimized_model_external_initializers_min_size_in_bytes";

/// A graph as ONNX Runtime runs it on this processor, with weights that sessions map. It is to live until the last of them is made.
#[derive(Debug)]
pub struct SharedWeights {
    graph: PathBuf,
    /// Removed with this.
    _folder: TempDir,
}

impl SharedWeights {
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
        let unwritable = |cause: std::io::Error| {
            let folder = std::env::temp_dir();
            LoadError::Engine(format!("no folder in {}: {cause}; TMPDIR names another place", folder.display()))
        };
        let folder = tempfile::Builder::new().prefix("resnetd-weights-").tempdir().map_err(unwritable)?;
        let path = folder.path().join("model.onnx");
        let builder = self
            .builder(graph, options)?
            // That the file holds for this processor only is what it is for.
            .with_log_level(LogLevel::Error)?
            .with_optimized_model_path(&path)?
            .with_config_entry(WEIGHTS_FILE, "weights")?
            .with_config_entry(SMALLEST_WEIGHT, "1024")?;
        drop(Self::commit(builder, graph, options, &stated.exposed())?);
        Ok(SharedWeights { graph: path, _folder: folder })
    }
}
