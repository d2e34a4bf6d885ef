//! The header of PBM, PGM and PPM: words between white space, read as Pillow reads them.

use super::claim::{Claim, Storage};
use super::fields::MOST_BYTES;

/// What the words say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preprocess) struct PnmInfo {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    pub(in crate::preprocess) samples: PnmSamples,
    /// Whether numbers are written as words, not as bytes.
    pub(in crate::preprocess) is_plain: bool,
    /// The number that stands for full light; 1 where a sample is a bit.
    pub(in crate::preprocess) max: u32,
    /// Where the pixels start.
    pub(in crate::preprocess) data: usize,
}

/// What a pixel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::preprocess) enum PnmSamples {
    /// A bit: 1 is black.
    Bit,
    Gray,
    Rgb,
}

pub(super) fn read(bytes: &[u8]) -> Option<Claim> {
    let info = PnmInfo::read(bytes)?;
    let pixels = u64::from(info.width) * u64::from(info.height);
    let values = pixels.saturating_mul(info.samples.count() as u64);
    let least_bytes = match (info.is_plain, info.samples) {
        // A digit each, and but for bits something between two of them.
        (true, PnmSamples::Bit) => values,
        (true, _) => values.saturating_mul(2).saturating_sub(1),
        (false, _) => (info.row_bytes() as u64).saturating_mul(info.height.into()),
    };
    let storage = Storage { memory: info.row_bytes() as u64, work: pixels, least_bytes };
    Some(Claim { width: info.width, height: info.height, storage })
}

impl PnmSamples {
    pub(in crate::preprocess) fn count(self) -> usize {
        if self == Self::Rgb { 3 } else { 1 }
    }
}

impl PnmInfo {
    /// Reads it; `None` where a word is missing or is none, in the first [`MOST_BYTES`].
    pub(in crate::preprocess) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = &bytes[..bytes.len().min(MOST_BYTES)];
        let (samples, is_plain) = match bytes.get(1)? {
            b'1' => (PnmSamples::Bit, true),
            b'2' => (PnmSamples::Gray, true),
            b'3' => (PnmSamples::Rgb, true),
            b'4' => (PnmSamples::Bit, false),
            b'5' => (PnmSamples::Gray, false),
            b'6' => (PnmSamples::Rgb, false),
            _ => return None,
        };
        let mut at = 3;
        let mut word = || number(&word(bytes, &mut at)?);
        let (width, height) = (word()?, word()?);
        let max = if samples == PnmSamples::Bit { 1 } else { word().filter(|max| (1..65536).contains(max))? };
        Some(Self { width, height, samples, is_plain, max, data: at })
    }

    /// The bytes of a row, where numbers are bytes.
    pub(in crate::preprocess) fn row_bytes(&self) -> usize {
        match self.samples {
            PnmSamples::Bit => self.width.div_ceil(8) as usize,
            samples => self.width as usize * samples.count() * if self.max > 255 { 2 } else { 1 },
        }
    }
}

/// No word is longer.
pub(in crate::preprocess) const MOST_DIGITS: usize = 10;

/// What separates words.
pub(in crate::preprocess) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// The next word of the header, and the one byte that ends it. A comment goes to the end of its line and ends no word.
fn word(bytes: &[u8], at: &mut usize) -> Option<Vec<u8>> {
    let mut word = Vec::new();
    while word.len() <= MOST_DIGITS {
        let Some(&byte) = bytes.get(*at) else { break };
        *at += 1;
        match byte {
            b'#' => {
                let line = bytes.get(*at..).unwrap_or_default();
                let end = line.iter().position(|byte| matches!(byte, b'\r' | b'\n'));
                *at += end.map_or(line.len(), |end| end + 1);
            }
            _ if !is_space(byte) => word.push(byte),
            _ if word.is_empty() => {}
            _ => break,
        }
    }
    (1..=MOST_DIGITS).contains(&word.len()).then_some(word)
}

/// A number as Python understands it: a sign may stand before it, and single underscores between its digits.
pub(in crate::preprocess) fn number(word: &[u8]) -> Option<u32> {
    let digits = word.strip_prefix(b"+").or(word.strip_prefix(b"-")).unwrap_or(word);
    let mut value = 0u32;
    for part in digits.split(|&byte| byte == b'_') {
        if part.is_empty() {
            return None;
        }
        for digit in part {
            let digit = char::from(*digit).to_digit(10)?;
            value = value.checked_mul(10)?.checked_add(digit)?;
        }
    }
    (value == 0 || !word.starts_with(b"-")).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_stand_anywhere_and_end_no_word() {
        let info = PnmInfo::read(b"P6\n# made by hand\n1#2\r2 \x0b3\n255\n\0\0\0").expect("a header");
        assert_eq!((info.width, info.height, info.max, info.data), (12, 3, 255, 31));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for header in ["P5 1", "P5 x 1 255 ", "P5 1 1 0 ", "P5 1 1 65536 ", "P5 -1 1 255 ", "P5 00000000001 1 255 "] {
            assert_eq!(PnmInfo::read(header.as_bytes()), None, "{header}");
        }
        assert_eq!(
            ["+7", "1_0", "-0", "_1", "1__0", ""].map(|word| number(word.as_bytes())),
            [Some(7), Some(10), Some(0), None, None, None]
        );
    }
}
