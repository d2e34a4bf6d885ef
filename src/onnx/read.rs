//! Reading an ONNX file, with its weights wherever they lie.
//!
//! A file can be anything that somebody downloaded: every size in it is checked against what is there.

use std::{
    io,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use prost::Message;

use super::{ModelProto, external::load_external};
use crate::files;

/// The most bytes that an ONNX file can have: protobuf's limit. Larger weights lie in files beside it.
pub const LARGEST_FILE: u64 = (1 << 31) - 1;

/// What a file begins with that Git LFS left in the place of the real one.
pub(super) const LFS_POINTER: &[u8; 40] = b"version https://git-lfs.github.com/spec/";

/// Why there is no model.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system refused.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// No protobuf is that large.
    #[error(
        "cannot read {}: it is larger than {LARGEST_FILE} bytes, the most that an ONNX file can have; save it with its weights \
         in a file beside it (onnx.save with save_as_external_data=True)", path.display()
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// The file was not fetched.
    #[error("this is a Git LFS pointer, not the model{}: run `git lfs pull` where it was cloned, and copy it again", .size.as_deref().map(|size| format!(" ({size} bytes)")).unwrap_or_default())]
    LfsPointer {
        /// Of the real file, as the pointer says it.
        size: Option<String>,
    },
    /// The bytes are no protobuf message of this kind.
    #[error("this is no ONNX file, or it is cut short or damaged ({reason}); get it again or export it again")]
    Corrupt {
        /// What was wrong, and where.
        reason: String,
    },
    /// The weights are in another file that cannot be used.
    #[error("tensor {tensor:?} keeps its values in {location:?}: {reason}")]
    External {
        /// The tensor.
        tensor: String,
        /// The file that it names.
        location: String,
        /// Why that did not work.
        reason: String,
    },
}

/// Reads the model at `path`, and the weights that it keeps in files beside it.
///
/// # Errors
/// [`ReadError`]; a weight file outside the model's own folder is refused.
pub fn read(path: &Path) -> Result<ModelProto, ReadError> {
    let mut model = read_graph(path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    load_external(&mut model, folder)?;
    Ok(model)
}

/// Reads the model at `path` and leaves weights that it keeps in other files there, marked as external.
///
/// # Errors
/// [`ReadError`].
pub fn read_graph(path: &Path) -> Result<ModelProto, ReadError> {
    decode(read_bytes(path)?)
}

/// Reads the file at `path`, whatever is in it.
///
/// # Errors
/// [`ReadError::Io`] and [`ReadError::TooLarge`].
pub fn read_bytes(path: &Path) -> Result<Bytes, ReadError> {
    match files::read(path, LARGEST_FILE) {
        Ok(bytes) => Ok(Bytes::from(bytes)),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Err(ReadError::TooLarge { path: path.to_owned() }),
        Err(source) => Err(ReadError::Io { path: path.to_owned(), source }),
    }
}

/// Decodes a model. Weights stay slices of `bytes`; those in other files stay there, marked as external.
///
/// # Errors
/// [`ReadError::Corrupt`], and [`ReadError::LfsPointer`].
pub fn decode(bytes: Bytes) -> Result<ModelProto, ReadError> {
    if bytes.starts_with(LFS_POINTER) {
        let text = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]);
        let size = text.lines().find_map(|line| line.strip_prefix("size ")).filter(|size| size.parse::<u64>().is_ok());
        return Err(ReadError::LfsPointer { size: size.map(str::to_owned) });
    }
    let model = ModelProto::decode(bytes).map_err(|cause| ReadError::Corrupt { reason: cause.to_string() })?;
    // Protobuf messages carry no signature, so an empty or foreign file may decode to a message without content.
    let has_nodes = model.graph.as_ref().is_some_and(|graph| !graph.node.is_empty());
    if model.ir_version <= 0 || !has_nodes {
        return Err(ReadError::Corrupt { reason: "it has no graph".into() });
    }
    Ok(model)
}
