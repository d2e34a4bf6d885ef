//! Writing an ONNX file: piece by piece, and all or nothing.
//!
//! The weights are most of a file. They are encoded one tensor at a time straight into the file, so that writing takes
//! no second copy of them; and a reader sees the old file or the new one, never a part.

use std::{
    io::{self, Write},
    path::Path,
};

use prost::{
    Message,
    encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len},
};

use super::ModelProto;
use crate::staging::{FileError, write_file};

/// Field numbers of the two messages that are written in pieces.
const MODEL_GRAPH: u32 = 7;
const GRAPH_INITIALIZER: u32 = 5;
/// What every protobuf implementation reads.
const MAX_BYTES: u64 = i32::MAX as u64;

/// Why a model was not written. What was at the path before is still there.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The file system refused.
    #[error(transparent)]
    File(#[from] FileError),
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
    Ok(write_file(path, |file| consume(model.clone(), file))?)
}

/// Encodes `model` into memory. Each tensor is given up once it is written, so that memory holds the weights once.
pub fn into_bytes(model: ModelProto) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(model.encoded_len());
    // A vector takes everything; there is nothing that could fail.
    consume(model, &mut bytes).unwrap_or_default();
    bytes
}

/// Encodes a model, whose weights it shares with others, into `sink`: one tensor at a time.
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
