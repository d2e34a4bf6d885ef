//! From the bytes of a file to the pixels that the model was trained to see: probe → decode → resize → crop.
//!
//! The result equals torchvision's evaluation transform on Pillow 13 bit for bit, since a network is only as good as
//! the likeness of what it sees to what it was trained on. Pure and synchronous: no thread, no clock, no I/O.
//!
//! Knows image formats and [`Pixels`]; must not know models, requests or the server.
//!
//! ```text
//! bytes ─ header::probe ─▶ admit ─ decode ─▶ stored RGB ─ resize (turn, window) ─▶ Pixels
//! ```

mod decode;
mod error;
mod header;
mod orientation;
mod resize;
mod spec;

use std::cell::RefCell;

use crate::tensor::Pixels;
use decode::Decoded;
use orientation::Turn;
use resize::{Plan, Stored};

pub use error::DecodeError;
pub use header::{Format, Header, probe};
pub use spec::{Interpolation, Orientation, ResizeMode, Spec};

/// What an image may cost, checked before memory is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most pixels that an image may claim, and that resizing may make of it.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 100 megapixels: twice what phones and most cameras take, and 300 MB of decoded RGB. (Pillow warns at 89 and
    /// refuses at 179 megapixels.)
    fn default() -> Self {
        Self { max_pixels: 100_000_000 }
    }
}

/// The longest side that is handled, in pixels. The weights of a resize take memory in proportion to it.
const MAX_SIDE: u64 = 1 << 24;

/// The longest side that an image may have between resize and crop. Only the crop is ever computed.
const MAX_RESIZED_SIDE: u64 = 1 << 26;

/// A thread keeps buffers up to this size, in bytes, for the next image: enough for 5 megapixels.
const KEPT_BYTES: usize = 16 << 20;

impl Limits {
    fn admit(&self, width: u64, height: u64) -> Result<(), DecodeError> {
        let limit = if width.max(height) > MAX_SIDE { self.max_pixels.min(MAX_SIDE) } else { self.max_pixels };
        if width.saturating_mul(height) > limit {
            return Err(DecodeError::TooLarge { width, height, limit });
        }
        Ok(())
    }

    /// Checks what a resize makes of an image, and gives it back in the size that pixels are counted in.
    fn admit_resized(&self, spec: &Spec, (width, height): (u64, u64)) -> Result<(u32, u32), DecodeError> {
        let too_large = |limit| DecodeError::TooLarge { width, height, limit };
        let kept = spec.crop().map_or((width, height), |(width, height)| (width.into(), height.into()));
        if kept.0.saturating_mul(kept.1) > self.max_pixels {
            return Err(too_large(self.max_pixels));
        }
        match (u32::try_from(width), u32::try_from(height)) {
            (Ok(w), Ok(h)) if width.max(height) <= MAX_RESIZED_SIDE => Ok((w, h)),
            _ => Err(too_large(MAX_RESIZED_SIDE)),
        }
    }
}

/// Working memory of a thread.
#[derive(Default)]
struct Buffers {
    pixels: Vec<u8>,
    scratch: Vec<u8>,
}

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Gives `work` the thread's buffers; large ones are returned to the system afterwards.
fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    // Taken rather than borrowed: if `work` panics, the next image starts with empty buffers, and nothing is poisoned.
    let mut buffers = BUFFERS.take();
    let result = work(&mut buffers);
    for buffer in [&mut buffers.pixels, &mut buffers.scratch] {
        if buffer.capacity() > KEPT_BYTES {
            *buffer = Vec::new();
        }
    }
    BUFFERS.set(buffers);
    result
}

/// Decodes, turns upright, resizes and crops, as `spec` says.
///
/// The size of the result is [`Spec::output_size`] where that is known beforehand.
///
/// # Errors
/// See [`DecodeError`]. Whatever the bytes are, this does not panic, and takes memory in proportion to
/// `limits.max_pixels` at most.
pub fn preprocess(bytes: &[u8], spec: &Spec, limits: &Limits) -> Result<Pixels, DecodeError> {
    with_buffers(|buffers| {
        let decoded = decode::decode(bytes, limits, &mut buffers.pixels, &mut buffers.scratch)?;
        finish(decoded, spec, limits, buffers)
    })
}

/// Decodes and turns upright, in the image's own size.
///
/// # Errors
/// As [`preprocess`].
pub fn decode(bytes: &[u8], orientation: Orientation, limits: &Limits) -> Result<Pixels, DecodeError> {
    preprocess(bytes, &Spec { resize_size: None, crop_size: None, orientation, ..Spec::default() }, limits)
}

/// Brightness instead of colour, in Pillow's fixed point: ITU-R BT.601's weights in 65536ths, rounded.
fn make_gray(rgb: &mut [u8]) {
    for pixel in rgb.as_chunks_mut::<3>().0 {
        let [red, green, blue] = pixel.map(u32::from);
        *pixel = [((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16) as u8; 3];
    }
}

/// Everything after decoding.
fn finish(decoded: Decoded, spec: &Spec, limits: &Limits, buffers: &mut Buffers) -> Result<Pixels, DecodeError> {
    let Decoded { width, height, turn, turn_is_intrinsic } = decoded;
    let turn = if turn_is_intrinsic || spec.orientation == Orientation::Apply { turn } else { Turn::default() };
    let (upright_width, upright_height) = turn.upright(width, height);
    let resized = limits.admit_resized(spec, spec.resized(upright_width, upright_height))?;
    if spec.gray {
        make_gray(&mut buffers.pixels[..decoded.len()]);
    }
    let plan = Plan::new(spec, turn, (width, height), resized);
    let image = Stored { width, rgb: &buffers.pixels[..decoded.len()] };
    Ok(resize::resize(image, &plan, &mut buffers.scratch))
}
