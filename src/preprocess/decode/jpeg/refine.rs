//! One more bit of a band of coefficients, the pass of a progressive JPEG that costs most (ITU T.81, G.1.2.3).
//!
//! Of our own because the crate's public one walks over all of the band in every block; most blocks end early, and a
//! note of how far each has come spares the walk.

use libjpeg_turbo_rs::JpegError;
use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::common::quant_table::ZIGZAG_ORDER;
use libjpeg_turbo_rs::decode::bitstream::BitReader;

/// The last coefficient of a block.
const LAST: usize = 63;

/// Refines a block.
///
/// * `band`: its first and last coefficient, in zigzag order
/// * `shift`: the place of the new bit
/// * `empty_blocks`: how many blocks from here on get no new coefficients
/// * `reach`: no coefficient beyond it is other than zero
#[inline(always)]
pub(super) fn refine(
    bits: &mut BitReader<'_>,
    table: &HuffmanTable,
    block: &mut [i16; 64],
    (first, last): (u8, u8),
    shift: u8,
    empty_blocks: &mut u16,
    reach: &mut u8,
) -> Result<(), JpegError> {
    let (first, last) = (usize::from(first), usize::from(last).min(LAST));
    let (plus, minus) = (1i16 << (shift & 15), -1i16 << (shift & 15));
    let mut at = first;
    if *empty_blocks == 0 {
        while at <= last {
            let peeked = bits.peek_bits(16);
            let (symbol, length) = match table.lookup_fast(peeked) {
                (_, 0) => table.lookup(peeked)?,
                found => found,
            };
            bits.skip_bits(length);
            let mut zeros = usize::from(symbol >> 4);
            let value = if symbol & 15 > 0 {
                if bits.read_bits(1) == 1 { plus } else { minus }
            } else if zeros == 15 {
                0
            } else {
                *empty_blocks = (1 << zeros) + if zeros > 0 { bits.read_bits(zeros as u8) } else { 0 };
                break;
            };
            // Over as many zeros as were announced; what is not zero on the way gets its bit.
            let known = last.min((*reach).into());
            while at <= known {
                let coefficient = &mut block[ZIGZAG_ORDER[at]];
                if *coefficient != 0 {
                    refine_one(bits, coefficient, plus);
                } else if zeros == 0 {
                    break;
                } else {
                    zeros -= 1;
                }
                at += 1;
            }
            // Beyond what is known all are zeros.
            if at > known {
                at = (at + zeros).min(last + 1);
            }
            if value != 0 {
                // A damaged file may place it behind the band, and libjpeg lets it.
                let place = at.min(LAST);
                block[ZIGZAG_ORDER[place]] = value;
                *reach = (*reach).max(place as u8);
            }
            at += 1;
        }
    }
    if *empty_blocks > 0 {
        for &place in ZIGZAG_ORDER.get(at..=last.min((*reach).into())).unwrap_or_default() {
            if block[place] != 0 {
                refine_one(bits, &mut block[place], plus);
            }
        }
        *empty_blocks -= 1;
    }
    Ok(())
}

#[inline]
fn refine_one(bits: &mut BitReader<'_>, coefficient: &mut i16, plus: i16) {
    if bits.read_bits(1) == 1 && *coefficient & plus == 0 {
        *coefficient = if *coefficient >= 0 { coefficient.wrapping_add(plus) } else { coefficient.wrapping_sub(plus) };
    }
}
