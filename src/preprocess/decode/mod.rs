//! From the bytes of a file to the rows of a stored picture in 8-bit RGB, equal to Pillow's `convert("RGB")`.
//!
//! Two steps, so that the resize can be planned between them: [`open`] finds size and orientation, [`Picture::read`]
//! hands out the rows. The only place where decoders written by others run: they get the size that was admitted before
//! they start, and a panic of theirs ends here, as a corrupt image.

mod bmp;
mod cmyk;
mod colors;
mod fault;
mod frame;
mod gif;
mod jpeg;
mod png;
mod pnm;
mod tiff;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::DecodeError;
use super::format::Format;
use super::header::{Header, MOST_BYTES};
use super::rows::RowSink;
use frame::{Frame, Rows};

/// A picture whose rows are still to be read.
pub(super) struct Picture<'a> {
    format: Format,
    frame: Frame,
    rows: Box<dyn Rows + 'a>,
}

/// Finds out how the picture lies. What `header` claims must have been admitted; a file that turns out to show more than
/// that is refused.
pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<Picture<'a>, DecodeError> {
    let format = header.format;
    guarded(format, || {
        let (frame, rows) = match format {
            Format::Jpeg => jpeg::open(bytes)?,
            Format::Png => png::open(bytes)?,
            Format::WebP => webp::open(bytes)?,
            Format::Gif => gif::open(bytes)?,
            Format::Bmp => bmp::open(bytes, header)?,
            Format::Tiff => tiff::open(bytes, header)?,
            Format::Pnm => pnm::open(bytes, header)?,
        };
        if (frame.width, frame.height) != (header.width, header.height) {
            let Frame { width, height, .. } = frame;
            let claimed =
                format_args!("it shows {width}x{height} pixels, and its first {} bytes do not say so", MOST_BYTES);
            return Err(DecodeError::corrupt(format, claimed));
        }
        Ok(Picture { format, frame, rows })
    })
}

impl Picture<'_> {
    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    /// Divides the sides of what will be read by 2, 4 or 8, rounded up, where the format can do that at less cost.
    pub(super) fn shrink(&mut self, by: u32) {
        if by > 1
            && let Some((width, height)) = self.rows.shrink(by)
        {
            self.frame = Frame { width, height, ..self.frame };
        }
    }

    /// Hands every row to `sink`, from the top.
    pub(super) fn read(self, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        guarded(self.format, || self.rows.read(sink))
    }
}

fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(DecodeError::corrupt(format, "the decoder gave up on it")))
}
