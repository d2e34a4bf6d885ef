//! A PNG's header, which has its place at the start.

use super::claim::{Claim, Storage};
use super::fields::array;

/// Deflate makes at most so many bytes of one.
const MOST_EXPANSION: u64 = 1032;

pub(super) fn read(bytes: &[u8]) -> Option<Claim> {
    let (width, height) = (u32::from_be_bytes(array(bytes, 16)?), u32::from_be_bytes(array(bytes, 20)?));
    let [depth, color, _, _, interlace] = array(bytes, 24)?;
    let samples = match color {
        2 => 3,
        4 => 2,
        6 => 4,
        _ => 1,
    };
    let pixels = u64::from(width) * u64::from(height);
    let row_bytes = (u64::from(width) * samples * u64::from(depth)).div_ceil(8);
    // A whole picture of one byte a pixel, or three.
    let canvas = if interlace > 0 { pixels.saturating_mul(if matches!(color, 2 | 6) { 3 } else { 1 }) } else { 0 };
    let memory = canvas.saturating_add(row_bytes * 5 + u64::from(width) * 4 + DECODER_BYTES);
    // Data that end in order may end too early: Pillow leaves the rest black, and so do we, without computing it.
    let rows = (bytes.len() as u64 * MOST_EXPANSION).div_ceil(row_bytes.max(1));
    let work = if interlace > 0 { pixels } else { pixels.min(rows.saturating_mul(width.into())) };
    Some(Claim { width, height, storage: Storage { memory, work, least_bytes: 0 } })
}

/// What the decoder takes beside its rows: a dictionary, or a text in which an orientation stands.
const DECODER_BYTES: u64 = 768 << 10;
