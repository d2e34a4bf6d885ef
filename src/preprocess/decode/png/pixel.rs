//! What the samples of a PNG's pixel are.

use crate::preprocess::decode::colors::{self, Colors};
use crate::preprocess::decode::fault::png as corrupt;
use crate::preprocess::error::DecodeError;

/// What becomes of a pixel's samples.
pub(super) struct Pixel {
    color: Color,
    bits: u8,
    /// The colours, where one byte a pixel says which.
    pub(super) colors: Option<Box<Colors>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Color {
    Gray,
    Rgb,
    Indexed,
    GrayAlpha,
    Rgba,
}

/// The most colours that a palette has.
const MOST_COLORS: usize = 256;

impl Pixel {
    /// * `color`, `bits`: as the header has them
    pub(super) fn new(color: u8, bits: u8, palette: Option<&[u8]>) -> Result<Self, DecodeError> {
        let color = match (color, bits) {
            (0, 1 | 2 | 4 | 8 | 16) => Color::Gray,
            (2, 8 | 16) => Color::Rgb,
            (3, 1 | 2 | 4 | 8) => Color::Indexed,
            (4, 8 | 16) => Color::GrayAlpha,
            (6, 8 | 16) => Color::Rgba,
            _ => return Err(corrupt(format_args!("colour type {color} with {bits} bits a sample does not exist"))),
        };
        let colors = match color {
            Color::Indexed => Some(match palette {
                Some(entries) if entries.len() / 3 > MOST_COLORS => {
                    return Err(corrupt(format_args!("it has a palette of {} colours", entries.len() / 3)));
                }
                Some(entries) => colors::palette(entries, |rgb| rgb),
                // Without a palette an index is a gray level.
                None => colors::grays(256),
            }),
            Color::Gray => Some(colors::grays(1 << bits.min(8))),
            Color::GrayAlpha => Some(colors::grays(256)),
            Color::Rgb | Color::Rgba => None,
        };
        Ok(Self { color, bits, colors: colors.map(Box::new) })
    }

    fn samples(&self) -> usize {
        match self.color {
            Color::Gray | Color::Indexed => 1,
            Color::GrayAlpha => 2,
            Color::Rgb => 3,
            Color::Rgba => 4,
        }
    }

    /// The bytes of a row of `width` pixels.
    pub(super) fn row_bytes(&self, width: usize) -> usize {
        (width * self.samples() * usize::from(self.bits)).div_ceil(8)
    }

    /// The bytes between one pixel and the next, at least 1: what filters look back by.
    pub(super) fn filter_bytes(&self) -> usize {
        (self.samples() * usize::from(self.bits)).div_ceil(8)
    }

    /// The samples of a row in 8 bits: one a pixel where there are colours, else three. Alpha is dropped, and of 16 bits
    /// the upper 8 are taken; except where there is gray alone: Pillow clips 16-bit gray at 255, and so do we, because
    /// the models were trained on what it gives.
    pub(super) fn sample(&self, row: &[u8], samples: &mut [u8]) {
        /// One pixel for each `N` bytes.
        fn each<const N: usize, const M: usize>(row: &[u8], samples: &mut [u8], convert: impl Fn(&[u8; N]) -> [u8; M]) {
            for (pixel, sample) in row.as_chunks::<N>().0.iter().zip(samples.as_chunks_mut::<M>().0) {
                *sample = convert(pixel);
            }
        }
        match (self.color, self.bits) {
            (Color::Indexed, bits) | (Color::Gray, bits @ 1..=8) => colors::unpack(row, bits, samples),
            (Color::Gray, _) => each(row, samples, |&gray| [u16::from_be_bytes(gray).min(255) as u8]),
            (Color::GrayAlpha, 8) => each(row, samples, |&[gray, _]| [gray]),
            (Color::GrayAlpha, _) => each(row, samples, |&[gray, _, _, _]| [gray]),
            (Color::Rgb, 8) => samples.copy_from_slice(row),
            (Color::Rgb, _) => each(row, samples, |&[red, _, green, _, blue, _]| [red, green, blue]),
            (Color::Rgba, 8) => each(row, samples, |&[red, green, blue, _]| [red, green, blue]),
            (Color::Rgba, _) => each(row, samples, |&[red, _, green, _, blue, _, _, _]| [red, green, blue]),
        }
    }
}
