//! TIFF through the `tiff` crate itself: `image` in front of it rounds CMYK otherwise than Pillow does.

use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, Limits as TiffLimits};
use tiff::tags::{SampleFormat, Tag};

use super::Frame;
use super::cmyk::cmyk_to_rgb;
use crate::preprocess::error::DecodeError;
use crate::preprocess::format::Format;
use crate::preprocess::header::Header;
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;

pub(super) struct Tiff<'a> {
    decoder: Decoder<Cursor<&'a [u8]>>,
    width: usize,
    height: usize,
}

pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<(Frame, Tiff<'a>), DecodeError> {
    let corrupt = |error| DecodeError::corrupt(Format::Tiff, error);
    // Eight bytes are the largest pixel that is read: 16-bit RGBA or CMYK.
    let most = header.pixels() as usize * 8;
    let mut limits = TiffLimits::default();
    limits.decoding_buffer_size = most;
    limits.intermediate_buffer_size = most.max(limits.ifd_value_size);
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(corrupt)?.with_limits(limits);
    let (width, height) = decoder.dimensions().map_err(corrupt)?;
    let orientation = decoder.find_tag_unsigned::<u64>(Tag::Orientation).ok().flatten();
    // Pillow turns a TIFF while it loads it, so everybody sees it upright.
    let turn = orientation.map(Turn::from_number).unwrap_or_default();
    let frame = Frame { width, height, turn, turn_is_intrinsic: true };
    Ok((frame, Tiff { decoder, width: width as usize, height: height as usize }))
}

impl Tiff<'_> {
    pub(super) fn read(mut self, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let corrupt = |error| DecodeError::corrupt(Format::Tiff, error);
        let color = self.decoder.colortype().map_err(corrupt)?;
        let layout = self.decoder.image_buffer_layout().map_err(corrupt)?;
        let samples = Samples { color, bits: color.bit_depth(), channels: channels(color), width: self.width };
        let most = self.width * self.height * 8;
        if layout.sample_format != SampleFormat::Uint || !samples.are_read() || layout.complete_len > most {
            let cause = format_args!("{color:?} samples ({:?}) are not read", layout.sample_format);
            return Err(DecodeError::corrupt(Format::Tiff, cause));
        }
        let mut data = vec![0; layout.complete_len];
        self.decoder.read_image_bytes(&mut data).map_err(corrupt)?;

        let row_bytes = layout.row_stride.map_or(0, usize::from);
        let plane_bytes = layout.plane_stride.filter(|_| layout.planes > 1).map_or(0, usize::from);
        for y in 0..self.height {
            sink.row(&mut |rgb| {
                for (x, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    *pixel = samples.rgb(|channel| {
                        if plane_bytes > 0 {
                            (&data[channel * plane_bytes + y * row_bytes..], x)
                        } else {
                            (&data[y * row_bytes..], x * samples.channels + channel)
                        }
                    });
                }
            });
        }
        Ok(())
    }
}

fn channels(color: ColorType) -> usize {
    match color {
        ColorType::Gray(_) => 1,
        ColorType::GrayA(_) => 2,
        ColorType::Multiband { num_samples, .. } => num_samples.into(),
        ColorType::RGB(_) => 3,
        ColorType::RGBA(_) | ColorType::CMYK(_) => 4,
        ColorType::CMYKA(_) => 5,
        _ => 0,
    }
}

/// How the samples of a page lie and what they mean.
struct Samples {
    color: ColorType,
    bits: u8,
    channels: usize,
    width: usize,
}

impl Samples {
    fn are_read(&self) -> bool {
        match self.color {
            ColorType::Gray(bits) => matches!(bits, 1 | 2 | 4 | 8 | 16),
            ColorType::GrayA(bits) | ColorType::RGB(bits) | ColorType::RGBA(bits) => matches!(bits, 8 | 16),
            ColorType::CMYK(bits) => matches!(bits, 8 | 16),
            // Gray with alpha.
            ColorType::Multiband { bit_depth, num_samples } => num_samples == 2 && matches!(bit_depth, 8 | 16),
            _ => false,
        }
    }

    /// One pixel; `at` gives for a channel the row that holds it and its index there.
    fn rgb<'a>(&self, at: impl Fn(usize) -> (&'a [u8], usize)) -> [u8; 3] {
        let sample = |channel| {
            let (row, index) = at(channel);
            self.sample(row, index)
        };
        match self.color {
            ColorType::RGB(_) | ColorType::RGBA(_) => [0, 1, 2].map(sample),
            ColorType::CMYK(_) => cmyk_to_rgb([0, 1, 2, 3].map(sample)),
            // As Pillow does with 16-bit gray alone: clipped, not scaled.
            ColorType::Gray(16) => {
                let (row, index) = at(0);
                [u16::from_ne_bytes([row[index * 2], row[index * 2 + 1]]).min(255) as u8; 3]
            }
            _ => [sample(0); 3],
        }
    }

    /// A sample in 8 bits: smaller ones are stretched, of larger ones the upper byte is taken.
    fn sample(&self, row: &[u8], index: usize) -> u8 {
        match self.bits {
            8 => row[index],
            16 => u16::from_ne_bytes([row[index * 2], row[index * 2 + 1]]).to_be_bytes()[0],
            bits => {
                let bit = index * usize::from(bits);
                let value = row[bit / 8] << (bit % 8) >> (8 - bits);
                value * (255 / ((1u8 << bits) - 1))
            }
        }
    }
}
