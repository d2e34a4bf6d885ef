//! The bytes of an HDF5 file, which may be an entry of a zip archive: pieces by their address, numbers out of a piece.
//!
//! Every address and length comes from the file; what does not lie inside of it is no piece of it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use super::super::error::Reason;
use super::super::values::{Budget, Dtype};
use super::FORMAT;

/// What describes a network is small; only weights are large, and they are read in another way.
const MAX_PIECE_BYTES: u64 = 1 << 20;

/// A range of a file, with addresses from its start.
pub(in super::super) struct Window {
    file: File,
    start: u64,
    bytes: u64,
}

impl Window {
    /// The whole file.
    pub(in super::super) fn whole(file: File) -> Result<Self, Reason> {
        let bytes = file.metadata()?.len();
        Ok(Self { file, start: 0, bytes })
    }

    /// `bytes` of the file from `start` on.
    pub(in super::super) fn part(file: File, start: u64, bytes: u64) -> Result<Self, Reason> {
        let whole = file.metadata()?.len();
        match start.checked_add(bytes) {
            Some(end) if end <= whole => Ok(Self { file, start, bytes }),
            _ => Err(Reason::damaged(FORMAT, format!("{bytes} bytes at {start} of a file of {whole}"))),
        }
    }

    /// How many there are.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A small piece.
    pub(super) fn piece(&mut self, address: u64, bytes: u64) -> Result<Vec<u8>, Reason> {
        if bytes > MAX_PIECE_BYTES {
            return Err(Reason::damaged(FORMAT, format!("a block of {bytes} bytes at {address}")));
        }
        self.seek(address, bytes)?;
        let mut piece = vec![0; bytes as usize];
        self.file.read_exact(&mut piece)?;
        Ok(piece)
    }

    /// `count` numbers.
    pub(super) fn values(
        &mut self,
        address: u64,
        dtype: Dtype,
        count: u64,
        budget: &mut Budget,
    ) -> Result<Vec<f32>, Reason> {
        let bytes = count.saturating_mul(dtype.size() as u64);
        self.seek(address, bytes)?;
        budget.read(&mut BufReader::new(&self.file), dtype, count)
    }

    fn seek(&mut self, address: u64, bytes: u64) -> Result<(), Reason> {
        if address.checked_add(bytes).is_none_or(|end| end > self.bytes) {
            let whole = self.bytes;
            return Err(Reason::damaged(FORMAT, format!("{bytes} bytes at {address} of {whole}")));
        }
        self.file.seek(SeekFrom::Start(self.start + address))?;
        Ok(())
    }
}

/// Little-endian numbers, one after the other. `None` where the piece is at its end.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    pub(super) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(drop)
    }

    pub(super) fn number(&mut self, bytes: usize) -> Option<u64> {
        let mut whole = [0; 8];
        whole.get_mut(..bytes)?.copy_from_slice(self.take(bytes)?);
        Some(u64::from_le_bytes(whole))
    }
}
