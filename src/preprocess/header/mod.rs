//! Which format the bytes are in, how many pixels they claim and how these are stored, read from the first few fields.
//!
//! This decides what is refused before any memory is taken; it does not check that the rest of the file keeps its word.
//! It runs on the request's own thread: whatever the file is, [`probe`] looks at a bounded number of bytes.

pub(super) mod bmp;
pub(super) mod gif;
mod jpeg;
pub(super) mod webp;

use super::directory::{Directory, tag};
use super::error::DecodeError;
use super::format::{Format, describe};

/// What the first bytes of an image say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The format.
    pub format: Format,
    /// Width in pixels as stored, before the camera's orientation is applied.
    pub width: u32,
    /// Height in pixels as stored.
    pub height: u32,
}

impl Header {
    /// `width * height`.
    pub fn pixels(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }
}

/// Reads format and size without decoding: microseconds, and no memory to speak of.
///
/// # Errors
/// [`DecodeError::Empty`], [`DecodeError::UnsupportedFormat`], or [`DecodeError::Corrupt`] when the size cannot be
/// found or is zero. Sizes are not limited here.
pub fn probe(bytes: &[u8]) -> Result<Header, DecodeError> {
    if bytes.is_empty() {
        return Err(DecodeError::Empty);
    }
    let format = Format::sniff(bytes).ok_or_else(|| DecodeError::UnsupportedFormat { found: describe(bytes) })?;
    let size = match format {
        Format::Jpeg => jpeg::size(bytes),
        Format::Png => png_size(bytes),
        Format::WebP => webp::Container::read(bytes).map(|container| (container.width, container.height)),
        Format::Gif => gif_size(bytes),
        Format::Bmp => bmp::Info::read(bytes).map(|info| (info.width, info.height)),
        Format::Tiff => tiff_size(bytes),
    };
    match size {
        None => Err(DecodeError::corrupt(format, "it ends before its size is told")),
        Some((width, height)) if width == 0 || height == 0 => {
            Err(DecodeError::corrupt(format, format_args!("it claims a size of {width}x{height}")))
        }
        Some((width, height)) => Ok(Header { format, width, height }),
    }
}

/// Where a format lets anything stand before the size, this many bytes of it are looked at.
const MOST_BYTES: usize = 64 << 10;

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|field| u16::from_le_bytes(field).into())
}

fn u24_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    Some((u32::from_be_bytes(array(bytes, 16)?), u32::from_be_bytes(array(bytes, 20)?)))
}

/// The canvas that holds the first frame; the screen alone where that stands behind too much else.
fn gif_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let (screen, blocks) = gif::Blocks::new(&bytes[..bytes.len().min(MOST_BYTES)])?;
    let screen = (screen.width, screen.height);
    let image =
        blocks.into_iter().find_map(|block| if let gif::Block::Image(image) = block { Some(image) } else { None });
    Some(image.map_or(screen, |image| image.canvas(screen)))
}

fn tiff_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let directory = Directory::first(bytes)?;
    let [width, height] = [tag::WIDTH, tag::HEIGHT].map(|tag| directory.unsigned(tag));
    // A size that does not fit is none.
    Some((width?.try_into().unwrap_or(0), height?.try_into().unwrap_or(0)))
}
