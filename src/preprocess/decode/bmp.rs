//! BMP as Pillow reads it: of any size of header, palettes, bit fields, run lengths.
//!
//! A reader of our own, because others see several kinds otherwise (the rounding of 5 and 6 bits, pixels that run
//! lengths leave out, OS/2's headers) and the format is small. Rows are taken from where they lie in the file; only run
//! lengths are unpacked, to a byte a pixel, because they start with the last row.

use super::colors::{self, Colors};
use super::fault::bmp as corrupt;
use super::frame::{Frame, Rows};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::Header;
use crate::preprocess::header::bmp::{BIT_FIELDS, Info, RAW, RLE4, RLE8};
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;

struct Bmp<'a> {
    info: Info,
    pixel: Pixel,
    bytes: &'a [u8],
    /// Where its pixels start.
    start: usize,
}

/// How pixels lie in a row.
enum Pixel {
    /// Indices of so many bits.
    Index { bits: u8, colors: Box<Colors> },
    /// Five bits blue, five or six green, five red, from the lowest.
    Packed { green_bits: u32 },
    /// So many bytes, of which these are red, green and blue.
    Bytes { count: usize, rgb: [usize; 3] },
}

pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<(Frame, Box<dyn Rows + 'a>), DecodeError> {
    let info = Info::read(bytes).ok_or_else(|| corrupt("its header is cut off, or of an unknown kind"))?;
    let (pixel, behind) = Pixel::new(&info, bytes)?;
    let start = if info.pixels > 0 { info.pixels } else { behind };
    let frame = Frame { width: header.width, height: header.height, turn: Turn::default(), turn_is_intrinsic: false };
    Ok((frame, Box::new(Bmp { info, pixel, bytes, start })))
}

impl Pixel {
    /// How pixels lie, and where the palette ends.
    fn new(info: &Info, bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        let not_read = || corrupt(format_args!("{} bits a pixel of this layout are not read", info.bits));
        let bytes_of = |rgb: [usize; 3]| Self::Bytes { count: usize::from(info.bits) / 8, rgb };
        let pixel = match (info.bits, info.compression) {
            (1 | 4 | 8, RAW | RLE8 | RLE4) => return Self::indexed(info, bytes),
            (16, RAW) => Self::Packed { green_bits: 5 },
            (24 | 32, RAW) => bytes_of([2, 1, 0]),
            (16, BIT_FIELDS) => match info.masks {
                Some([0xf800, 0x7e0, 0x1f, _]) => Self::Packed { green_bits: 6 },
                Some([0x7c00, 0x3e0, 0x1f, _]) => Self::Packed { green_bits: 5 },
                _ => return Err(not_read()),
            },
            (24, BIT_FIELDS) if matches!(info.masks, Some([0xff0000, 0xff00, 0xff, _])) => bytes_of([2, 1, 0]),
            (32, BIT_FIELDS) => match info.masks {
                Some([0xff0000, 0xff00, 0xff, 0 | 0xff000000] | [0, 0, 0, 0]) => bytes_of([2, 1, 0]),
                Some([0xff000000, 0xff0000, 0xff00, 0 | 0xff]) => bytes_of([3, 2, 1]),
                Some([0xff000000, 0xff00, 0xff, 0 | 0xff0000]) => bytes_of([3, 1, 0]),
                Some([0xff, 0xff00, 0xff0000, 0xff000000]) => bytes_of([0, 1, 2]),
                _ => return Err(not_read()),
            },
            _ => return Err(not_read()),
        };
        Ok((pixel, info.palette))
    }

    fn indexed(info: &Info, bytes: &[u8]) -> Result<(Self, usize), DecodeError> {
        if !(1..=65536).contains(&info.colors) {
            return Err(corrupt(format_args!("a palette of {} colours is not read", info.colors)));
        }
        let end = (info.palette + info.color_bytes * info.colors).min(bytes.len());
        let entries = bytes.get(info.palette..end).unwrap_or_default();
        let gray = |index: usize| if info.colors == 2 { index * 255 } else { index };
        let is_gray = (0..info.colors).all(|index| {
            let entry = entries.get(index * info.color_bytes..).and_then(|entry| entry.first_chunk::<3>());
            entry.is_some_and(|bgr| bgr.iter().all(|&value| usize::from(value) == gray(index)))
        });
        if !is_gray && entries.len() / info.color_bytes > 256 {
            return Err(corrupt(format_args!("a palette of {} colours is not read", info.colors)));
        }
        let is_packed = info.compression == RAW;
        let bits = info.bits as u8;
        let (bits, colors) = match (is_gray, info.colors, is_packed) {
            // A palette of gray levels in order says nothing: Pillow takes the pixels for the levels themselves, whatever
            // their bits.
            (true, ..=2, true) => (1, colors::grays(2)),
            (true, ..=2, false) => (8, std::array::from_fn(|index| [if index > 0 { 255 } else { 0 }; 3])),
            (true, ..) => (8, colors::grays(256)),
            (false, ..) => (bits, colors::palette(entries, |color: [u8; 4]| [color[2], color[1], color[0]])),
        };
        let colors = match (is_gray, info.color_bytes) {
            (false, 3) => colors::palette(entries, |[blue, green, red]| [red, green, blue]),
            _ => colors,
        };
        Ok((Self::Index { bits, colors: Box::new(colors) }, end))
    }

    fn row(&self, row: &[u8], indices: &mut [u8], rgb: &mut [u8]) {
        let pixels = rgb.as_chunks_mut::<3>().0;
        match self {
            Self::Index { bits, colors } => {
                colors::unpack(row, *bits, indices);
                colors::paint(indices, colors, rgb);
            }
            Self::Packed { green_bits } => {
                for (pixel, rgb) in row.as_chunks::<2>().0.iter().zip(pixels) {
                    let (pixel, most) = (u32::from(u16::from_le_bytes(*pixel)), (1 << green_bits) - 1);
                    let (blue, green, red) = (pixel & 31, pixel >> 5 & most, pixel >> (5 + green_bits) & 31);
                    // Pillow truncates.
                    *rgb = [red * 255 / 31, green * 255 / most, blue * 255 / 31].map(|value| value as u8);
                }
            }
            Self::Bytes { count, rgb: [red, green, blue] } => {
                for (pixel, rgb) in row.chunks_exact(*count).zip(pixels) {
                    *rgb = [pixel[*red], pixel[*green], pixel[*blue]];
                }
            }
        }
    }
}

impl Rows for Bmp<'_> {
    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let Self { info, pixel, bytes, start } = *self;
        let data = bytes.get(start..).ok_or_else(|| corrupt("it ends before its pixels"))?;
        let (width, height) = (info.width as usize, info.height as usize);
        let unpacked;
        let (data, stride, row_bytes) = match (&pixel, info.compression) {
            (Pixel::Index { colors, .. }, RLE8 | RLE4) => {
                unpacked = run_lengths(data, info.compression == RLE4, (width, height), start % 2)?;
                let pixel = Pixel::Index { bits: 8, colors: colors.clone() };
                return rows(&unpacked, (width, width), height, info.top_down, &pixel, sink);
            }
            (Pixel::Index { bits, .. }, _) => {
                (data, (width * usize::from(info.bits)).div_ceil(32) * 4, (width * usize::from(*bits)).div_ceil(8))
            }
            _ => (data, (width * usize::from(info.bits)).div_ceil(32) * 4, width * usize::from(info.bits) / 8),
        };
        if row_bytes > stride {
            return Err(corrupt("it has fewer bits than gray levels"));
        }
        // The last row need not be filled up.
        if (height - 1).checked_mul(stride).is_none_or(|start| start + row_bytes > data.len()) {
            return Err(corrupt("its pixels end early"));
        }
        rows(data, (stride, row_bytes), height, info.top_down, &pixel, sink)
    }
}

/// Hands on the rows of `data`, each `stride` bytes behind the one before.
fn rows(
    data: &[u8],
    (stride, row_bytes): (usize, usize),
    height: usize,
    top_down: bool,
    pixel: &Pixel,
    sink: &mut dyn RowSink,
) -> Result<(), DecodeError> {
    let mut indices = Vec::new();
    for y in 0..height {
        let row = &data[if top_down { y } else { height - 1 - y } * stride..][..row_bytes];
        sink.row(&mut |rgb| {
            if matches!(pixel, Pixel::Index { .. }) {
                indices.resize(rgb.len() / 3, 0);
            }
            pixel.row(row, &mut indices, rgb);
        });
    }
    Ok(())
}

/// Unpacks run lengths to an index a byte. What they leave out is index 0; where they end before the last pixel, the
/// picture is not whole.
///
/// * `parity`: 1 where the data starts at an odd place of the file; literal runs end at even ones
fn run_lengths(
    data: &[u8],
    nibbles: bool,
    (width, height): (usize, usize),
    parity: usize,
) -> Result<Vec<u8>, DecodeError> {
    let cut = || corrupt("its run lengths end early");
    let mut pixels = vec![0; width * height];
    // Where the next pixel comes, its column as Pillow counts it, and what is read.
    let (mut at, mut x, mut read) = (0, 0usize, 0usize);
    while at < pixels.len() {
        let [count, value] = pair(data, &mut read).ok_or_else(cut)?;
        match (count, value) {
            (0, 0) => {
                at = at.next_multiple_of(width);
                x = 0;
            }
            (0, 1) => return Err(cut()),
            (0, 2) => {
                let [right, up] = pair(data, &mut read).ok_or_else(cut)?;
                at = (at + usize::from(right) + usize::from(up) * width).min(pixels.len());
                x = at % width;
            }
            (0, literal) => {
                let count = usize::from(literal).min(pixels.len() - at);
                let length = if nibbles { count.div_ceil(2) } else { count };
                let bytes = data.get(read..read + length).ok_or_else(cut)?;
                read += length;
                let out = &mut pixels[at..at + count];
                if nibbles {
                    colors::unpack(bytes, 4, out)
                } else {
                    out.copy_from_slice(bytes)
                }
                at += count;
                x += usize::from(literal);
                if at < pixels.len() && (read + parity) % 2 == 1 {
                    read += 1;
                }
            }
            (count, value) => {
                let count = usize::from(count).min(width.saturating_sub(x)).min(pixels.len() - at);
                let (even, odd) = if nibbles { (value >> 4, value & 15) } else { (value, value) };
                for (index, pixel) in pixels[at..at + count].iter_mut().enumerate() {
                    *pixel = if index % 2 == 0 { even } else { odd };
                }
                at += count;
                x += count;
            }
        }
    }
    Ok(pixels)
}

fn pair(data: &[u8], read: &mut usize) -> Option<[u8; 2]> {
    let pair = data.get(*read..)?.first_chunk().copied();
    *read += 2;
    pair
}
