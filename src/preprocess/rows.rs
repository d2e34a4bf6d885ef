//! The seam between decoding and resizing: the rows of a stored picture, handed over one by one from the top.
//!
//! A picture is never whole in memory where its format allows that: a decoder makes a row, the resize takes what it
//! needs of it, and the next one takes its place.

use std::ops::Range;

/// Whoever takes the rows of a picture. The decoder calls; nobody waits.
pub(super) trait RowSink {
    /// The rows, counted from the top, that are looked at. A decoder still has to check the others (a damaged picture is
    /// refused as a whole), but need not make pixels of them.
    fn wanted(&self) -> Range<u32>;

    /// The columns that are looked at. Whatever a decoder writes of the others, nobody sees it.
    fn wanted_columns(&self) -> Range<u32>;

    /// Takes the next `times` rows, which are all alike. `fill` is called at most once, with room for the row's RGB
    /// pixels, and writes those of the wanted columns, at least; it is not called for rows that nobody wants.
    fn rows(&mut self, times: u32, fill: &mut dyn FnMut(&mut [u8]));

    /// Takes the next row.
    fn row(&mut self, fill: &mut dyn FnMut(&mut [u8])) {
        self.rows(1, fill);
    }
}

/// A part of a picture in memory, as wide as its rows or not; what of them does not fit into the picture is cut off.
pub(super) struct Rectangle<'a> {
    picture: &'a mut [u8],
    width: usize,
    left: usize,
    row: Vec<u8>,
    next: usize,
}

impl<'a> Rectangle<'a> {
    /// Rows of `row_width` pixels, from column `left` of a `picture` of `width` RGB pixels a row.
    pub(super) fn new(picture: &'a mut [u8], width: usize, left: usize, row_width: usize) -> Self {
        Self { picture, width, left, row: vec![0; row_width * 3], next: 0 }
    }
}

impl RowSink for Rectangle<'_> {
    fn wanted(&self) -> Range<u32> {
        0..(self.picture.len() / (self.width * 3)) as u32
    }

    fn wanted_columns(&self) -> Range<u32> {
        0..(self.row.len() / 3) as u32
    }

    fn rows(&mut self, times: u32, fill: &mut dyn FnMut(&mut [u8])) {
        fill(&mut self.row);
        for picture in self.picture.chunks_exact_mut(self.width * 3).skip(self.next).take(times as usize) {
            let picture = &mut picture[self.left * 3..];
            let kept = picture.len().min(self.row.len());
            picture[..kept].copy_from_slice(&self.row[..kept]);
        }
        self.next += times as usize;
    }
}

/// The first rows of a picture, for a sink that wants no more.
pub(super) struct FirstRows<'a> {
    sink: &'a mut dyn RowSink,
    left: u32,
}

impl<'a> FirstRows<'a> {
    pub(super) fn new(sink: &'a mut dyn RowSink, count: u32) -> Self {
        Self { sink, left: count }
    }
}

impl RowSink for FirstRows<'_> {
    fn wanted(&self) -> Range<u32> {
        0..self.left
    }

    fn wanted_columns(&self) -> Range<u32> {
        self.sink.wanted_columns()
    }

    fn rows(&mut self, times: u32, fill: &mut dyn FnMut(&mut [u8])) {
        let times = times.min(self.left);
        self.left -= times;
        if times > 0 {
            self.sink.rows(times, fill);
        }
    }
}

/// Light for darkness.
pub(super) struct Inverted<'a>(pub(super) &'a mut dyn RowSink);

impl RowSink for Inverted<'_> {
    fn wanted(&self) -> Range<u32> {
        self.0.wanted()
    }

    fn wanted_columns(&self) -> Range<u32> {
        self.0.wanted_columns()
    }

    fn rows(&mut self, times: u32, fill: &mut dyn FnMut(&mut [u8])) {
        self.0.rows(times, &mut |rgb| {
            fill(rgb);
            rgb.iter_mut().for_each(|value| *value = 255 - *value);
        });
    }
}
