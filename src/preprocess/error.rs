//! Why an image was refused. Each kind is the sender's fault; the doors give them their wire status.

use super::format::Format;

/// An image that cannot become pixels.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No bytes at all.
    #[error("the image is empty (0 bytes): send the content of an image file")]
    Empty,
    /// The bytes start like none of the formats that are read.
    #[error("not an image format that is read here: {found}; {remedy}")]
    UnsupportedFormat {
        /// What the bytes look like, in words.
        found: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The header claims more pixels than are allowed; nothing was decoded and no memory was taken.
    #[error("the image is too large: {width}x{height} pixels, at most {limit} are allowed; send it scaled down")]
    TooLarge {
        /// Width in pixels: of the image, or of what resizing would make of it.
        width: u64,
        /// Height in pixels.
        height: u64,
        /// The limit, in pixels.
        limit: u64,
    },
    /// The file is damaged, truncated, or uses a part of its format that is not read.
    #[error("the {format} image cannot be decoded: {cause}; check that the file is complete and opens in a viewer")]
    Corrupt {
        /// The format that the first bytes announce.
        format: Format,
        /// What the decoder found.
        cause: String,
    },
}

impl DecodeError {
    pub(super) fn corrupt(format: Format, cause: impl std::fmt::Display) -> Self {
        Self::Corrupt { format, cause: cause.to_string() }
    }
}
