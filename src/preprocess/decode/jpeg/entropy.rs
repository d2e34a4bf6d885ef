//! The blocks of a sequential scan, one after the other: their coefficients, or nothing but their averages.
//!
//! Of our own for speed; the crate's is the definition, and `tests` holds the two together.

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::common::quant_table::ZIGZAG_ORDER;

use super::bits::Bits;
use super::codes::{AcCodes, DcCodes, SKIP_BITS, extended};
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
    while at <= LAST {
        bits.refill();
        let pair = ac.pair(bits.peek());
        if at + pair.needs() <= LAST + 1 {
            let ([first, second], [value, other]) = (pair.places(), pair.values());
            // What is needed is there, so neither mask changes a place.
            block[usize::from(PLACES[(at + first) & LAST]) & LAST] = value;
            block[usize::from(PLACES[(at + second) & LAST]) & LAST] = other;
            bits.skip(pair.bits());
            at += pair.advance();
            continue;
        }
        let (symbol, length) = match pair.symbol() {
            Some(found) => found,
            None => code(*bits, ac.table)?,
        };
        bits.skip(length);
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 {
            if run < 15 {
                break;
            }
            at += 16;
            continue;
        }
        // A damaged file may go beyond the block, and libjpeg lets it write the last place.
        at = (at + run).min(LAST);
        block[usize::from(PLACES[at]) & LAST] = value(bits, size);
        at += 1;
    }
    Ok(())
}

/// Passes over a block, of which only the average is wanted.
#[inline(always)]
pub(super) fn skip(
    bits: &mut Bits<'_>,
    dc: &DcCodes<'_>,
    ac: &AcCodes<'_>,
    average: &mut i16,
) -> Result<(), Fault> {
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
    skips: &[u16; 1 << SKIP_BITS],
    average: &mut i16,
) -> Result<(), Fault> {
    next_average(bits, dc, average)?;
    let mut at = 1;
    while at <= LAST {
        bits.refill();
        let skip = u32::from(skips[(bits.peek() >> (64 - SKIP_BITS)) as usize]);
        let (taken, needs) = (skip & 31, (skip >> 5 & 127) as usize);
        if taken > 0 && at + needs <= LAST + 1 {
            bits.skip(taken);
            at += needs;
            if skip >> 12 != 0 {
                break;
            }
            continue;
        }
        let (symbol, length) = code(*bits, ac.table)?;
        let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
        bits.skip(length + size);
        if size == 0 && run < 15 {
            break;
        }
        at += run + 1;
    }
    Ok(())
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
