//! The two passes in plain Rust: the definition that the SIMD kernels must equal, and what runs without them.

use super::taps::{PRECISION, Taps};

/// Rounds a weighted sum back to 8 bits.
fn round(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}

/// Resizes `row` to `taps.len()` RGB pixels.
pub(super) fn horizontal(row: &[u8], taps: &Taps, out: &mut [u8]) {
    for (index, out) in out.chunks_exact_mut(3).enumerate() {
        let (start, weights) = taps.of(index);
        let mut sums = [0i32; 3];
        for (pixel, weight) in row[start * 3..].as_chunks::<3>().0.iter().zip(weights) {
            for (sum, &sample) in sums.iter_mut().zip(pixel) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = round(sum);
        }
    }
}

/// The sum of rows: each of `terms` is where one starts in `rows`, and its weight.
pub(super) fn vertical(rows: &[u8], terms: &[(usize, i32)], out: &mut [u8]) {
    // In parts that stay in registers and the first-level cache, whatever the width.
    const PART: usize = 256;
    for (part, out) in out.chunks_mut(PART).enumerate() {
        let mut sums = [0i32; PART];
        let sums = &mut sums[..out.len()];
        for &(start, weight) in terms {
            for (sum, &sample) in sums.iter_mut().zip(&rows[start + part * PART..][..out.len()]) {
                *sum += i32::from(sample) * weight;
            }
        }
        for (out, &sum) in out.iter_mut().zip(&*sums) {
            *out = round(sum);
        }
    }
}
