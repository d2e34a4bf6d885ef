//! PBM, PGM and PPM, which research data sets come in, as Pillow reads them.
//!
//! A reader of our own: it is smaller than the differences between others and Pillow (how samples are scaled to 8 bits,
//! that 16-bit gray is clipped, where comments may stand).

use super::fault::pnm as corrupt;
use super::frame::{Frame, Rows};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::Header;
use crate::preprocess::header::pnm::{MOST_DIGITS, PnmInfo, PnmSamples, is_space, number};
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;

struct Pnm<'a> {
    info: PnmInfo,
    /// The pixels and what follows them.
    data: &'a [u8],
}

pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<(Frame, Box<dyn Rows + 'a>), DecodeError> {
    let info = PnmInfo::read(bytes).ok_or_else(|| corrupt("its header is cut off"))?;
    let data = bytes.get(info.data..).unwrap_or_default();
    let frame = Frame { width: header.width, height: header.height, turn: Turn::default(), turn_is_intrinsic: false };
    Ok((frame, Box::new(Pnm { info, data })))
}

impl Rows for Pnm<'_> {
    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        if self.info.is_plain { self.words(sink) } else { self.bytes(sink) }
    }
}

impl Pnm<'_> {
    fn bytes(&self, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let info = &self.info;
        let (scale, row_bytes) = (Scale::of(info), info.row_bytes());
        for y in 0..info.height as usize {
            let row = y.checked_mul(row_bytes).and_then(|start| self.data.get(start..)?.get(..row_bytes));
            let row = row.ok_or_else(|| corrupt("its pixels end early"))?;
            let sample = |index: usize| {
                let value = if info.max > 255 {
                    u32::from(u16::from_be_bytes([row[index * 2], row[index * 2 + 1]]))
                } else {
                    row[index].into()
                };
                scale.apply(value)
            };
            sink.row(&mut |rgb| {
                for (x, rgb) in rgb.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    *rgb = match info.samples {
                        PnmSamples::Bit => [if row[x / 8] << (x % 8) & 0x80 > 0 { 0 } else { 255 }; 3],
                        PnmSamples::Gray => [sample(x); 3],
                        PnmSamples::Rgb => [0, 1, 2].map(|index| sample(x * 3 + index)),
                    };
                }
            });
        }
        Ok(())
    }

    fn words(&self, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let info = &self.info;
        let (mut words, scale) = (Words { data: self.data, at: 0 }, Scale::of(info));
        let mut samples = vec![0; info.width as usize * info.samples.count()];
        for _ in 0..info.height {
            for sample in &mut samples {
                *sample = match info.samples {
                    PnmSamples::Bit => words.bit()?.ok_or_else(|| corrupt("its pixels end early"))?,
                    _ => match words.number()? {
                        Some(value) if value <= info.max => scale.apply(value),
                        Some(value) => return Err(corrupt(format_args!("{value} is more than its {}", info.max))),
                        None => return Err(corrupt("its pixels end early")),
                    },
                };
            }
            sink.row(&mut |rgb| match info.samples {
                PnmSamples::Rgb => rgb.copy_from_slice(&samples),
                _ => rgb.as_chunks_mut::<3>().0.iter_mut().zip(&samples).for_each(|(rgb, &gray)| *rgb = [gray; 3]),
            });
        }
        if info.samples == PnmSamples::Bit { words.check_block() } else { Ok(()) }
    }
}

/// How samples become 8 bits.
struct Scale {
    max: f64,
    /// What full light becomes.
    full: f64,
}

impl Scale {
    fn of(info: &PnmInfo) -> Self {
        // Gray of more than 8 bits becomes 16 bits, and these are clipped, not scaled; colours become 8 bits at once.
        let full = if info.samples == PnmSamples::Gray && info.max > 255 { 65535.0 } else { 255.0 };
        Self { max: info.max.into(), full }
    }

    fn apply(&self, value: u32) -> u8 {
        (f64::from(value) / self.max * self.full).round_ties_even().min(255.0) as u8
    }
}

/// Numbers that are written as words. Comments are taken out wherever they stand, even within a word.
struct Words<'a> {
    data: &'a [u8],
    at: usize,
}

/// Pillow reads so much at once, and looks at all of it.
const BLOCK_BYTES: usize = 1 << 20;

impl Words<'_> {
    fn byte(&mut self) -> Option<u8> {
        loop {
            let byte = *self.data.get(self.at)?;
            self.at += 1;
            if byte != b'#' {
                return Some(byte);
            }
            let line = &self.data[self.at..];
            let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
            self.at += end.map_or(line.len(), |end| end + 1);
        }
    }

    /// The next bit, which nothing need separate from the next one, as light.
    fn bit(&mut self) -> Result<Option<u8>, DecodeError> {
        while let Some(byte) = self.byte() {
            match byte {
                b'0' => return Ok(Some(255)),
                b'1' => return Ok(Some(0)),
                _ if is_space(byte) => {}
                _ => return Err(corrupt(format_args!("{} is no bit", byte.escape_ascii()))),
            }
        }
        Ok(None)
    }

    fn number(&mut self) -> Result<Option<u32>, DecodeError> {
        let mut word = Vec::new();
        while let Some(byte) = self.byte() {
            match byte {
                _ if !is_space(byte) && word.len() > MOST_DIGITS => break,
                _ if !is_space(byte) => word.push(byte),
                _ if word.is_empty() => {}
                _ => break,
            }
        }
        if word.is_empty() {
            return Ok(None);
        }
        let value = if word.len() > MOST_DIGITS { None } else { number(&word) };
        value.map(Some).ok_or_else(|| corrupt(format_args!("{} is no number", word.escape_ascii())))
    }

    /// Checks that what is left of the block holds bits only.
    fn check_block(&mut self) -> Result<(), DecodeError> {
        let end = self.at.next_multiple_of(BLOCK_BYTES);
        self.data = &self.data[..end.min(self.data.len())];
        while self.bit()?.is_some() {}
        Ok(())
    }
}
