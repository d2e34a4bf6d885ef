//! What the samples of a TIFF's pixel are, and the colour that Pillow makes of them.

use super::corrupt;
use crate::preprocess::decode::cmyk::cmyk_to_rgb;
use crate::preprocess::decode::colors::{self, Colors};
use crate::preprocess::directory::{Directory, tag};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::tiff::{Page, UNCOMPRESSED};

/// How a row of bytes becomes a row of colours.
pub(super) struct Layout {
    kind: Kind,
    /// Bytes of a pixel; where it has fewer bits than eight, 1.
    bytes: usize,
    /// Bytes of a sample.
    sample_bytes: usize,
    /// Whether the upper byte of a sample comes first.
    big_endian: bool,
    /// Whether the bits of every byte are in the other order.
    mirrored: bool,
}

/// The layouts that Pillow knows.
enum Kind {
    /// The first byte, or so many bits of it, says which colour.
    Colors {
        bits: u8,
        colors: Box<Colors>,
    },
    /// Gray of more bits, which Pillow clips at 255 rather than scale it.
    Gray12,
    Gray16,
    Signed16,
    Integer32,
    Float32,
    /// Red, green, blue and what else there is; of 16 bits the upper 8 are taken.
    Rgb,
    /// The same, where the fourth is what the colour was multiplied by.
    Premultiplied,
    Inks,
    YCbCr,
}

impl Layout {
    /// The layout of a page, if Pillow reads it.
    pub(super) fn of(page: &Page, directory: &Directory<'_>) -> Result<Self, DecodeError> {
        let mut big_endian = directory.is_big_endian();
        let kind = match (page.photometric, page.sample_format, &page.bits[..], &page.extra[..]) {
            (0 | 1, 1, &[bits @ (1 | 2 | 4 | 8)], []) => {
                let mut grays = colors::grays(1 << bits);
                if page.photometric == 0 {
                    grays[..1 << bits].reverse();
                }
                Kind::Colors { bits: bits as u8, colors: Box::new(grays) }
            }
            (1, 2, [8], []) | (6, 1, [8], []) if !page.is_mirrored => {
                Kind::Colors { bits: 8, colors: Box::new(colors::grays(256)) }
            }
            (1, 1, [8, 8], [0 | 2]) if !page.is_mirrored => {
                Kind::Colors { bits: 8, colors: Box::new(colors::grays(256)) }
            }
            (3, 1, &[bits @ (1 | 2 | 4 | 8)], []) => {
                Kind::Colors { bits: bits as u8, colors: Box::new(palette(directory)?) }
            }
            (3, 1, [8, 8], [0 | 2]) if !page.is_mirrored => {
                Kind::Colors { bits: 8, colors: Box::new(palette(directory)?) }
            }
            (1, 1, [12], []) if !page.is_mirrored && !big_endian => Kind::Gray12,
            (1, 1, [16], []) if !page.is_mirrored || !big_endian => Kind::Gray16,
            // White would be zero; Pillow does not invert it.
            (0, 1, [16], []) if !page.is_mirrored && !big_endian => Kind::Gray16,
            (1, 2, [16], []) if !page.is_mirrored => Kind::Signed16,
            (1, 1, [32], []) if !page.is_mirrored && !big_endian => Kind::Integer32,
            (1, 2, [32], []) if !page.is_mirrored => Kind::Integer32,
            (0 | 1, 3, [32], []) if !page.is_mirrored => Kind::Float32,
            (2, 1, [8, 8, 8], []) => Kind::Rgb,
            (2, 1, [8, 8, 8, 8], [] | [0 | 2 | 999]) if !page.is_mirrored => Kind::Rgb,
            (2, 1, [8, 8, 8, 8, 8], [0 | 2, 0]) | (2, 1, [8, 8, 8, 8, 8, 8], [0 | 2, 0, 0]) if !page.is_mirrored => {
                Kind::Rgb
            }
            (2, 1, [8, 8, 8, 8], [1]) | (2, 1, [8, 8, 8, 8, 8], [1, 0]) | (2, 1, [8, 8, 8, 8, 8, 8], [1, 0, 0])
                if !page.is_mirrored =>
            {
                Kind::Premultiplied
            }
            (2, 1, [16, 16, 16], []) | (2, 1, [16, 16, 16, 16], [] | [0 | 2]) if !page.is_mirrored => Kind::Rgb,
            (2, 1, [16, 16, 16, 16], [1]) if !page.is_mirrored => Kind::Premultiplied,
            (5, 1, [8, 8, 8, 8], [])
            | (5, 1, [8, 8, 8, 8, 8], [0])
            | (5, 1, [8, 8, 8, 8, 8, 8], [0, 0])
            | (5, 1, [16, 16, 16, 16], [])
                if !page.is_mirrored =>
            {
                Kind::Inks
            }
            // libtiff's own conversion of compressed YCbCr other than JPEG is not followed.
            (6, 1, [8, 8, 8], []) if !page.is_mirrored && matches!(page.compression, UNCOMPRESSED | 7) => Kind::YCbCr,
            (photometric, format, bits, extra) => {
                return Err(corrupt(format_args!(
                    "samples of {bits:?} bits with the meaning {photometric}, format {format} and extras {extra:?} are not read"
                )));
            }
        };
        if matches!(kind, Kind::Signed16 | Kind::Integer32 | Kind::Float32) && page.compression != UNCOMPRESSED {
            // What libtiff has turned into the processor's order, Pillow reads in the file's.
            big_endian = false;
        }
        let sample_bytes = page.bits.first().map_or(1, |&bits| (bits as usize / 8).max(1));
        if page.is_planar && sample_bytes > 1 && page.bits.len() > 1 && page.compression == UNCOMPRESSED {
            return Err(corrupt("planes of 16 bits are not read uncompressed"));
        }
        Ok(Self {
            bytes: sample_bytes * page.bits.len(),
            sample_bytes,
            big_endian,
            mirrored: page.is_mirrored && page.compression == UNCOMPRESSED,
            kind,
        })
    }

    /// Converts a row whose samples lie in several planes.
    pub(super) fn planes<'a>(&self, planes: impl Iterator<Item = &'a [u8]>, rgb: &mut [u8]) {
        let mut row = vec![0; rgb.len() / 3 * self.bytes];
        for (index, plane) in planes.enumerate() {
            let samples = row.chunks_exact_mut(self.sample_bytes).skip(index).step_by(self.bytes / self.sample_bytes);
            for (sample, plane) in samples.zip(plane.chunks_exact(self.sample_bytes)) {
                sample.copy_from_slice(plane);
            }
        }
        self.row(&row, rgb);
    }

    /// Converts a row.
    pub(super) fn row(&self, row: &[u8], rgb: &mut [u8]) {
        if self.mirrored {
            let row: Vec<u8> = row.iter().map(|byte| byte.reverse_bits()).collect();
            return self.upright_row(&row, rgb);
        }
        self.upright_row(row, rgb);
    }

    fn upright_row(&self, row: &[u8], rgb: &mut [u8]) {
        let each = |rgb: &mut [u8], convert: &dyn Fn(&[u8]) -> [u8; 3]| {
            for (pixel, rgb) in row.chunks_exact(self.bytes).zip(rgb.as_chunks_mut::<3>().0) {
                *rgb = convert(pixel);
            }
        };
        // The upper byte of sample `index`, or the only one.
        let upper = |pixel: &[u8], index: usize| {
            pixel[index * self.sample_bytes + if self.big_endian { 0 } else { self.sample_bytes - 1 }]
        };
        let number = |pixel: &[u8]| {
            let shifted = |sum: u32, &byte: &u8| sum << 8 | u32::from(byte);
            if self.big_endian { pixel.iter().fold(0, shifted) } else { pixel.iter().rev().fold(0, shifted) }
        };
        match &self.kind {
            Kind::Colors { bits: 8, colors } => each(rgb, &|pixel| colors[usize::from(pixel[0])]),
            Kind::Colors { bits, colors } => {
                let mut samples = vec![0; rgb.len() / 3];
                colors::unpack(row, *bits, &mut samples);
                colors::paint(&samples, colors, rgb);
            }
            Kind::Gray12 => {
                for (index, rgb) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    let (first, second) = (u32::from(row[index * 3 / 2]), u32::from(row[index * 3 / 2 + 1]));
                    let gray = if index % 2 == 0 { first << 4 | second >> 4 } else { (first & 15) << 8 | second };
                    *rgb = [gray.min(255) as u8; 3];
                }
            }
            Kind::Gray16 => each(rgb, &|pixel| [number(pixel).min(255) as u8; 3]),
            Kind::Signed16 => each(rgb, &|pixel| [(number(pixel) as i16).clamp(0, 255) as u8; 3]),
            Kind::Integer32 => each(rgb, &|pixel| [(number(pixel) as i32).clamp(0, 255) as u8; 3]),
            // A cast cuts off below 0 and above 255, as Pillow does.
            Kind::Float32 => each(rgb, &|pixel| [f32::from_bits(number(pixel)) as u8; 3]),
            Kind::Rgb => each(rgb, &|pixel| [0, 1, 2].map(|index| upper(pixel, index))),
            Kind::Premultiplied => each(rgb, &|pixel| {
                let alpha = u32::from(upper(pixel, 3));
                [0, 1, 2]
                    .map(|index| (u32::from(upper(pixel, index)) * 255).checked_div(alpha).unwrap_or(0).min(255) as u8)
            }),
            Kind::Inks => each(rgb, &|pixel| cmyk_to_rgb([0, 1, 2, 3].map(|index| upper(pixel, index)))),
            Kind::YCbCr => each(rgb, &|pixel| ycbcr_to_rgb([pixel[0], pixel[1], pixel[2]])),
        }
    }
}

/// The upper bytes of the colour map, which holds all reds, then all greens, then all blues.
fn palette(directory: &Directory<'_>) -> Result<Colors, DecodeError> {
    let entry = directory.entry(tag::COLOR_MAP).ok_or_else(|| corrupt("its colour map is missing"))?;
    let count = entry.count / 3;
    let value = |index| directory.value(&entry, index).map_or(0, |value| (value >> 8) as u8);
    let mut colors = [[0; 3]; 256];
    for (index, color) in colors.iter_mut().enumerate().take(count) {
        *color = [value(index), value(count + index), value(2 * count + index)];
    }
    Ok(colors)
}

/// Pillow's conversion, with factors of six binary places.
fn ycbcr_to_rgb([light, blue, red]: [u8; 3]) -> [u8; 3] {
    // As its table has them: rounded up by a half, then cut off towards zero.
    let times = |sample: u8, factor: f64| (factor * 64.0 * (f64::from(sample) - 128.0) + 0.5) as i32;
    let light = i32::from(light);
    [
        light + (times(red, 1.402) >> 6),
        light + ((times(blue, -0.34414) + times(red, -0.71414)) >> 6),
        light + (times(blue, 1.772) >> 6),
    ]
    .map(|value| value.clamp(0, 255) as u8)
}
