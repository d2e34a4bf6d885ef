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
mod format;
mod header;
mod limits;
mod orientation;
mod resize;
mod spec;

use std::cell::RefCell;

use crate::tensor::Pixels;
use decode::Decoded;
use orientation::Turn;
use resize::{Plan, Stored};

pub use error::DecodeError;
pub use format::Format;
pub use header::{Header, probe};
pub use limits::DecodeLimits;
pub use spec::{Interpolation, Orientation, ResizeMode, Spec};

/// A thread keeps buffers up to this size, in bytes, for the next image: enough for 5 megapixels.
const KEPT_BYTES: usize = 16 << 20;

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
pub fn preprocess(bytes: &[u8], spec: &Spec, limits: &DecodeLimits) -> Result<Pixels, DecodeError> {
    with_buffers(|buffers| {
        let header = probe(bytes)?;
        limits.admit(header.width.into(), header.height.into())?;
        let decoded = decode::decode(bytes, header, &mut buffers.pixels, &mut buffers.scratch)?;
        finish(decoded, spec, limits, buffers)
    })
}

/// Decodes and turns upright, in the image's own size.
///
/// # Errors
/// As [`preprocess`].
pub fn decode(bytes: &[u8], orientation: Orientation, limits: &DecodeLimits) -> Result<Pixels, DecodeError> {
    preprocess(bytes, &Spec { resize_size: None, crop_size: None, orientation, ..Spec::default() }, limits)
}

/// Everything after decoding.
fn finish(decoded: Decoded, spec: &Spec, limits: &DecodeLimits, buffers: &mut Buffers) -> Result<Pixels, DecodeError> {
    let Decoded { width, height, turn, turn_is_intrinsic } = decoded;
    let turn = if turn_is_intrinsic || spec.orientation == Orientation::Apply { turn } else { Turn::default() };
    let (upright_width, upright_height) = turn.upright(width, height);
    let resized = limits.admit_resized(spec, spec.resized(upright_width, upright_height))?;
    let plan = Plan::new(spec, turn, (width, height), resized);
    let image = Stored { width, rgb: &buffers.pixels[..decoded.len()] };
    Ok(resize::resize(image, &plan, &mut buffers.scratch))
}
