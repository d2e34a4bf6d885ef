//! The bytes of a TIFF's strip or tile, row by row, whatever they were packed with.

use std::borrow::Cow;
use std::io::Read;

use flate2::{Decompress, FlushDecompress, Status};

use super::error::UnpackError;
use super::fax::{Fax, FaxCoding};
use crate::preprocess::decode::fault::tiff as corrupt;
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::tiff::{Page, UNCOMPRESSED};

/// How chunks are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    None,
    PackBits,
    Lzw,
    Deflate,
    Zstd,
    Fax(FaxCoding),
    /// A picture of its own: [`crate::preprocess::decode::jpeg`].
    Jpeg,
}

impl Packing {
    pub(super) fn of(page: &Page) -> Result<Self, DecodeError> {
        let packing = match page.compression {
            UNCOMPRESSED => Self::None,
            2 => Self::Fax(FaxCoding::Runs),
            3 => Self::Fax(FaxCoding::Group3 { has_two_dimensions: page.fax_options & 1 > 0 }),
            4 => Self::Fax(FaxCoding::Group4),
            5 => Self::Lzw,
            7 => Self::Jpeg,
            8 | 32946 => Self::Deflate,
            32773 => Self::PackBits,
            50000 => Self::Zstd,
            other => return Err(corrupt(format_args!("compression {other} is not read"))),
        };
        let predicts = matches!(packing, Self::Lzw | Self::Deflate | Self::Zstd);
        let bits = page.bits.first().copied().unwrap_or(0);
        match page.predictor {
            _ if !predicts => {}
            1 => {}
            2 if matches!(bits, 8 | 16 | 32) => {}
            3 if page.sample_format == 3 && bits == 32 => {}
            other => return Err(corrupt(format_args!("predictor {other} with samples of {bits} bits is not read"))),
        }
        if matches!(packing, Self::Fax(_)) && page.bits[..] != [1] {
            return Err(corrupt("a fax of more than one bit a pixel is not read"));
        }
        if packing == Self::Jpeg && page.is_planar {
            return Err(corrupt("planes packed with JPEG are not read"));
        }
        Ok(packing)
    }
}

/// Unpacks a chunk.
pub(super) struct ChunkUnpacker<'a> {
    codec: Codec<'a>,
    predictor: u64,
    /// Bytes of a sample, and samples from one pixel to the next.
    sample_bytes: usize,
    samples: usize,
    big_endian: bool,
}

enum Codec<'a> {
    None(&'a [u8]),
    PackBits { data: Cow<'a, [u8]>, at: usize, run: Run },
    Lzw { data: Cow<'a, [u8]>, at: usize, decoder: Box<weezl::decode::Decoder> },
    Deflate { data: Cow<'a, [u8]>, at: usize, decoder: Box<Decompress> },
    Zstd(Box<dyn Read + 'a>),
    Fax(Fax<'a>),
}

/// What is left of a run of PackBits.
#[derive(Clone, Copy)]
enum Run {
    Literal(usize),
    Repeat(u8, usize),
}

impl<'a> ChunkUnpacker<'a> {
    pub(super) fn new(packing: Packing, data: &'a [u8], page: &Page, big_endian: bool) -> Result<Self, DecodeError> {
        let mirror = |data: &'a [u8]| match page.is_mirrored {
            true => Cow::from(data.iter().map(|byte| byte.reverse_bits()).collect::<Vec<_>>()),
            false => Cow::from(data),
        };
        let codec = match packing {
            // Where nothing is packed the bits are turned later, of the rows that are wanted.
            Packing::None | Packing::Jpeg => Codec::None(data),
            Packing::PackBits => Codec::PackBits { data: mirror(data), at: 0, run: Run::Literal(0) },
            Packing::Lzw => {
                let data = mirror(data);
                // The first writers took LZW as GIF has it; what a chunk begins with, a code that clears the table, tells.
                let is_old = matches!(data[..], [0, second, ..] if second & 1 == 1);
                let decoder = match is_old {
                    true => weezl::decode::Decoder::new(weezl::BitOrder::Lsb, 8),
                    false if !matches!(data[..], [0x80, 0..=0x7f, ..]) => {
                        return Err(corrupt("its LZW does not begin with the code that clears the table"));
                    }
                    false => weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8),
                };
                Codec::Lzw { data, at: 0, decoder: Box::new(decoder) }
            }
            Packing::Deflate => Codec::Deflate { data: mirror(data), at: 0, decoder: Box::new(Decompress::new(true)) },
            Packing::Zstd => {
                let decoder = zstd::Decoder::with_buffer(std::io::Cursor::new(mirror(data))).map_err(corrupt)?;
                Codec::Zstd(Box::new(decoder))
            }
            Packing::Fax(coding) => Codec::Fax(Fax::new(mirror(data), coding, page.chunks.width as usize)),
        };
        let predicts = matches!(packing, Packing::Lzw | Packing::Deflate | Packing::Zstd);
        Ok(Self {
            codec,
            predictor: if predicts { page.predictor } else { 1 },
            sample_bytes: page.bits.first().map_or(1, |&bits| (bits as usize / 8).max(1)),
            samples: if page.is_planar { 1 } else { page.bits.len() },
            big_endian,
        })
    }

    /// Gives the differences that a predictor left as they are.
    pub(super) fn forget_predictor(&mut self) {
        self.predictor = 1;
    }

    /// The next row.
    pub(super) fn row(&mut self, row: &mut [u8]) -> Result<(), UnpackError> {
        self.codec.fill(row)?;
        match self.predictor {
            2 => self.add_neighbours(row),
            3 => self.join_floats(row),
            _ => {}
        }
        Ok(())
    }

    /// Checks what follows the last row, if there is something to check.
    pub(super) fn finish(&mut self) -> Result<(), UnpackError> {
        if let Codec::Deflate { data, at, decoder } = &mut self.codec {
            // The checksum, if the file has it.
            let status = decoder.decompress(&data[*at..], &mut [], FlushDecompress::None);
            status.map_err(|error| UnpackError::Broken(error.to_string()))?;
        }
        Ok(())
    }

    /// Undoes the predictor of integers: each sample is stored as its difference from the one before it.
    fn add_neighbours(&self, row: &mut [u8]) {
        let (bytes, step) = (self.sample_bytes, self.sample_bytes * self.samples);
        for at in (step..(row.len() + 1).saturating_sub(bytes)).step_by(bytes) {
            let mut carry = 0;
            for byte in 0..bytes {
                // From the lowest byte of both samples to the highest.
                let place = if self.big_endian { bytes - 1 - byte } else { byte };
                let sum = u16::from(row[at + place]) + u16::from(row[at - step + place]) + carry;
                row[at + place] = sum as u8;
                carry = sum >> 8;
            }
        }
    }

    /// Undoes the predictor of floating point numbers: their first bytes come first, then all second ones, and each byte
    /// is stored as its difference from the one before it.
    fn join_floats(&self, row: &mut [u8]) {
        for at in self.samples..row.len() {
            row[at] = row[at].wrapping_add(row[at - self.samples]);
        }
        let apart = row.to_vec();
        let count = row.len() / self.sample_bytes;
        for (index, sample) in row.chunks_exact_mut(self.sample_bytes).enumerate() {
            for (place, byte) in sample.iter_mut().enumerate() {
                let plane = if self.big_endian { place } else { self.sample_bytes - 1 - place };
                *byte = apart[plane * count + index];
            }
        }
    }
}

impl Codec<'_> {
    fn fill(&mut self, row: &mut [u8]) -> Result<(), UnpackError> {
        let broken = |error: &dyn std::fmt::Display| UnpackError::Broken(error.to_string());
        match self {
            Self::None(data) => {
                let (bytes, rest) = data.split_at_checked(row.len()).ok_or(UnpackError::Cut)?;
                row.copy_from_slice(bytes);
                *data = rest;
            }
            Self::PackBits { data, at, run } => {
                let mut filled = 0;
                while filled < row.len() {
                    let room = row.len() - filled;
                    let out = &mut row[filled..];
                    match run {
                        Run::Literal(0) | Run::Repeat(_, 0) => *run = next_run(data, at).ok_or(UnpackError::Cut)?,
                        Run::Literal(left) => {
                            let count = room.min(*left);
                            out[..count].copy_from_slice(data.get(*at..*at + count).ok_or(UnpackError::Cut)?);
                            (filled, *at, *left) = (filled + count, *at + count, *left - count);
                        }
                        Run::Repeat(byte, left) => {
                            let count = room.min(*left);
                            out[..count].fill(*byte);
                            (filled, *left) = (filled + count, *left - count);
                        }
                    }
                }
            }
            Self::Lzw { data, at, decoder } => {
                let (mut filled, mut has_stood_still) = (0, false);
                while filled < row.len() {
                    let result = decoder.decode_bytes(&data[*at..], &mut row[filled..]);
                    (*at, filled) = (*at + result.consumed_in, filled + result.consumed_out);
                    let status = result.status.map_err(|error| broken(&error))?;
                    // Once it says so too where the input is used up and its last code is still to be given out.
                    let stands_still = matches!(status, weezl::LzwStatus::NoProgress);
                    let has_ended = matches!(status, weezl::LzwStatus::Done) || stands_still && has_stood_still;
                    if filled < row.len() && has_ended {
                        return Err(UnpackError::Cut);
                    }
                    has_stood_still = stands_still;
                }
            }
            Self::Deflate { data, at, decoder } => {
                let mut filled = 0;
                while filled < row.len() {
                    let (read, written) = (decoder.total_in(), decoder.total_out());
                    let status = decoder.decompress(&data[*at..], &mut row[filled..], FlushDecompress::None);
                    let status = status.map_err(|error| broken(&error))?;
                    *at += (decoder.total_in() - read) as usize;
                    let wrote = (decoder.total_out() - written) as usize;
                    filled += wrote;
                    let stands_still = wrote == 0 && decoder.total_in() == read;
                    if filled < row.len() && (status == Status::StreamEnd || stands_still) {
                        return Err(UnpackError::Cut);
                    }
                }
            }
            Self::Zstd(reader) => reader.read_exact(row).map_err(|error| broken(&error))?,
            Self::Fax(fax) => fax.row(row)?,
        }
        Ok(())
    }
}

/// The head of the next run of PackBits.
fn next_run(data: &[u8], at: &mut usize) -> Option<Run> {
    let head = i32::from(*data.get(*at)? as i8);
    *at += 1;
    Some(match head {
        -128 => Run::Literal(0),
        0.. => Run::Literal(head as usize + 1),
        _ => {
            let byte = *data.get(*at)?;
            *at += 1;
            Run::Repeat(byte, (1 - head) as usize)
        }
    })
}
