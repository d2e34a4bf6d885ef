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

    /// Takes the next `times` rows, which are all alike. `fill` is called at most once, with room for the row's RGB
    /// pixels, and writes every byte of it; it is not called for rows that nobody wants.
    fn rows(&mut self, times: u32, fill: &mut dyn FnMut(&mut [u8]));

    /// Takes the next row.
    fn row(&mut self, fill: &mut dyn FnMut(&mut [u8])) {
        self.rows(1, fill);
    }
}
