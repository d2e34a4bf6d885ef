//! The rows of a PNG as they were filtered, unpacked from its data chunks.

use flate2::{Decompress, FlushDecompress, Status};

use super::chunks::{Data, Head};
use super::filter;
use crate::preprocess::decode::fault::png as corrupt;
use crate::preprocess::error::DecodeError;

/// So much is unpacked at once, or a row if that is longer.
const BUFFER_BYTES: usize = 32 << 10;

pub(super) struct RawRows<'a> {
    data: Data<'a>,
    piece: &'a [u8],
    inflate: Box<Decompress>,
    /// What is unpacked and not yet given away.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// What is still to be unpacked.
    left: u64,
    has_ended: bool,
}

impl<'a> RawRows<'a> {
    /// * `longest`: bytes of the longest row
    /// * `left`: bytes of all rows, their filters included
    pub(super) fn new(bytes: &'a [u8], head: &Head<'_>, longest: usize, left: u64) -> Self {
        Self {
            data: Data::new(bytes, head),
            piece: &[],
            inflate: Box::new(Decompress::new(true)),
            buffer: vec![0; (longest + 1).max(BUFFER_BYTES.min(usize::try_from(left).unwrap_or(BUFFER_BYTES)))],
            start: 0,
            end: 0,
            left,
            has_ended: false,
        }
    }

    /// The next row, of `length` bytes, as it was before it was filtered; `None` where the data have ended in order.
    ///
    /// * `before`: the row before it; becomes this one
    /// * `pixel_bytes`: what the filter looks back by
    pub(super) fn row<'b>(
        &mut self,
        length: usize,
        before: &'b mut [u8],
        pixel_bytes: usize,
    ) -> Result<Option<&'b [u8]>, DecodeError> {
        while self.end - self.start <= length {
            if self.has_ended {
                // A part of a row is no picture; that nothing is left is one, whose rest is empty.
                return if self.end == self.start { Ok(None) } else { Err(cut()) };
            }
            self.unpack()?;
        }
        let [kind, row @ ..] = &mut self.buffer[self.start..=self.start + length] else { return Err(cut()) };
        filter::undo(*kind, pixel_bytes, before, row)?;
        before.copy_from_slice(row);
        self.start += length + 1;
        Ok(Some(before))
    }

    fn unpack(&mut self) -> Result<(), DecodeError> {
        if self.piece.is_empty() {
            self.piece = self.data.next()?.ok_or_else(cut)?;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
        let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.buffer.len() - self.end);
        let out = &mut self.buffer[self.end..self.end + room];
        let status = self.inflate.decompress(self.piece, out, FlushDecompress::None);
        let status = status.map_err(|error| corrupt(format_args!("its pixels cannot be unpacked: {error}")))?;
        self.piece = &self.piece[(self.inflate.total_in() - read) as usize..];
        let wrote = self.inflate.total_out() - written;
        (self.end, self.left) = (self.end + wrote as usize, self.left - wrote);
        if status == Status::StreamEnd {
            // An end that comes by itself, after what looked like the middle, is none that Pillow sees.
            if wrote == 0 {
                return Err(cut());
            }
            self.has_ended = true;
        }
        Ok(())
    }
}

fn cut() -> DecodeError {
    corrupt("its pixels end early")
}
