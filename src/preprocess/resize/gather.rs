//! Copies of pixels: the nearest neighbour, a plain crop, a mirror image, a quarter turn.

use std::ops::Range;

use super::axis::Axis;

/// Which stored pixels are copied.
pub(super) struct Gather {
    columns: Vec<usize>,
    rows: Vec<usize>,
    /// Whether the columns are neighbours, so that a row is copied in one piece.
    contiguous: bool,
    mirrored: bool,
    /// How many rows of the output are filled.
    done: usize,
}

impl Gather {
    pub(super) fn new(columns: Axis, rows: Axis) -> Self {
        let (mirrored, columns, rows) = (rows.mirrored, indices(columns), indices(rows));
        let contiguous = columns.windows(2).all(|pair| pair[1] == pair[0] + 1);
        Self { columns, rows, contiguous, mirrored, done: 0 }
    }

    /// The stored rows that are copied, as first and end.
    pub(super) fn wanted(&self) -> Range<u32> {
        reach(&self.rows)
    }

    /// The stored columns that are copied.
    pub(super) fn wanted_columns(&self) -> Range<u32> {
        reach(&self.columns)
    }

    /// Copies from the stored `rows`, which are all like `row`, into the rows of `out` that show them.
    pub(super) fn rows(&mut self, rows: Range<u32>, row: &[u8], out: &mut [u8]) {
        let width = self.columns.len() * 3;
        while self.done < self.rows.len() {
            // Mirrored rows come in from the last to the first.
            let index = if self.mirrored { self.rows.len() - 1 - self.done } else { self.done };
            if !rows.contains(&(self.rows[index] as u32)) {
                return;
            }
            let out = &mut out[index * width..][..width];
            if self.contiguous {
                out.copy_from_slice(&row[self.columns[0] * 3..][..width]);
            } else {
                for (&column, out) in self.columns.iter().zip(out.as_chunks_mut::<3>().0) {
                    out.copy_from_slice(&row[column * 3..][..3]);
                }
            }
            self.done += 1;
        }
    }
}

/// From the first to the last of some pixels.
fn reach(indices: &[usize]) -> Range<u32> {
    let [first, last] = [indices.iter().min(), indices.iter().max()].map(|index| index.copied().unwrap_or(0) as u32);
    first..last + 1
}

/// The stored index of each kept pixel.
///
/// Pillow adds up the position in double precision instead of multiplying; so must we, to hit the same pixels.
fn indices(axis: Axis) -> Vec<usize> {
    let scale = f64::from(axis.source) / f64::from(axis.resized);
    let mut position = scale * 0.5;
    let mut kept = Vec::with_capacity(axis.span.len as usize);
    for index in 0..axis.span.start + axis.span.len {
        if index >= axis.span.start {
            let source = (position as u32).min(axis.source - 1);
            kept.push(if axis.mirrored { axis.source - 1 - source } else { source } as usize);
        }
        position += scale;
    }
    kept
}

/// Exchanges rows and columns of an image of `width` pixels a row.
pub(super) fn transposed(rgb: &[u8], width: usize) -> Vec<u8> {
    let height = rgb.len() / (width * 3);
    let mut out = vec![0; rgb.len()];
    // In tiles, so that both sides stay in the cache.
    const TILE: usize = 16;
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for y in top..(top + TILE).min(height) {
                for x in left..(left + TILE).min(width) {
                    let (from, to) = ((y * width + x) * 3, (x * height + y) * 3);
                    out[to..to + 3].copy_from_slice(&rgb[from..from + 3]);
                }
            }
        }
    }
    out
}
