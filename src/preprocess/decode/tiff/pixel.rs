//! What the samples of a TIFF's pixel are, and the colour that Pillow makes of them.

use super::chroma::Chroma;
use super::lab::Lab;
use crate::preprocess::decode::cmyk::cmyk_to_rgb;
use crate::preprocess::decode::colors::{self, Colors};
use crate::preprocess::decode::fault::tiff as corrupt;
use crate::preprocess::directory::{Directory, tag};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::tiff::{JPEG, Page, UNCOMPRESSED};

/// How a row of bytes becomes a row of colours.
pub(super) struct SampleLayout {
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
    /// The same in blocks, or by factors of the file's own.
    Chroma(Box<Chroma>),
    /// CIE Lab; whether its `a` and `b` are 0 at 0, and not at 128.
    Lab {
        is_signed: bool,
    },
}

impl Kind {
    /// The kind of a page, if Pillow knows it.
    fn of(page: &Page, directory: &Directory<'_>) -> Result<Option<Self>, DecodeError> {
        let (is_plain, is_little) = (!page.is_mirrored, !directory.is_big_endian());
        let (is_packed, is_planar) = (page.compression != UNCOMPRESSED, page.is_planar);
        let colors = |bits: u64, colors: Colors| Self::Colors { bits: bits as u8, colors: Box::new(colors) };
        Ok(Some(match (page.photometric, page.sample_format, &page.bits[..], &page.extra[..]) {
            // Mirrored and inverted at once is one thing too many for Pillow.
            (0, 1, [8], []) if !is_plain && !is_packed && !is_planar => return Ok(None),
            (0 | 1, 1, &[bits @ (1 | 2 | 4 | 8)], []) => {
                let mut grays = colors::grays(1 << bits);
                // Of planes it forgets that white is zero.
                if page.photometric == 0 && (is_packed || !is_planar) {
                    grays[..1 << bits].reverse();
                }
                colors(bits, grays)
            }
            (1, 2, [8], []) if is_plain => colors(8, colors::grays(256)),
            (6, 1, [8], []) if is_plain && !is_packed => colors(8, colors::grays(256)),
            (1, 1, [8, 8], [0 | 2]) if is_plain => colors(8, colors::grays(256)),
            (3, 1, &[bits @ (1 | 2 | 4 | 8)], []) if is_plain || is_packed || bits == 8 => {
                if is_packed && bits < 8 && !is_map_of(directory, bits) {
                    return Err(corrupt(format_args!("its colour map is none of samples of {bits} bits")));
                }
                colors(bits, palette(directory)?)
            }
            (3, 1, [8, 8], [0 | 2]) if is_plain => colors(8, palette(directory)?),
            (1, 1, [12], []) if is_plain && is_little => Self::Gray12,
            (1, 1, [16], []) if is_plain || is_little => Self::Gray16,
            // White would be zero; Pillow does not invert it.
            (0, 1, [16], []) if is_plain && is_little => Self::Gray16,
            (1, 2, [16], []) if is_plain => Self::Signed16,
            (1, 1, [32], []) if is_plain && is_little => Self::Integer32,
            (1, 2, [32], []) if is_plain => Self::Integer32,
            (0 | 1, 3, [32], []) if is_plain => Self::Float32,
            (2, 1, [8, 8, 8], []) => Self::Rgb,
            // In planes that libtiff unpacks, a fourth without a name counts as what the colour was multiplied by.
            (2, 1, [8, 8, 8, 8] | [16, 16, 16, 16], []) if is_plain && is_packed && is_planar => Self::Premultiplied,
            (2, 1, [8, 8, 8, 8], [] | [0 | 2 | 999]) if is_plain => Self::Rgb,
            (2, 1, [8, 8, 8, 8, 8], [0 | 2, 0]) | (2, 1, [8, 8, 8, 8, 8, 8], [0 | 2, 0, 0]) if is_plain => Self::Rgb,
            (2, 1, [8, 8, 8, 8], [1]) if is_plain => Self::Premultiplied,
            (2, 1, [8, 8, 8, 8, 8], [1, 0]) | (2, 1, [8, 8, 8, 8, 8, 8], [1, 0, 0]) if is_plain => Self::Premultiplied,
            (2, 1, [16, 16, 16], []) | (2, 1, [16, 16, 16, 16], [] | [0 | 2]) if is_plain => Self::Rgb,
            (2, 1, [16, 16, 16, 16], [1]) if is_plain => Self::Premultiplied,
            (5, 1, [8, 8, 8, 8] | [16, 16, 16, 16], []) if is_plain => Self::Inks,
            (5, 1, [8, 8, 8, 8, 8], [0]) | (5, 1, [8, 8, 8, 8, 8, 8], [0, 0]) if is_plain => Self::Inks,
            (6, 1, [8, 8, 8], []) if is_plain && (page.compression == JPEG || !is_packed) => Self::YCbCr,
            (6, 1, [8, 8, 8], []) if is_plain => match Chroma::of(page, directory) {
                Some(chroma) => Self::Chroma(Box::new(chroma)),
                None => return Ok(None),
            },
            // Of planes Pillow forgets that they are signed.
            (8, 1, [8, 8, 8], []) if is_plain => Self::Lab { is_signed: !is_planar },
            _ => return Ok(None),
        }))
    }
}

impl SampleLayout {
    /// Whether a colour is multiplied by the fourth sample.
    pub(super) fn is_premultiplied(&self) -> bool {
        matches!(self.kind, Kind::Premultiplied)
    }

    /// How the samples lie in blocks, if they do.
    pub(super) fn blocks(&self, page: &Page) -> Option<&Chroma> {
        match &self.kind {
            Kind::Chroma(chroma) if !page.is_planar => Some(chroma),
            _ => None,
        }
    }

    /// The layout of a page, if Pillow reads it.
    pub(super) fn of(page: &Page, directory: &Directory<'_>) -> Result<Self, DecodeError> {
        let not_read = || {
            let Page { photometric, sample_format, bits, extra, is_planar, is_mirrored, .. } = page;
            let order = if directory.is_big_endian() { "big" } else { "little" };
            let apart = if *is_planar { " in planes" } else { "" };
            let mirrored = if *is_mirrored { ", mirrored" } else { "" };
            corrupt(format_args!(
                "samples of {bits:?} bits{apart} with the meaning {photometric}, format {sample_format} and extras {extra:?}, \
                 {order}-endian{mirrored}, are not read"
            ))
        };
        let kind = Kind::of(page, directory)?.ok_or_else(not_read)?;
        let is_packed = page.compression != UNCOMPRESSED;
        let sample_bytes = page.bits.first().map_or(1, |&bits| (bits as usize / 8).max(1));
        let (samples, is_apart) = (page.bits.len(), page.is_planar && page.bits.len() > 1);
        // Planes are read where Pillow reads them, and where it does not misread them.
        let (across, down) = page.chunks_in_plane();
        let is_complete = page.chunks.offsets.count == samples * across * down;
        let is_known = match (page.is_planar, is_apart, is_packed) {
            (false, ..) | (true, false, true) => true,
            (true, true, true) => samples <= 4 && sample_bytes <= 2,
            (true, false, false) => !matches!(page.bits[0], 2 | 4 | 12 | 16) && is_complete,
            (true, true, false) => {
                let is_color = matches!((page.photometric, &page.extra[..]), (2, [] | [2 | 999]) | (5 | 8, []));
                // A tile that the picture's edge cuts gets rows of the length that its known samples would give it.
                let is_cut = !page.width.is_multiple_of(page.chunks.width);
                let is_counted = !is_cut || page.photometric == 5 || samples == 3 + page.extra.len();
                sample_bytes == 1 && is_color && is_counted && is_complete
            }
        };
        if !is_known {
            return Err(not_read());
        }
        let is_number = matches!(kind, Kind::Signed16 | Kind::Integer32 | Kind::Float32);
        Ok(Self {
            bytes: sample_bytes * samples,
            sample_bytes,
            // What libtiff has turned into the processor's order, Pillow reads in the file's; and of planes it forgets
            // the order, as it forgets that their bits are mirrored.
            big_endian: directory.is_big_endian() && !(is_number && (is_packed || page.is_planar)),
            mirrored: page.is_mirrored && !is_packed && !page.is_planar,
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
            Kind::Premultiplied => {
                each(rgb, &|pixel| colors::divided([0, 1, 2].map(|index| upper(pixel, index)), upper(pixel, 3)))
            }
            Kind::Inks => each(rgb, &|pixel| cmyk_to_rgb([0, 1, 2, 3].map(|index| upper(pixel, index)))),
            Kind::Chroma(chroma) => each(rgb, &|pixel| chroma.rgb([pixel[0], pixel[1], pixel[2]])),
            Kind::Lab { is_signed } => {
                let (lab, zero) = (Lab::shared(), if *is_signed { 128 } else { 0 });
                each(rgb, &|pixel| lab.rgb([pixel[0], pixel[1] ^ zero, pixel[2] ^ zero]));
            }
            Kind::YCbCr => each(rgb, &|pixel| ycbcr_to_rgb([pixel[0], pixel[1], pixel[2]])),
        }
    }
}

/// Whether the directory says how many bits a sample has, and the colour map has as many colours: libtiff takes no other.
fn is_map_of(directory: &Directory<'_>, bits: u64) -> bool {
    let count = |tag| directory.entry(tag).map(|entry| entry.count);
    count(tag::BITS).is_some() && count(tag::COLOR_MAP) == Some(3 << bits)
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
