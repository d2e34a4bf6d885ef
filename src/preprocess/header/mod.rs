//! Which format the bytes are in, how many pixels they claim and how these are stored, read from the first few fields.
//!
//! This decides what is refused before any memory is taken; it does not check that the rest of the file keeps its word.
//! It runs on the request's own thread: whatever the file is, [`probe`] looks at a bounded number of bytes.

pub(super) mod bmp;
mod claim;
mod fields;
pub(super) mod gif;
pub(super) mod jpeg;
mod png;
pub(super) mod pnm;
pub(super) mod tiff;
pub(super) mod webp;

use super::error::DecodeError;
use super::format::{Format, describe};
use claim::{Claim, Storage};

pub(super) use fields::MOST_BYTES;

/// What the first bytes of an image say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format.
    pub format: Format,
    /// Width in pixels as stored, before the camera's orientation is applied.
    pub width: u32,
    /// Height in pixels as stored.
    pub height: u32,
    /// The file's length in bytes.
    file_bytes: u64,
    storage: Storage,
}

/// A file up to this length may be decoded where the request is.
const QUICK_BYTES: u64 = 32 << 10;

/// A picture up to this many pixels may.
const QUICK_PIXELS: u64 = 64 * 64;

impl Header {
    /// `width * height`.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    /// What decoding will have to compute, in pixels. Mostly [`Header::pixels`]; less where a file is too short for what
    /// it claims or a canvas is mostly empty. To admit images by.
    pub fn work(&self) -> u64 {
        self.storage.work
    }

    /// Whether decoding takes so little that handing it to another thread would cost more: a small picture in a small
    /// file.
    pub fn is_quick(&self) -> bool {
        self.file_bytes <= QUICK_BYTES && self.pixels() <= QUICK_PIXELS
    }

    /// An upper bound of the memory that its decoder takes at once, in bytes, without the file's own bytes.
    pub(super) fn decoder_memory(&self) -> u64 {
        self.storage.memory
    }

    /// Refuses a file that is too short for the pixels that it claims: no decoder needs to find that out.
    ///
    /// # Errors
    /// [`DecodeError::Corrupt`].
    pub(super) fn check_length(&self) -> Result<(), DecodeError> {
        let Self { width, height, file_bytes, storage, .. } = self;
        if *file_bytes < storage.least_bytes {
            let least = storage.least_bytes;
            let cause = format_args!("{width}x{height} pixels take {least} bytes at least, and it has {file_bytes}");
            return Err(DecodeError::corrupt(self.format, cause));
        }
        Ok(())
    }
}

/// Reads format, size and manner of storing without decoding: microseconds, and no memory to speak of.
///
/// # Errors
/// [`DecodeError::Empty`], [`DecodeError::UnsupportedFormat`], or [`DecodeError::Corrupt`] when the size cannot be
/// found or is zero. Sizes are not limited here.
pub fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let format = Format::sniff(bytes).ok_or_else(|| {
        let (found, remedy) = describe(bytes);
        DecodeError::UnsupportedFormat { found, remedy }
    })?;
    let found = match format {
        Format::Jpeg => jpeg::read(bytes),
        Format::Png => png::read(bytes),
        Format::WebP => webp::read(bytes),
        Format::Gif => gif::read(bytes),
        Format::Bmp => bmp::read(bytes),
        Format::Tiff => tiff::read(bytes),
        Format::Pnm => pnm::read(bytes),
    };
    let Some(Claim { width, height, storage }) = found else {
        return Err(DecodeError::corrupt(format, "it ends before its size is told"));
    };
    if width == 0 || height == 0 {
        return Err(DecodeError::corrupt(format, format_args!("it claims a size of {width}x{height}")));
    }
    let file_bytes = bytes.len() as u64;
    Ok(Header { format, width, height, file_bytes, storage })
}
