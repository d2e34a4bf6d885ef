//! What was done to a row of a PNG so that it compresses better, undone.

use crate::preprocess::decode::fault::png as corrupt;
use crate::preprocess::error::DecodeError;

/// Undoes filter `kind` in `row`, given the row `before` it (all zeros for the first) and the bytes of a pixel.
pub(super) fn undo(kind: u8, bytes: usize, before: &[u8], row: &mut [u8]) -> Result<(), DecodeError> {
    match kind {
        0 => {}
        1 => match bytes {
            1 => left::<1>(row),
            2 => left::<2>(row),
            3 => left::<3>(row),
            4 => left::<4>(row),
            6 => left::<6>(row),
            _ => left::<8>(row),
        },
        2 => row.iter_mut().zip(before).for_each(|(value, above)| *value = value.wrapping_add(*above)),
        3 => match bytes {
            1 => average::<1>(before, row),
            2 => average::<2>(before, row),
            3 => average::<3>(before, row),
            4 => average::<4>(before, row),
            6 => average::<6>(before, row),
            _ => average::<8>(before, row),
        },
        4 => match bytes {
            1 => paeth::<1>(before, row),
            2 => paeth::<2>(before, row),
            3 => paeth::<3>(before, row),
            4 => paeth::<4>(before, row),
            6 => paeth::<6>(before, row),
            _ => paeth::<8>(before, row),
        },
        other => return Err(corrupt(format_args!("filter {other} does not exist"))),
    }
    Ok(())
}

/// The pixel to the left was subtracted.
fn left<const N: usize>(row: &mut [u8]) {
    let mut left = [0u8; N];
    for pixel in row.as_chunks_mut::<N>().0 {
        for (value, left) in pixel.iter_mut().zip(left) {
            *value = value.wrapping_add(left);
        }
        left = *pixel;
    }
}

/// The mean of the pixels to the left and above was subtracted.
fn average<const N: usize>(before: &[u8], row: &mut [u8]) {
    let mut left = [0u8; N];
    for (pixel, above) in row.as_chunks_mut::<N>().0.iter_mut().zip(before.as_chunks::<N>().0) {
        for ((value, left), above) in pixel.iter_mut().zip(left).zip(above) {
            *value = value.wrapping_add(((u16::from(left) + u16::from(*above)) / 2) as u8);
        }
        left = *pixel;
    }
}

/// Whichever of left, above and upper left is nearest to left + above - upper left was subtracted.
fn paeth<const N: usize>(before: &[u8], row: &mut [u8]) {
    let (mut left, mut corner) = ([0i16; N], [0i16; N]);
    for (pixel, above) in row.as_chunks_mut::<N>().0.iter_mut().zip(before.as_chunks::<N>().0) {
        let above = above.map(i16::from);
        let mut next = [0i16; N];
        for index in 0..N {
            let (a, b, c) = (left[index], above[index], corner[index]);
            let (to_left, to_above) = (b - c, a - c);
            let (from_left, from_above, from_corner) = (to_left.abs(), to_above.abs(), (to_left + to_above).abs());
            let nearest = if from_above <= from_corner { b } else { c };
            let nearest = if from_left <= from_above && from_left <= from_corner { a } else { nearest };
            next[index] = (i16::from(pixel[index]) + nearest) & 0xff;
        }
        *pixel = next.map(|value| value as u8);
        (left, corner) = (next, above);
    }
}
