//! Why there is no model in a file, each with what to do.

use std::{io, path::PathBuf};

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
        "the file has {bytes} bytes, and the limit of an ONNX file is {LARGEST_FILE}: save it with its weights in a file beside it \
         (onnx.save with save_as_external_data=True)"
    )]
    TooLarge {
        /// Its size.
        bytes: u64,
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
