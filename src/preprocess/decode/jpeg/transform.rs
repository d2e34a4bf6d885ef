//! From coefficients to samples: the inverse of the cosine transform, in libjpeg-turbo's integers, with as many samples
//! as are asked for.

use libjpeg_turbo_rs::decode::idct_scaled;

use super::routines::routines;

/// Makes the samples of a block and stores them.
///
/// * `edge`: how many across and down: 8, 4, 2 or 1
/// * `to`: where, and the distance of its rows
#[inline]
pub(super) fn transform(edge: usize, block: &[i16; 64], quantization: &[u16; 64], (to, stride): (&mut [u8], usize)) {
    match edge {
        1 => to[0] = idct_scaled::idct_1x1(block, quantization),
        2 => {
            let mut samples = [0; 4];
            idct_scaled::idct_2x2(block, quantization, &mut samples);
            copy(samples.as_chunks::<2>().0, to, stride);
        }
        4 => {
            let mut samples = [0; 16];
            idct_scaled::idct_4x4(block, quantization, &mut samples);
            copy(samples.as_chunks::<4>().0, to, stride);
        }
        _ => {
            let mut samples = [0; 64];
            (routines().idct_islow)(block, quantization, &mut samples);
            copy(samples.as_chunks::<8>().0, to, stride);
        }
    }
}

#[inline(always)]
fn copy<const N: usize>(rows: &[[u8; N]], to: &mut [u8], stride: usize) {
    for (samples, to) in rows.iter().zip(to.chunks_mut(stride)) {
        to[..N].copy_from_slice(samples);
    }
}
