//! The blocks of a sequential scan, one after the other: their coefficients, or nothing but their averages.
//!
//! Of our own for speed; the crate's is the definition, and `tests` holds the two together.

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::common::quant_table::ZIGZAG_ORDER;

use super::bits::Bits;
use super::codes::{AcCodes, DcCodes, Skips, extended};
use crate::preprocess::decode::fault::jpeg as corrupt;
use crate::preprocess::error::DecodeError;

/// Where the coefficients, in the order of the file, stand in a block.
static PLACES: [u8; 64] = {
    let mut places = [0; 64];
    let mut index = 0;
    while index < 64 {
        places[index] = ZIGZAG_ORDER[index] as u8;
        index += 1;
    }
    places
};

/// The last place of a block.
const LAST: usize = 63;

/// Bits of a code, at most.
const LONGEST_CODE: u32 = 16;

/// What is wrong with a scan: it ends early, or there is no such code.
pub(super) enum Fault {
    Cut,
    NoCode,
}

impl From<Fault> for DecodeError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Cut => corrupt("its pixels end early"),
            Fault::NoCode => corrupt("invalid Huffman code"),
        }
    }
}

/// Reads a block into `block`, which must be all zeros.
///
/// * `average`: of the block before it, in units of its quantization; then of this one
#[inline(always)]
pub(super) fn read(
    bits: &mut Bits<'_>,
    dc: &DcCodes<'_>,
    ac: &AcCodes<'_>,
    average: &mut i16,
    block: &mut [i16; 64],
) -> Result<(), Fault> {
    let mut at_hand = *bits;
    let result = read_at_hand(&mut at_hand, dc, ac, average, block);
    *bits = at_hand;
    result
}

#[inline(always)]
fn read_at_hand(
    bits: &mut Bits<'_>,
    dc: &DcCodes<'_>,
    ac: &AcCodes<'_>,
    average: &mut i16,
    block: &mut [i16; 64],
) -> Result<(), Fault> {
    next_average(bits, dc, average)?;
    block[0] = *average;
    let mut at = 1;
    loop {
        bits.refill();
        // Of those, three look-ups or two with the longest code and value behind them.
        for _ in 0..3 {
            let pair = ac.pair(bits.peek());
            if at + pair.needs() > LAST + 1 {
                at = lone(bits, ac, at, block)?;
                if at > LAST {
                    return Ok(());
                }
                break;
            }
            let ([first, second], [value, other]) = (pair.places(), pair.values());
            // What is needed is there, so neither mask changes a place.
            block[usize::from(PLACES[(at + first) & LAST]) & LAST] = value;
            block[usize::from(PLACES[(at + second) & LAST]) & LAST] = other;
            bits.skip(pair.bits());
            at += pair.advance();
            if at > LAST {
                return Ok(());
            }
        }
    }
}

/// Reads one symbol with its value; the place behind it, which is beyond the block where that ends.
#[inline(always)]
fn lone(bits: &mut Bits<'_>, ac: &AcCodes<'_>, at: usize, block: &mut [i16; 64]) -> Result<usize, Fault> {
    let (symbol, length) = match ac.pair(bits.peek()).symbol() {
        Some(found) => found,
        None => code(*bits, ac.table)?,
    };
    bits.skip(length);
    let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
    if size == 0 {
        return Ok(if run < 15 { LAST + 1 } else { at + 16 });
    }
    // A damaged file may go beyond the block, and libjpeg lets it write the last place.
    let at = (at + run).min(LAST);
    block[usize::from(PLACES[at]) & LAST] = value(bits, size);
    Ok(at + 1)
}

/// Passes over a block, of which only the average is wanted.
#[inline(always)]
pub(super) fn skip(bits: &mut Bits<'_>, dc: &DcCodes<'_>, ac: &AcCodes<'_>, average: &mut i16) -> Result<(), Fault> {
    let Some(skips) = ac.skips() else {
        return read(bits, dc, ac, average, &mut [0; 64]);
    };
    let mut at_hand = *bits;
    let result = skip_at_hand(&mut at_hand, dc, ac, skips, average);
    *bits = at_hand;
    result
}

#[inline(always)]
fn skip_at_hand(
    bits: &mut Bits<'_>,
    dc: &DcCodes<'_>,
    ac: &AcCodes<'_>,
    skips: Skips<'_>,
    average: &mut i16,
) -> Result<(), Fault> {
    next_average(bits, dc, average)?;
    let mut at = 1;
    loop {
        bits.refill();
        for _ in 0..2 {
            let skip = skips.skip(bits.peek());
            if at + skip.needs() > LAST + 1 {
                bits.refill();
                let (symbol, length) = code(*bits, ac.table)?;
                let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
                bits.skip(length + size);
                if size == 0 && run < 15 {
                    return Ok(());
                }
                at += run + 1;
            } else {
                bits.skip(skip.bits());
                if skip.ends() {
                    return Ok(());
                }
                at += skip.needs();
            }
            if at > LAST {
                return Ok(());
            }
        }
    }
}

#[inline(always)]
fn next_average(bits: &mut Bits<'_>, dc: &DcCodes<'_>, average: &mut i16) -> Result<(), Fault> {
    bits.refill();
    let (difference, taken) = dc.step(bits.peek());
    bits.skip(taken);
    if taken > 0 {
        *average = average.wrapping_add(difference);
        return Ok(());
    }
    let (size, length) = code(*bits, dc.table)?;
    bits.skip(length);
    // More are refused before a scan is read.
    *average = average.wrapping_add(value(bits, u32::from(size & 15)));
    Ok(())
}

/// The next code's symbol and length, found without a look-up of ours.
#[inline(never)]
fn code(bits: Bits<'_>, table: &HuffmanTable) -> Result<(u8, u32), Fault> {
    let found = table.lookup((bits.peek() >> (64 - LONGEST_CODE)) as u16);
    match found {
        Ok((symbol, length)) => Ok((symbol, length.into())),
        Err(_) if bits.is_cut_within(LONGEST_CODE) => Err(Fault::Cut),
        Err(_) => Err(Fault::NoCode),
    }
}

/// The value that follows a code.
#[inline(always)]
fn value(bits: &mut Bits<'_>, size: u32) -> i16 {
    // In two steps, since a word cannot be shifted by all of its bits.
    let value = bits.peek() >> 1 >> (63 - size);
    bits.skip(size);
    extended(value as u32, size)
}
