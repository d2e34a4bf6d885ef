//! The two passes in plain Rust: the definition that the SIMD kernels must equal, and what runs without them.

use super::taps::{PRECISION, Taps};

/// Rounds a weighted sum back to 8 bits.
fn round(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// Resizes each row of `source` (`stride` bytes a row) to `taps.len()` RGB pixels.
pub(super) fn horizontal(source: &[u8], stride: usize, taps: &Taps, out: &mut [u8]) {
    for (row, out) in source.chunks(stride).zip(out.chunks_exact_mut(taps.len() * 3)) {
        for (index, out) in out.chunks_exact_mut(3).enumerate() {
            let (start, weights) = taps.of(index);
            let mut sums = [0i32; 3];
            for (pixel, weight) in row[start * 3..].chunks_exact(3).zip(weights) {
                for (sum, &sample) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(sample) * weight;
                }
            }
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = round(sum);
            }
        }
    }
}

/// Makes `taps.len()` rows of `width` bytes out of the rows of `source` (`stride` bytes a row).
pub(super) fn vertical(source: &[u8], stride: usize, width: usize, taps: &Taps, out: &mut [u8]) {
    let mut sums = vec![0i32; width];
    for (index, out) in out.chunks_exact_mut(width).enumerate() {
        let (start, weights) = taps.of(index);
        sums.fill(0);
        for (row, &weight) in source[start * stride..].chunks(stride).zip(weights) {
            for (sum, &sample) in sums.iter_mut().zip(&row[..width]) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (out, &sum) in out.iter_mut().zip(&sums) {
            *out = round(sum);
        }
    }
}
