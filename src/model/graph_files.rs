//! A graph's file and the files beside it that hold its weights, before anything is loaded: what is in them, what tells
//! them from others, and how large they are together.

use std::{
    io::{self, Read},
    path::Path,
};

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::ModelError;
use crate::{
    files,
    onnx::{self, ModelProto, ReadError, check_external},
    runtime::GraphSource,
};

/// What is known of a graph's files.
pub(super) struct GraphFiles {
    /// The graph; weights in other files stay there, and were found to be in the model's folder.
    pub(super) model: Result<ModelProto, ReadError>,
    /// SHA-256 of everything, hexadecimal.
    pub(super) digest: String,
    /// The size of everything.
    pub(super) bytes: u64,
}

impl GraphFiles {
    /// Reads the graph.
    ///
    /// # Errors
    /// [`ModelError::File`] where that is not possible, [`ModelError::Graph`] for a file that is too large.
    pub(super) fn of(graph: GraphSource<'_>) -> Result<Self, ModelError> {
        let bytes = match graph {
            GraphSource::Memory(bytes) => Bytes::copy_from_slice(bytes),
            GraphSource::File(path) | GraphSource::Prepared(path) => {
                let unread = |error| match error {
                    ReadError::Io { path, source } => {
                        ModelError::File { graph: path.display().to_string(), cause: source }
                    }
                    other => ModelError::Graph { graph: path.display().to_string(), cause: other.into() },
                };
                onnx::read_bytes(path).map_err(unread)?
            }
        };
        let mut all = Contents { bytes: bytes.len() as u64, digest: Sha256::new_with_prefix(&bytes) };
        let folder = graph.folder();
        let model = onnx::decode(bytes);
        if let (Ok(model), Some(folder)) = (&model, folder) {
            for location in onnx::external_locations(model) {
                all.add(folder, location);
            }
        }
        let model = model.and_then(|model| check_external(&model, folder).map(|()| model));
        Ok(Self { model, digest: files::hex(&all.digest.finalize()), bytes: all.bytes })
    }
}

/// SHA-256 of the graph at `path` and of the weights in files beside it, hexadecimal: what measurements are kept under.
/// Empty, and so kept by nobody, where it cannot be read.
pub fn graph_digest(path: &Path) -> String {
    GraphFiles::of(GraphSource::File(path)).map(|files| files.digest).unwrap_or_default()
}

struct Contents {
    bytes: u64,
    digest: Sha256,
}

impl Contents {
    /// Adds a file of weights. One that is not there, or lies outside the folder, is refused when the graph is loaded.
    fn add(&mut self, folder: &Path, location: &str) {
        // The name and length too, so that no two sets of files read the same.
        self.digest.update((location.len() as u64).to_le_bytes());
        self.digest.update(location);
        let read = self.read(folder, Path::new(location)).unwrap_or(0);
        self.digest.update(read.to_le_bytes());
        self.bytes = self.bytes.saturating_add(read);
    }

    fn read(&mut self, folder: &Path, location: &Path) -> io::Result<u64> {
        let mut file = files::open(&files::inside(folder, location)?)?;
        let mut piece = vec![0; 1 << 20];
        let mut bytes = 0;
        loop {
            match file.read(&mut piece)? {
                0 => return Ok(bytes),
                count => {
                    self.digest.update(&piece[..count]);
                    bytes += count as u64;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::PathBuf};

    use super::*;
    use crate::onnx::{DataType, GraphBuilder, StringStringEntryProto, TensorProto, value_info};

    /// A graph that keeps its weights in `weights.bin`.
    fn graph_with_weights(folder: &Path, weights: &[u8]) -> PathBuf {
        let mut graph = GraphBuilder::new("net");
        let x = graph.input(value_info("x", DataType::Float, &[2]));
        let entry = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
        graph.initializer(TensorProto {
            name: "w".to_owned(),
            dims: vec![weights.len() as i64 / 4],
            data_type: DataType::Float.into(),
            data_location: 1,
            external_data: vec![
                entry("location", "weights.bin".to_owned()),
                entry("length", weights.len().to_string()),
            ],
            ..TensorProto::default()
        });
        let y = graph.relu("y", &x);
        graph.output(&y, value_info("y", DataType::Float, &[2]));
        let path = folder.join("model.onnx");
        fs::write(&path, onnx::into_bytes(graph.finish(8, 17, &[]))).unwrap();
        fs::write(folder.join("weights.bin"), weights).unwrap();
        path
    }

    #[test]
    fn weights_in_another_file_count_as_weights() {
        let folder = tempfile::tempdir().unwrap();
        let path = graph_with_weights(folder.path(), &[0; 4000]);
        let whole = GraphFiles::of(GraphSource::File(&path)).unwrap();
        assert_eq!(whole.bytes, fs::metadata(&path).unwrap().len() + 4000);

        fs::write(folder.path().join("weights.bin"), [1; 4000]).unwrap();
        let others = GraphFiles::of(GraphSource::File(&path)).unwrap();
        assert_ne!(others.digest, whole.digest, "the same graph with other weights is another model");
        fs::write(folder.path().join("weights.bin"), [0; 4000]).unwrap();
        assert_eq!(graph_digest(&path), whole.digest);
    }

    #[test]
    fn a_graph_without_other_files_is_told_by_its_own_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        fs::write(&path, "no graph").unwrap();
        assert_eq!(graph_digest(&path), crate::tune::cache::digest(b"no graph"));
        assert_eq!(GraphFiles::of(GraphSource::Memory(b"no graph")).unwrap().digest, graph_digest(&path));
    }
}
