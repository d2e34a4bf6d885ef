//! PNG, and the first frame of an animated one, as Pillow reads them.
//!
//! A reader of our own, because what Pillow takes and what it refuses is a matter of which checksum, chunk and end it looks
//! at, and other readers look at others. [`chunks`] takes the file apart, [`stream`] unpacks rows, [`filter`] undoes what
//! was done to them, [`pixel`] makes colours. Rows come one by one; an interlaced picture comes in seven passes over the
//! whole of it, so it is held whole: as one byte a pixel where that says its colour, as three otherwise.

mod chunks;
mod filter;
mod pixel;
mod stream;
mod text;

use super::colors;
use super::frame::{Frame, Rows};
use crate::preprocess::error::DecodeError;
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;
use chunks::{FrameWindow, Head};
use pixel::Pixel;
use stream::RawRows;

/// Where the pixels of each pass lie: the first column and row, and the steps between columns and rows.
const PASSES: [[usize; 4]; 7] =
    [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];

struct Png<'a> {
    bytes: &'a [u8],
    head: Head<'a>,
    pixel: Pixel,
}

pub(super) fn open(bytes: &[u8]) -> Result<(Frame, Box<dyn Rows + '_>), DecodeError> {
    let head = Head::read(bytes)?;
    let pixel = Pixel::new(head.color, head.depth, head.palette)?;
    let (width, height) = head.size;
    let turn = {
        let (exif, xmp) = head.metadata();
        Turn::from_metadata(exif.as_deref(), xmp.as_deref())
    };
    let frame = Frame { width, height, turn, turn_is_intrinsic: false };
    Ok((frame, Box::new(Png { bytes, head, pixel })))
}

impl Rows for Png<'_> {
    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let FrameWindow { left, top, width, height } = self.head.window;
        let below = self.head.size.1 - top - height;
        self.empty(top, sink);
        if self.head.interlaced {
            self.passes(sink)?;
        } else {
            let mut samples = vec![0; if self.pixel.colors.is_some() { width as usize } else { 0 }];
            let row_bytes = self.pixel.row_bytes(width as usize);
            let mut rows = RawRows::new(self.bytes, &self.head, row_bytes, u64::from(height) * (row_bytes as u64 + 1));
            let mut before = vec![0; row_bytes];
            for y in 0..height {
                let Some(row) = rows.row(row_bytes, &mut before, self.pixel.filter_bytes())? else {
                    // The data end in order, but too early: the rest is empty.
                    self.empty(height - y, sink);
                    break;
                };
                let whole = width == self.head.size.0;
                sink.row(&mut |rgb| {
                    let rgb = if whole { rgb } else { self.place(left, width, rgb) };
                    match &self.pixel.colors {
                        Some(colors) => {
                            self.pixel.sample(row, &mut samples);
                            colors::paint(&samples, colors, rgb);
                        }
                        None => self.pixel.sample(row, rgb),
                    }
                });
            }
        }
        self.empty(below, sink);
        Ok(())
    }
}

impl Png<'_> {
    /// The colour of pixels that nothing was said of.
    fn empty_color(&self) -> [u8; 3] {
        self.pixel.colors.as_ref().map_or([0; 3], |colors| colors[0])
    }

    fn empty(&self, rows: u32, sink: &mut dyn RowSink) {
        if rows > 0 {
            sink.rows(rows, &mut |rgb| rgb.as_chunks_mut::<3>().0.fill(self.empty_color()));
        }
    }

    /// The part of a row that `width` pixels from column `left` on are; what is beside it becomes empty.
    fn place<'b>(&self, left: u32, width: u32, rgb: &'b mut [u8]) -> &'b mut [u8] {
        rgb.as_chunks_mut::<3>().0.fill(self.empty_color());
        &mut rgb[left as usize * 3..][..width as usize * 3]
    }

    fn passes(&self, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let FrameWindow { left: at, width: shown, height, .. } = self.head.window;
        let (width, height) = (shown as usize, height as usize);
        let bytes = if self.pixel.colors.is_some() { 1 } else { 3 };
        let size = |[left, top, across, down]: [usize; 4]| {
            (width.saturating_sub(left).div_ceil(across), height.saturating_sub(top).div_ceil(down))
        };
        let raw = PASSES.map(size).map(|(columns, rows)| {
            if columns > 0 { rows as u64 * (self.pixel.row_bytes(columns) as u64 + 1) } else { 0 }
        });
        let mut rows = RawRows::new(self.bytes, &self.head, self.pixel.row_bytes(width), raw.iter().sum());
        let mut canvas = vec![0; width * height * bytes];
        let mut samples = vec![0; width * bytes];
        'all: for pass @ [left, top, across, down] in PASSES {
            let (columns, count) = size(pass);
            let samples = &mut samples[..columns * bytes];
            let row_bytes = self.pixel.row_bytes(columns);
            let mut before = vec![0; row_bytes];
            for index in 0..if columns > 0 { count } else { 0 } {
                let Some(row) = rows.row(row_bytes, &mut before, self.pixel.filter_bytes())? else { break 'all };
                self.pixel.sample(row, samples);
                let y = top + index * down;
                let pixels = canvas[y * width * bytes..][..width * bytes].chunks_exact_mut(bytes);
                for (sample, pixel) in samples.chunks_exact(bytes).zip(pixels.skip(left).step_by(across)) {
                    pixel.copy_from_slice(sample);
                }
            }
        }
        for row in canvas.chunks_exact(width * bytes) {
            sink.row(&mut |rgb| {
                let rgb = self.place(at, shown, rgb);
                match &self.pixel.colors {
                    Some(colors) => colors::paint(row, colors, rgb),
                    None => rgb.copy_from_slice(row),
                }
            });
        }
        Ok(())
    }
}
