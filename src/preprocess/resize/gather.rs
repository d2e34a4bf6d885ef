//! Copies of pixels: the nearest neighbour, a plain crop, a mirror image, a quarter turn.

use super::{Axis, Plan, Stored};

/// Fills `out` with the stored pixel under each kept pixel.
pub(super) fn gather(image: Stored<'_>, plan: &Plan, out: &mut [u8]) {
    let (columns, rows) = (indices(plan.columns), indices(plan.rows));
    let contiguous = columns.windows(2).all(|pair| pair[1] == pair[0] + 1);
    let width = columns.len() * 3;
    for (row, out) in rows.iter().zip(out.chunks_exact_mut(width)) {
        let row = &image.rgb[row * image.width as usize * 3..][..image.width as usize * 3];
        if contiguous {
            out.copy_from_slice(&row[columns[0] * 3..][..width]);
        } else {
            for (&column, out) in columns.iter().zip(out.chunks_exact_mut(3)) {
                out.copy_from_slice(&row[column * 3..][..3]);
            }
        }
    }
}

/// The stored index of each kept pixel.
///
/// Pillow adds up the position in double precision instead of multiplying; so must we, to hit the same pixels.
fn indices(axis: Axis) -> Vec<usize> {
    let scale = f64::from(axis.source) / f64::from(axis.resized);
    let mut position = scale * 0.5;
    let mut kept = Vec::with_capacity(axis.span.len as usize);
    for index in 0..axis.span.start + axis.span.len {
        if index >= axis.span.start {
            let source = (position as u32).min(axis.source - 1);
            kept.push(if axis.mirrored { axis.source - 1 - source } else { source } as usize);
        }
        position += scale;
    }
    kept
}

/// Exchanges rows and columns of an image of `width` pixels a row.
pub(super) fn transposed(rgb: &[u8], width: usize) -> Vec<u8> {
    let height = rgb.len() / (width * 3);
    let mut out = vec![0; rgb.len()];
    // In tiles, so that both sides stay in the cache.
    const TILE: usize = 16;
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for y in top..(top + TILE).min(height) {
                for x in left..(left + TILE).min(width) {
                    let (from, to) = ((y * width + x) * 3, (x * height + y) * 3);
                    out[to..to + 3].copy_from_slice(&rgb[from..from + 3]);
                }
            }
        }
    }
    out
}
