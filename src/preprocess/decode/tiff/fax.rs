//! CCITT's codings of black and white: run lengths, group 3 in one dimension and two, group 4.
//!
//! The tables of codes are those of the `fax` crate; its decoders know fewer of the codings. A row is kept as the columns
//! where its colour changes, beginning with white. As in libtiff, a code that means nothing ends its row, and the rest is
//! white.

use std::borrow::Cow;

use fax::BitReader;
use fax::maps::{Mode, black, mode, white};

use super::error::UnpackError;

/// Which coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaxCoding {
    /// Nothing but runs; each row starts with a byte.
    Runs,
    /// Each row starts with a mark, and behind it a bit may say whether it refers to the row before.
    Group3 { has_two_dimensions: bool },
    /// Every row refers to the row before, and nothing stands between them.
    Group4,
}

pub(super) struct Fax<'a> {
    bits: Bits<'a>,
    coding: FaxCoding,
    width: usize,
    /// Where the colour changes, in the row before and in this one.
    before: Vec<usize>,
    changes: Vec<usize>,
    has_ended: bool,
}

impl<'a> Fax<'a> {
    pub(super) fn new(data: Cow<'a, [u8]>, coding: FaxCoding, width: usize) -> Self {
        let bits = Bits { data, at: 0 };
        Self { bits, coding, width, before: Vec::new(), changes: Vec::new(), has_ended: false }
    }

    /// The next row, a bit a pixel; 1 is black.
    pub(super) fn row(&mut self, row: &mut [u8]) -> Result<(), UnpackError> {
        std::mem::swap(&mut self.before, &mut self.changes);
        self.changes.clear();
        match self.coding {
            // Writers leave out white rows at the end.
            FaxCoding::Group4 if self.has_ended => {}
            FaxCoding::Group4 => self.has_ended = !self.refers(),
            FaxCoding::Runs => {
                self.bits.at = self.bits.at.next_multiple_of(8);
                if self.bits.peek(1).is_none() {
                    return Err(UnpackError::Cut);
                }
                self.runs();
            }
            FaxCoding::Group3 { has_two_dimensions } => {
                self.bits.skip_mark().ok_or(UnpackError::Cut)?;
                if !has_two_dimensions || self.bits.take(1) == Some(1) {
                    self.runs();
                } else {
                    self.refers();
                }
            }
        }
        row.fill(0);
        for black in self.changes.chunks(2) {
            for at in black[0].min(self.width)..black.get(1).copied().unwrap_or(self.width).min(self.width) {
                row[at / 8] |= 0x80 >> (at % 8);
            }
        }
        Ok(())
    }

    /// The length of a run: any number of codes for multiples of 64, and one for the rest.
    fn run(&mut self, is_black: bool) -> Option<usize> {
        let mut length = 0;
        loop {
            let code = if is_black { black::decode(&mut self.bits) } else { white::decode(&mut self.bits) };
            let code = usize::from(code?);
            length += code;
            if code < 64 || length > self.width {
                return Some(length);
            }
        }
    }

    /// A row of runs, white and black in turn.
    fn runs(&mut self) {
        let mut at = 0;
        while at < self.width {
            let Some(length) = self.run(self.changes.len() % 2 == 1) else { break };
            at += length;
            self.changes.push(at);
        }
    }

    /// A row that says how its changes lie to those of the row before; false at the picture's end.
    fn refers(&mut self) -> bool {
        // The last change in this row, as none before its first pixel; and the first in the row before that may count.
        let (mut at, mut next) = (None, 0usize);
        while at.unwrap_or(0) < self.width {
            let is_black = self.changes.len() % 2 == 1;
            // The next change behind it to the other colour, which may lie before where the last search ended.
            next = next.saturating_sub(2);
            while self.before.get(next).is_some_and(|&change| at.is_some_and(|at| change <= at))
                || next % 2 != usize::from(is_black)
            {
                next += 1;
            }
            let change = |index: usize| self.before.get(index).copied().unwrap_or(self.width);
            match mode::decode(&mut self.bits) {
                Some(Mode::Pass) => at = Some(change(next + 1)),
                Some(Mode::Vertical(by)) => {
                    let Some(to) = change(next).checked_add_signed(by.into()) else { return true };
                    at = Some(to);
                    self.changes.push(to);
                }
                Some(Mode::Horizontal) => {
                    for is_black in [is_black, !is_black] {
                        let Some(length) = self.run(is_black) else { return true };
                        at = Some(at.unwrap_or(0) + length);
                        self.changes.push(at.unwrap_or(0));
                    }
                }
                Some(Mode::Extension) => return true,
                Some(Mode::EOF) | None => return false,
            }
        }
        true
    }
}

/// The bits of the data, from the highest of each byte.
struct Bits<'a> {
    data: Cow<'a, [u8]>,
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u8) -> Option<u16> {
        let bits = self.peek(count)?;
        self.at += usize::from(count);
        Some(bits)
    }

    /// Passes over everything up to the mark of a row, eleven zeros or more and a one.
    fn skip_mark(&mut self) -> Option<()> {
        while self.peek(11)? != 0 {
            self.at += 1;
        }
        while self.take(1)? == 0 {}
        Some(())
    }
}

impl BitReader for Bits<'_> {
    type Error = std::convert::Infallible;

    /// Behind the last bit come zeros, for what began before it.
    fn peek(&self, count: u8) -> Option<u16> {
        if self.at >= self.data.len() * 8 {
            return None;
        }
        let byte = |index: usize| u32::from(self.data.get(self.at / 8 + index).copied().unwrap_or(0));
        let window = byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
        (count <= 16).then(|| ((window << (self.at % 8)) >> 16 >> (16 - count)) as u16)
    }

    fn consume(&mut self, count: u8) -> Result<(), Self::Error> {
        self.at += usize::from(count);
        Ok(())
    }

    fn bits_to_byte_boundary(&self) -> u8 {
        (self.at.next_multiple_of(8) - self.at) as u8
    }
}
