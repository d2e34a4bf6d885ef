//! TIFF's first page as Pillow reads it: strips and tiles, planes, a dozen layouts of samples, seven ways of packing.
//!
//! A reader of our own, because crates for it see several layouts otherwise than Pillow (CMYK, odd depths, mirrored
//! bits, premultiplied alpha) or hold a strip, which may be the whole picture, unpacked several times. [`unpack`] makes
//! bytes of a chunk row by row, [`pixel`] makes colours of them. A strip's rows go on one by one; a row of tiles is put
//! together first.

mod chroma;
mod error;
mod fax;
mod lab;
mod pixel;
mod unpack;

use std::cell::Cell;

use super::fault::tiff as corrupt;
use super::frame::{Frame, Rows};
use super::jpeg;
use crate::preprocess::directory::{Directory, tag};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::Header;
use crate::preprocess::header::tiff::Page;
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::{Rectangle, RowSink};
use pixel::SampleLayout;
use unpack::{ChunkUnpacker, Packing};

struct Tiff<'a> {
    file: &'a [u8],
    directory: Directory<'a>,
    page: Page,
    layout: SampleLayout,
    packing: Packing,
    /// Pixels across and down for each pair of colour differences: as the file says, or else as its first JPEG.
    sampling: Cell<Option<(u64, u64)>>,
}

pub(super) fn open<'a>(bytes: &'a [u8], header: &Header) -> Result<(Frame, Box<dyn Rows + 'a>), DecodeError> {
    let missing = || corrupt("its directory lacks something, or contradicts itself");
    let directory = Directory::first(bytes).ok_or_else(missing)?;
    let page = Page::read(&directory).ok_or_else(missing)?;
    let packing = Packing::of(&page)?;
    let layout = SampleLayout::of(&page, &directory)?;
    // Pillow turns a TIFF while it loads it, so everybody sees it upright.
    let xmp = directory.entry(tag::XMP).map(|entry| directory.bytes(&entry));
    let turn = Turn::from_directory(Some(&directory), xmp);
    let frame = Frame { width: header.width, height: header.height, turn, turn_is_intrinsic: true };
    let sampling = Cell::new(chroma::sampling(&directory));
    Ok((frame, Box::new(Tiff { file: bytes, directory, page, layout, packing, sampling })))
}

impl Rows for Tiff<'_> {
    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let (across, down) = self.page.chunks_in_plane();
        let width = self.page.width as usize;
        for band in 0..down {
            let top = band * self.page.chunks.height as usize;
            let rows = (self.page.height as usize - top).min(self.page.chunks.height as usize);
            if across == 1 && self.page.chunks.width == self.page.width {
                self.chunk((0, band), rows, sink)?;
                continue;
            }
            // Tiles end in the middle of a row, so a row of them is put together before its rows are handed on.
            let mut pixels = vec![0; rows * width * 3];
            for column in 0..across {
                let left = column * self.page.chunks.width as usize;
                let tile_width = self.page.chunks.width as usize;
                self.chunk((column, band), rows, &mut Rectangle::new(&mut pixels, width, left, tile_width))?;
            }
            for row in pixels.chunks_exact(width * 3) {
                sink.row(&mut |rgb| rgb.copy_from_slice(row));
            }
        }
        Ok(())
    }
}

impl Tiff<'_> {
    /// Reads the first `rows` rows of the chunk at column and row `at`.
    fn chunk(&self, at: (usize, usize), rows: usize, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let content = |plane| {
            let content = self.page.chunk(&self.directory, self.file, plane, at);
            content.ok_or_else(|| corrupt("a part of it lies beyond the file's end"))
        };
        if self.packing == Packing::Jpeg {
            let tables = self.directory.entry(tag::JPEG_TABLES);
            let tables = tables.map(|entry| self.directory.bytes(&entry)).unwrap_or_default();
            let size = (self.page.chunks.width, rows as u32);
            let told = jpeg::PartColors {
                photometric: self.page.photometric,
                is_premultiplied: self.layout.is_premultiplied(),
                sampling: self.sampling.get(),
            };
            let sampling = jpeg::read_part(tables, content(0)?, &told, size, sink)?;
            self.sampling.set(Some(sampling));
            return Ok(());
        }
        if let Some(chroma) = self.layout.blocks(&self.page) {
            let big_endian = self.directory.is_big_endian();
            let unpacker = ChunkUnpacker::new(self.packing, content(0)?, &self.page, big_endian)?;
            let width = (self.page.width as usize - at.0 * self.page.chunks.width as usize)
                .min(self.page.chunks.width as usize);
            return chroma.read(&self.page, unpacker, (width, rows), sink).map_err(corrupt);
        }
        let row_bytes = self.page.chunk_row_bytes();
        let planes = (0..self.page.planes()).map(|plane| {
            let unpacker =
                ChunkUnpacker::new(self.packing, content(plane)?, &self.page, self.directory.is_big_endian())?;
            Ok((unpacker, vec![0; row_bytes]))
        });
        let mut planes: Vec<_> = planes.collect::<Result<_, DecodeError>>()?;
        // Packed tiles are unpacked to their end, and what is wrong beyond the picture counts.
        let is_whole = self.page.is_tiled() && self.packing != Packing::None;
        let stored = if is_whole { self.page.chunks.height as usize } else { rows };
        for index in 0..stored {
            for (unpacker, row) in &mut planes {
                unpacker.row(row).map_err(corrupt)?;
                if index + 1 == self.page.chunks.height as usize {
                    unpacker.finish().map_err(corrupt)?;
                }
            }
            if index >= rows {
                continue;
            }
            sink.row(&mut |rgb| match &planes[..] {
                [(_, row)] => self.layout.row(row, rgb),
                planes => self.layout.planes(planes.iter().map(|(_, row)| &row[..]), rgb),
            });
        }
        Ok(())
    }
}
