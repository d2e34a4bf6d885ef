//! From the bytes of a file to the pixels that the model was trained to see: probe → decode → resize → crop.
//!
//! The result equals torchvision's evaluation transform on Pillow 13 bit for bit, since a network is only as good as
//! the likeness of what it sees to what it was trained on. Pure and synchronous: no thread, no clock, no I/O.
//!
//! Knows image formats and [`Pixels`]; must not know models, requests or the server.
//!
//! ```text
//! bytes ─ header::probe ─▶ admit ─ decode::open ─▶ plan ─┐
//!                                        │               ▼
//!                                        └─ read ─ rows ─▶ resize (turn, window) ─▶ Pixels
//! ```
//! A picture is never whole in memory where its format allows that: `decode` makes a row, `resize` takes what it needs
//! of it, and the next one takes its place.

mod cost;
mod decode;
mod directory;
mod error;
mod format;
mod framing;
mod gray;
mod header;
mod limits;
mod orientation;
mod resize;
mod rows;
mod spec;
mod ten_crops;

use std::cell::RefCell;

use crate::tensor::Pixels;
use gray::GrayRows;
use orientation::Turn;
use resize::{Buffers, Plan, Resizer};

pub use cost::cost;
pub use error::DecodeError;
pub use format::Format;
pub use framing::{Framing, framing};
pub use header::{Header, probe};
pub use limits::DecodeLimits;
pub use spec::{Decoding, Interpolation, Orientation, ResizeMode, Spec};
pub use ten_crops::{CropPlace, TEN_CROPS, ten_crops};

/// A thread keeps buffers up to this size, in bytes, for the next image.
const KEPT_BYTES: usize = 4 << 20;

thread_local! {
    static BUFFERS: RefCell<Buffers> = RefCell::default();
}

/// Gives `work` the thread's buffers; large ones are returned to the system afterwards.
fn with_buffers<T>(work: impl FnOnce(&mut Buffers) -> T) -> T {
    // Taken rather than borrowed: if `work` panics, the next image starts with empty buffers, and nothing is poisoned.
    let mut buffers = BUFFERS.take();
    let result = work(&mut buffers);
    buffers.trim(KEPT_BYTES);
    BUFFERS.set(buffers);
    result
}

/// Decodes, turns upright, resizes and crops, as `spec` says.
///
/// The size of the result is [`Spec::output_size`] where that is known beforehand.
///
/// # Errors
/// See [`DecodeError`]. Whatever the bytes are, this does not panic.
pub fn preprocess(bytes: &[u8], spec: &Spec, limits: &DecodeLimits) -> Result<Pixels, DecodeError> {
    let header = probe(bytes)?;
    limits.admit(&header)?;
    let mut picture = decode::open(bytes, &header)?;
    let frame = picture.frame();
    let is_turned = frame.turn_is_intrinsic || spec.orientation == Orientation::Apply;
    let turn = if is_turned { frame.turn } else { Turn::default() };
    let (width, height) = turn.upright(frame.width, frame.height);
    picture.shrink(spec.reduction(width, height));
    let frame = picture.frame();
    let (width, height) = turn.upright(frame.width, frame.height);
    let resized = limits.admit_resized(spec, spec.resized(width, height))?;
    let plan = Plan::new(spec, turn, (frame.width, frame.height), resized);
    with_buffers(|buffers| {
        let mut resizer = Resizer::new(plan, buffers);
        if spec.gray {
            picture.read(&mut GrayRows(&mut resizer))?;
        } else {
            picture.read(&mut resizer)?;
        }
        Ok(resizer.finish())
    })
}

/// Decodes and turns upright, in the image's own size.
///
/// # Errors
/// As [`preprocess`].
pub fn decode(bytes: &[u8], orientation: Orientation, limits: &DecodeLimits) -> Result<Pixels, DecodeError> {
    preprocess(bytes, &Spec { resize_size: None, crop_size: None, orientation, ..Spec::default() }, limits)
}
