//! What a header claims: a size, and what the way of storing the pixels asks of whoever reads them.

/// What the way of storing pixels asks of whoever reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    /// An upper bound of the memory that decoding takes at once, in bytes, without the file itself.
    pub(super) memory: u64,
    /// Pixels that are computed one by one.
    pub(super) work: u64,
    /// Bytes that the file must have at least, if its pixels are to be in it.
    pub(super) least_bytes: u64,
}

/// What a format's own reader finds in the header.
pub(super) struct Claim {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) storage: Storage,
}

impl Claim {
    /// Of a format that stores every pixel, in rows: nothing but a few of these is in memory.
    pub(super) fn rows(width: u32, height: u32, row_bytes: u64) -> Self {
        let work = u64::from(width) * u64::from(height);
        Self { width, height, storage: Storage { memory: row_bytes, work, least_bytes: 0 } }
    }
}
