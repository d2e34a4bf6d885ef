//! Numbers at a place of a file, which may end before it.

/// Where a format lets anything stand before the size, this many bytes of it are looked at.
pub(in crate::preprocess) const MOST_BYTES: usize = 64 << 10;

pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

pub(super) fn u16_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|field| u16::from_le_bytes(field).into())
}

pub(super) fn u24_le(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(|[a, b, c]| u32::from_le_bytes([a, b, c, 0]))
}
