//! PNG through the `png` crate, row by row. The only file that names it.
//!
//! An interlaced picture comes in seven passes over the whole of it, so it is held whole: as one byte a pixel where that
//! says its colour, as three otherwise.

mod metadata;

use std::io::Cursor;

use png::{BitDepth, ColorType, Decoder, Limits, Reader, Transformations};

use super::colors::{self, Colors};
use super::{Frame, Rows};
use crate::preprocess::error::DecodeError;
use crate::preprocess::format::Format;
use crate::preprocess::header::Header;
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;

/// Where the pixels of each pass lie: the first column and row, and the steps between columns and rows.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

/// What a decoder may take beside the rows that it works on.
const SLACK_BYTES: usize = 16 << 20;

struct Png<'a> {
    reader: Reader<Cursor<&'a [u8]>>,
    pixel: Pixel,
}

/// What becomes of a pixel's samples.
struct Pixel {
    color: ColorType,
    bits: u8,
    /// The colours, where one byte a pixel says which.
    colors: Option<Box<Colors>>,
}

fn corrupt(error: impl std::fmt::Display) -> DecodeError {
    DecodeError::corrupt(Format::Png, error)
}

pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<(Frame, Box<dyn Rows + 'a>), DecodeError> {
    let turn = {
        let (exif, xmp) = metadata::read(bytes);
        Turn::from_metadata(exif.as_deref(), xmp.as_deref())
    };
    // Eight bytes are the largest pixel; the decoder holds a few rows.
    let limits = Limits { bytes: header.width as usize * 8 * 8 + SLACK_BYTES };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::IDENTITY);
    let reader = decoder.read_info().map_err(corrupt)?;
    let info = reader.info();
    let pixel = Pixel::new(info.color_type, info.bit_depth, info.palette.as_deref());
    let frame = Frame { width: info.width, height: info.height, turn, turn_is_intrinsic: false };
    Ok((frame, Box::new(Png { reader, pixel })))
}

impl Rows for Png<'_> {
    fn read(mut self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let info = self.reader.info();
        let (width, height) = (info.width as usize, info.height as usize);
        if info.interlaced {
            return self.read_passes(width, height, sink);
        }
        let mut samples = vec![0; if self.pixel.colors.is_some() { width } else { 0 }];
        for _ in 0..height {
            let row = self.reader.next_row().map_err(corrupt)?.ok_or_else(|| corrupt("it has too few rows"))?;
            let row = row.data();
            match &self.pixel.colors {
                Some(colors) => sink.row(&mut |rgb| {
                    self.pixel.sample(row, &mut samples);
                    colors::paint(&samples, colors, rgb);
                }),
                None => sink.row(&mut |rgb| self.pixel.sample(row, rgb)),
            }
        }
        Ok(())
    }
}

impl Png<'_> {
    fn read_passes(mut self, width: usize, height: usize, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let bytes = if self.pixel.colors.is_some() { 1 } else { 3 };
        let mut canvas = vec![0; width * height * bytes];
        let mut samples = vec![0; width * bytes];
        for [left, top, across, down] in PASSES {
            let samples = &mut samples[..width.saturating_sub(left).div_ceil(across) * bytes];
            for y in (top..height).step_by(down).take(if samples.is_empty() { 0 } else { height }) {
                let row = self.reader.next_interlaced_row().map_err(corrupt)?;
                let row = row.ok_or_else(|| corrupt("it has too few rows"))?;
                self.pixel.sample(row.data(), samples);
                let pixels = canvas[y * width * bytes..][..width * bytes].chunks_exact_mut(bytes);
                for (sample, pixel) in samples.chunks_exact(bytes).zip(pixels.skip(left).step_by(across)) {
                    pixel.copy_from_slice(sample);
                }
            }
        }
        for row in canvas.chunks_exact(width * bytes) {
            sink.row(&mut |rgb| match &self.pixel.colors {
                Some(colors) => colors::paint(row, colors, rgb),
                None => rgb.copy_from_slice(row),
            });
        }
        Ok(())
    }
}

impl Pixel {
    fn new(color: ColorType, depth: BitDepth, palette: Option<&[u8]>) -> Self {
        let bits = depth as u8;
        let colors = match color {
            ColorType::Indexed => Some(colors::palette(palette.unwrap_or_default(), |rgb| rgb)),
            ColorType::Grayscale => Some(colors::grays(1 << bits.min(8))),
            ColorType::GrayscaleAlpha => Some(colors::grays(256)),
            ColorType::Rgb | ColorType::Rgba => None,
        };
        Self { color, bits, colors: colors.map(Box::new) }
    }

    /// The samples of a row in 8 bits: one a pixel where there are colours, else three. Alpha is dropped, and of 16 bits
    /// the upper 8 are taken; except where there is gray alone: Pillow clips 16-bit gray at 255, and so do we, because
    /// the models were trained on what it gives.
    fn sample(&self, row: &[u8], samples: &mut [u8]) {
        /// One pixel for each `N` bytes.
        fn each<const N: usize, const M: usize>(row: &[u8], samples: &mut [u8], convert: impl Fn(&[u8; N]) -> [u8; M]) {
            for (pixel, sample) in row.as_chunks::<N>().0.iter().zip(samples.as_chunks_mut::<M>().0) {
                *sample = convert(pixel);
            }
        }
        match (self.color, self.bits) {
            (ColorType::Indexed, bits) | (ColorType::Grayscale, bits @ 1..=8) => colors::unpack(row, bits, samples),
            (ColorType::Grayscale, _) => each(row, samples, |&gray| [u16::from_be_bytes(gray).min(255) as u8]),
            (ColorType::GrayscaleAlpha, 8) => each(row, samples, |&[gray, _]| [gray]),
            (ColorType::GrayscaleAlpha, _) => each(row, samples, |&[gray, _, _, _]| [gray]),
            (ColorType::Rgb, 8) => samples.copy_from_slice(row),
            (ColorType::Rgb, _) => each(row, samples, |&[red, _, green, _, blue, _]| [red, green, blue]),
            (ColorType::Rgba, 8) => each(row, samples, |&[red, green, blue, _]| [red, green, blue]),
            (ColorType::Rgba, _) => each(row, samples, |&[red, _, green, _, blue, _, _, _]| [red, green, blue]),
        }
    }
}
