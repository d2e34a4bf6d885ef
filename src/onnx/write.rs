//! Writing an ONNX file: piece by piece, and all or nothing.
//!
//! The weights are most of a file. They are encoded one tensor at a time straight into the file, so that writing takes
//! no second copy of them; and a reader sees the old file or the new one, never a part.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

use super::ModelProto;

/// Field numbers of the two messages that are written in pieces.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
/// What every protobuf implementation reads.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Why a model was not written. What was at the path before is still there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error("cannot write {}: {cause}; check that the folder exists, is writable and has room", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause; in the message, so no source of it.
        cause: io::Error,
    },
    /// The format cannot hold it.
    #[error("the model takes {bytes} bytes and an ONNX file holds at most {MAX_BYTES}; use fp16 weights")]
    TooLarge {
        /// The encoded size.
        bytes: u64,
    },
}

/// Writes `model` to `path`: into a new file in the same folder, flushed to the disk, then renamed over `path`.
///
/// # Errors
/// [`WriteError`]; `path` is untouched.
pub fn write(model: &ModelProto, path: &Path) -> Result<(), WriteError> {
    let bytes = model.encoded_len() as u64;
    if bytes > MAX_BYTES {
        return Err(WriteError::TooLarge { bytes });
    }
    write_atomically(path, |file| write_to(model, file))
        .map_err(|cause| WriteError::Io { path: path.to_owned(), cause })
}

/// Encodes `model` into `sink`, one tensor at a time.
///
/// # Errors
/// What `sink` says.
pub fn write_to(model: &ModelProto, sink: &mut dyn Write) -> io::Result<()> {
    consume(model.clone(), sink) // weights are shared, not copied
}

/// Encodes `model` into memory. Each tensor is given up once it is written, so that memory holds the weights once.
pub fn into_bytes(model: ModelProto) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(model.encoded_len());
    // A vector takes everything; there is nothing that could fail.
    consume(model, &mut bytes).unwrap_or_default();
    bytes
}

fn consume(mut shell: ModelProto, sink: &mut dyn Write) -> io::Result<()> {
    let graph = shell.graph.take();
    sink.write_all(&shell.encode_to_vec())?;
    let Some(mut graph) = graph else { return Ok(()) };

    let weights = std::mem::take(&mut graph.initializer);
    let nodes = graph.encode_to_vec();
    let weights_len: usize = weights
        .iter()
        .map(|tensor| tensor.encoded_len())
        .map(|len| key_len(GRAPH_INITIALIZER) + encoded_len_varint(len as u64) + len)
        .sum();
    sink.write_all(&header(MODEL_GRAPH, nodes.len() + weights_len))?;
    sink.write_all(&nodes)?;
    for tensor in weights {
        sink.write_all(&header(GRAPH_INITIALIZER, tensor.encoded_len()))?;
        sink.write_all(&tensor.encode_to_vec())?;
    }
    Ok(())
}

/// The key and length in front of a message of `len` bytes in field `number`.
fn header(number: u32, len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, WireType::LengthDelimited, &mut bytes);
    encode_varint(len as u64, &mut bytes);
    bytes
}

/// Puts what `content` writes at `path`, all or nothing.
///
/// # Errors
/// What the file system says; `path` is untouched.
pub fn write_atomically(path: &Path, content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    // A link stays one, and a file keeps its rights.
    let resolved = fs::canonicalize(path);
    let path = resolved.as_deref().unwrap_or(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    // For others to read too: `tempfile` alone would leave it to its owner. The umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut file = builder.prefix(".new-").tempfile_in(folder)?;
    if let Ok(there) = fs::metadata(path) {
        file.as_file().set_permissions(there.permissions())?;
    }
    content(file.as_file_mut())?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}
