//! Which format the bytes are in, and how many pixels they claim, read from the first few fields only.
//!
//! This decides what is refused before any memory is taken; it does not check that the rest of the file keeps its word.

mod tiff;

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
        Format::Jpeg => jpeg_size(bytes),
        Format::Png => png_size(bytes),
        Format::WebP => webp_size(bytes),
        Format::Gif => gif_size(bytes),
        Format::Bmp => bmp_size(bytes),
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

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|field| u16::from_le_bytes(field).into())
}

fn u24_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}

/// The frame header (SOF) is the first of the markers 0xC0..0xCF that is no table.
fn jpeg_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        // Between segments any number of stray bytes and of fill bytes (0xFF) may stand.
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
        at += bytes.get(at..)?.iter().position(|&byte| byte != 0xff)?;
        let marker = bytes[at];
        at += 1;
        match marker {
            0x00 | 0x01 | 0xd0..=0xd8 => continue,
            // The scan, or the end, without a frame header.
            0xd9 | 0xda => return None,
            _ => {}
        }
        let length = u16::from_be_bytes(array(bytes, at)?);
        if matches!(marker, 0xc0..=0xcf) && !matches!(marker, 0xc4 | 0xc8 | 0xcc) {
            let [height, width] = [array(bytes, at + 3)?, array(bytes, at + 5)?].map(u16::from_be_bytes);
            return Some((width.into(), height.into()));
        }
        at += usize::from(length).max(2);
    }
}

fn png_size(bytes: &[u8]) -> Option<(u32, u32)> {
    Some((u32::from_be_bytes(array(bytes, 16)?), u32::from_be_bytes(array(bytes, 20)?)))
}

fn gif_size(bytes: &[u8]) -> Option<(u32, u32)> {
    Some((u16_le(bytes, 6)?, u16_le(bytes, 8)?))
}

fn bmp_size(bytes: &[u8]) -> Option<(u32, u32)> {
    if u32::from_le_bytes(array(bytes, 14)?) == 12 {
        return Some((u16_le(bytes, 18)?, u16_le(bytes, 20)?));
    }
    // A negative height means that the rows go from top to bottom.
    let [width, height] = [array(bytes, 18)?, array(bytes, 22)?].map(i32::from_le_bytes);
    Some((width.try_into().unwrap_or(0), height.unsigned_abs()))
}

fn webp_size(bytes: &[u8]) -> Option<(u32, u32)> {
    match &array(bytes, 12)? {
        b"VP8X" => Some((u24_le(bytes, 24)? + 1, u24_le(bytes, 27)? + 1)),
        b"VP8L" => {
            let fields = u32::from_le_bytes(array(bytes, 21)?);
            Some(((fields & 0x3fff) + 1, (fields >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => Some((u16_le(bytes, 26)? & 0x3fff, u16_le(bytes, 28)? & 0x3fff)),
        _ => None,
    }
}

fn tiff_size(bytes: &[u8]) -> Option<(u32, u32)> {
    let directory = tiff::Directory::first(bytes)?;
    let [width, height] = [tiff::tag::WIDTH, tiff::tag::HEIGHT].map(|tag| directory.unsigned(tag));
    // A size that does not fit is none.
    Some((width?.try_into().unwrap_or(0), height?.try_into().unwrap_or(0)))
}
