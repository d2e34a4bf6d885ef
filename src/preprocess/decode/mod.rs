//! From the bytes of a file to the rows of a stored picture in 8-bit RGB, equal to Pillow's `convert("RGB")`.
//!
//! Two steps, so that the resize can be planned between them: [`open`] finds size and orientation, [`Picture::read`]
//! hands out the rows. The only place where decoders written by others run: they get the size that was admitted before
//! they start, and a panic of theirs ends here, as a corrupt image.

mod bmp;
mod cmyk;
mod colors;
mod gif;
mod jpeg;
mod png;
mod tiff;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::error::DecodeError;
use super::format::Format;
use super::header::Header;
use super::orientation::Turn;
use super::rows::RowSink;

/// What is known of a picture before its first row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) width: u32,
    pub(super) height: u32,
    /// The turn that the file asks for.
    pub(super) turn: Turn,
    /// Whether that turn is part of the pixels for everybody, asked or not.
    pub(super) turn_is_intrinsic: bool,
}

/// A picture whose rows are still to be read.
pub(super) struct Picture<'a> {
    format: Format,
    frame: Frame,
    rows: Rows<'a>,
}

enum Rows<'a> {
    Jpeg(jpeg::Jpeg<'a>),
    Png(png::Png<'a>),
    WebP(webp::WebP<'a>),
    Gif(gif::Gif<'a>),
    Bmp(bmp::Bmp<'a>),
    Tiff(tiff::Tiff<'a>),
}

/// Finds out how large the picture is and how it lies. The size that `header` claims must have been admitted; the one
/// that is found may differ (a GIF's canvas grows with its frame) and must be admitted too.
pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<Picture<'a>, DecodeError> {
    let format = header.format;
    guarded(format, || {
        let (frame, rows) = match format {
            Format::Jpeg => jpeg::open(bytes, header).map(|(frame, rows)| (frame, Rows::Jpeg(rows)))?,
            Format::Png => png::open(bytes, header).map(|(frame, rows)| (frame, Rows::Png(rows)))?,
            Format::WebP => webp::open(bytes, header).map(|(frame, rows)| (frame, Rows::WebP(rows)))?,
            Format::Gif => gif::open(bytes).map(|(frame, rows)| (frame, Rows::Gif(rows)))?,
            Format::Bmp => bmp::open(bytes, header).map(|(frame, rows)| (frame, Rows::Bmp(rows)))?,
            Format::Tiff => tiff::open(bytes, header).map(|(frame, rows)| (frame, Rows::Tiff(rows)))?,
        };
        Ok(Picture { format, frame, rows })
    })
}

impl Picture<'_> {
    pub(super) fn frame(&self) -> Frame {
        self.frame
    }

    /// Hands every row to `sink`, from the top.
    pub(super) fn read(self, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        guarded(self.format, || match self.rows {
            Rows::Jpeg(rows) => rows.read(sink),
            Rows::Png(rows) => rows.read(sink),
            Rows::WebP(rows) => rows.read(sink),
            Rows::Gif(rows) => rows.read(sink),
            Rows::Bmp(rows) => rows.read(sink),
            Rows::Tiff(rows) => rows.read(sink),
        })
    }
}

fn guarded<T>(format: Format, work: impl FnOnce() -> Result<T, DecodeError>) -> Result<T, DecodeError> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(DecodeError::corrupt(format, "the decoder gave up on it")))
}
