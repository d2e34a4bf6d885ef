//! Packed varints, one by one and within bounds.

use bytes::Bytes;

/// The most bytes of 64 bits, seven in each.
const LONGEST: u32 = 10;

/// Hands each number of `pieces` to `take`; no more than `most` and one.
///
/// # Errors
/// What is wrong, where one does not end or is too long.
pub(super) fn each(pieces: &[Bytes], most: usize, mut take: impl FnMut(u64)) -> Result<(), &'static str> {
    let mut taken = 0;
    for piece in pieces {
        let (mut value, mut length) = (0u64, 0);
        for byte in piece {
            if length == LONGEST {
                return Err("a number has more than ten bytes");
            }
            // The last byte of ten has one bit left.
            value |= u64::from(byte & 0x7f).checked_shl(7 * length).unwrap_or(0);
            length += 1;
            if byte & 0x80 != 0 {
                continue;
            }
            if taken > most {
                return Ok(());
            }
            taken += 1;
            take(value);
            (value, length) = (0, 0);
        }
        if length > 0 {
            return Err("the last number is cut off");
        }
    }
    Ok(())
}
