//! Reading an ONNX file, with its weights wherever they lie.
//!
//! A file can be anything that somebody downloaded: every size in it is checked against what is there.

use std::{io, path::Path};

use bytes::Bytes;
use prost::Message;

use super::{
    ModelProto,
    external::load_external,
    read_error::{LARGEST_FILE, LFS_POINTER, ReadError},
};
use crate::files;

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
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            Err(ReadError::TooLarge { bytes: path.metadata().map_or(0, |file| file.len()) })
        }
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
