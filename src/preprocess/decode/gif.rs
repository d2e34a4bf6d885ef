//! GIF's first frame on its canvas, as Pillow shows it: outside the frame lies the transparent index's colour, or the
//! palette's first, and a frame that leaves the screen makes the canvas larger.
//!
//! A reader of our own: what makes GIF hard is LZW, which is [`lzw`], and what Pillow makes of odd files, which other
//! decoders see otherwise. Rows come as they are decoded; only an interlaced frame is held whole, a byte a pixel.

mod lzw;

use super::colors::{self, Colors};
use super::fault::gif as corrupt;
use super::frame::{Frame, Rows};
use crate::preprocess::error::DecodeError;
use crate::preprocess::header::gif::{Blocks, GifBlock, GifImage};
use crate::preprocess::orientation::Turn;
use crate::preprocess::rows::RowSink;
use lzw::Lzw;

struct Gif<'a> {
    size: (u32, u32),
    image: GifImage,
    colors: Box<Colors>,
    /// The index that fills the canvas.
    empty: u8,
    /// The frame's own data: code size and blocks.
    data: &'a [u8],
}

pub(super) fn open(bytes: &[u8]) -> Result<(Frame, Box<dyn Rows + '_>), DecodeError> {
    let cut = || corrupt("it ends before its first frame");
    let (screen, mut blocks) = Blocks::new(bytes).ok_or_else(cut)?;
    let mut transparent = None;
    let image = loop {
        match blocks.next().ok_or_else(cut)? {
            GifBlock::Image(image) => break image,
            GifBlock::Control { transparent: index } => transparent = index.or(transparent),
            GifBlock::Other => {}
        }
    };
    if image.width == 0 || image.height == 0 {
        return Err(corrupt(format_args!("its first frame has {}x{} pixels", image.width, image.height)));
    }
    let (width, height) = image.canvas((screen.width, screen.height));
    // A palette of gray levels in order says nothing, and where no other does, the indices are gray levels even beyond its
    // end.
    let palettes = [image.palette(bytes), screen.palette(bytes)].into_iter().flatten();
    let entries = palettes.into_iter().find(|entries| !is_gray_ramp(entries));
    let colors = entries.map_or_else(|| colors::grays(256), |entries| colors::palette(entries, |rgb| rgb));
    let frame = Frame { width, height, turn: Turn::default(), turn_is_intrinsic: false };
    let data = bytes.get(image.data..).ok_or_else(cut)?;
    let empty = transparent.unwrap_or(0);
    Ok((frame, Box::new(Gif { size: (width, height), image, colors: Box::new(colors), empty, data })))
}

fn is_gray_ramp(entries: &[u8]) -> bool {
    entries.as_chunks::<3>().0.iter().enumerate().all(|(level, rgb)| rgb.iter().all(|&gray| usize::from(gray) == level))
}

impl Rows for Gif<'_> {
    fn read(self: Box<Self>, sink: &mut dyn RowSink) -> Result<(), DecodeError> {
        let Self { size: (_, height), ref image, .. } = *self;
        let (code_bits, blocks) = self.data.split_first().ok_or_else(|| corrupt("it ends before its pixels"))?;
        let mut lzw = Lzw::new(*code_bits, blocks).map_err(corrupt)?;
        self.empty_rows(image.top, sink);
        let mut row = vec![0; image.width as usize];
        if image.interlaced {
            let pixels = interlaced(&mut lzw, image)?;
            pixels.chunks_exact(row.len()).for_each(|row| self.row(row, sink));
        } else {
            for _ in 0..image.height {
                lzw.fill(&mut row).map_err(corrupt)?;
                self.row(&row, sink);
            }
        }
        self.empty_rows(height - image.top - image.height, sink);
        Ok(())
    }
}

impl Gif<'_> {
    fn empty_rows(&self, count: u32, sink: &mut dyn RowSink) {
        if count > 0 {
            let empty = self.colors[usize::from(self.empty)];
            sink.rows(count, &mut |rgb| rgb.as_chunks_mut::<3>().0.fill(empty));
        }
    }

    fn row(&self, indices: &[u8], sink: &mut dyn RowSink) {
        let empty = self.colors[usize::from(self.empty)];
        let left = self.image.left as usize;
        sink.row(&mut |rgb| {
            let pixels = rgb.as_chunks_mut::<3>().0;
            pixels[..left].fill(empty);
            pixels[left + indices.len()..].fill(empty);
            colors::paint(indices, &self.colors, pixels[left..left + indices.len()].as_flattened_mut());
        });
    }
}

/// The whole of an interlaced frame: rows come in four passes, each denser than the one before.
fn interlaced(lzw: &mut Lzw<'_>, image: &GifImage) -> Result<Vec<u8>, DecodeError> {
    let (width, height) = (image.width as usize, image.height as usize);
    let mut pixels = vec![0; width * height];
    for (first, step) in [(0, 8), (4, 8), (2, 4), (1, 2)] {
        for y in (first..height).step_by(step) {
            lzw.fill(&mut pixels[y * width..][..width]).map_err(corrupt)?;
        }
    }
    Ok(pixels)
}
