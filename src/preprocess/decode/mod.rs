//! From the bytes of a file to stored 8-bit RGB, equal to Pillow's `convert("RGB")`.
//!
//! The only place where decoders written by others run. They get a size limit before they start, and a panic of theirs
//! ends here, as a corrupt image.

mod jpeg;
mod raster;
mod tiff;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::DecodeError;
use super::format::Format;
use super::header::Header;
use super::orientation::Turn;

/// What was decoded; the pixels are at the start of the buffer that was given.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decoded {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The turn that the file asks for.
    pub(super) turn: Turn,
    /// Whether that turn is part of the pixels for everybody, asked or not.
    pub(super) turn_is_intrinsic: bool,
}

impl Decoded {
    /// The length of the pixels, `height * width * 3`.
    pub(super) fn len(&self) -> usize {
        self.width as usize * self.height as usize * 3
    }
}

/// Decodes into `pixels`; `scratch` is working memory. The size that `header` claims must have been admitted.
///
/// Both buffers only ever grow; what was in them is lost.
pub(super) fn decode(
    bytes: &[u8],
    header: Header,
    pixels: &mut Vec<u8>,
    scratch: &mut Vec<u8>,
) -> Result<Decoded, DecodeError> {
    let result = catch_unwind(AssertUnwindSafe(|| match header.format {
        Format::Jpeg => jpeg::decode(bytes, header, pixels),
        Format::Tiff => tiff::decode(bytes, header, pixels, scratch),
        _ => raster::decode(bytes, header, pixels, scratch),
    }));
    result.unwrap_or_else(|_| Err(DecodeError::corrupt(header.format, "the decoder gave up on it")))
}

/// The first `len` bytes of `buffer`, which grows as needed.
fn room(buffer: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if buffer.len() < len {
        buffer.resize(len, 0);
    }
    &mut buffer[..len]
}

/// Turns `pixels` of `channels` samples into RGB at the start of the same memory. Reading stays ahead of writing.
fn pack<const N: usize>(samples: &mut [u8], rgb: impl Fn([u8; N]) -> [u8; 3]) {
    debug_assert!(N >= 3, "RGB would overtake what is still to be read");
    for pixel in 0..samples.len() / N {
        let mut sample = [0; N];
        sample.copy_from_slice(&samples[pixel * N..][..N]);
        samples[pixel * 3..][..3].copy_from_slice(&rgb(sample));
    }
}

/// The RGB of a CMYK colour as Pillow computes it, ink by ink with one rounded division.
fn cmyk_to_rgb([cyan, magenta, yellow, black]: [u8; 4]) -> [u8; 3] {
    let light = 255 - u32::from(black);
    [cyan, magenta, yellow].map(|ink| {
        let product = u32::from(ink) * light + 128;
        (light - ((product + (product >> 8)) >> 8)) as u8
    })
}
