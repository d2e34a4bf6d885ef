//! From the rows of a stored image to the upright, resized, cropped one, equal to Pillow 13 to the last bit.
//!
//! [`taps`] says what is summed, [`scalar`] and [`avx2`] sum it over rows that [`window`] holds as long as they are
//! needed, [`gather`] serves where nothing is summed. Only the rows and columns that reach the crop are computed, and
//! orientation is folded in: sums of integers do not depend on their order, so neither changes a bit.
//!
//! Knows pixels; must not know files.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod axis;
mod buffers;
mod cost;
mod gather;
mod horizontal;
mod isa;
mod scalar;
mod taps;
#[cfg(test)]
mod tests;
mod window;

use std::ops::Range;

use super::orientation::Turn;
use super::rows::RowSink;
use super::spec::{Span, Spec};
use crate::tensor::Pixels;
use axis::Axis;
use buffers::room;
use gather::Gather;
use horizontal::Horizontal;
use isa::Isa;
use taps::{Kernel, Taps};
use window::RowWindow;

pub(super) use buffers::Buffers;
pub(super) use cost::cost;

/// The arithmetic of one image: what becomes of columns and rows, before anything is computed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    columns: Axis,
    rows: Axis,
    transpose: bool,
    /// Pillow 13 starts with the rows (its vertical pass) where that shrinks the work most.
    columns_first: bool,
    kernel: Option<Kernel>,
}

impl Plan {
    /// Plans a stored image of `width` x `height`, whose upright form becomes `resized` pixels and is then cropped.
    pub(super) fn new(spec: &Spec, turn: Turn, (width, height): (u32, u32), resized: (u32, u32)) -> Self {
        let upright = turn.upright(width, height);
        let (crop_width, crop_height) = spec.crop().unzip();
        let x = (resized.0, Span::centered(resized.0, crop_width));
        let y = (resized.1, Span::centered(resized.1, crop_height));
        let (across, down) = if turn.transpose { (y, x) } else { (x, y) };
        let vertical_first =
            i64::from(upright.1) - i64::from(resized.1) > (2 * (i64::from(upright.0) - i64::from(resized.0))).max(0);
        Self {
            columns: Axis { source: width, resized: across.0, span: across.1, mirrored: turn.mirror_columns },
            rows: Axis { source: height, resized: down.0, span: down.1, mirrored: turn.mirror_rows },
            transpose: turn.transpose,
            columns_first: vertical_first == turn.transpose,
            kernel: Kernel::of(spec.interpolation).filter(|_| upright != resized),
        }
    }

    /// The length of the result before it is padded.
    fn len(&self) -> usize {
        self.columns.span.len as usize * self.rows.span.len as usize * 3
    }
}

/// Carries out a plan while the rows come in.
pub(super) struct Resizer<'a> {
    plan: Plan,
    /// The next stored row.
    next: u32,
    wanted: Range<u32>,
    wanted_columns: Range<u32>,
    passes: Passes<'a>,
    out: Vec<u8>,
}

/// What is done with a stored row.
enum Passes<'a> {
    /// Its pixels are copied.
    Gather { gather: Gather, row: &'a mut [u8] },
    /// It is resized at once; the window holds the results.
    ColumnsFirst { horizontal: Horizontal, row: &'a mut [u8], window: RowWindow<'a> },
    /// The window holds it; what the window gives is resized across.
    RowsFirst { window: RowWindow<'a>, reach: Range<usize>, row: &'a mut [u8], horizontal: Horizontal },
}

impl<'a> Resizer<'a> {
    pub(super) fn new(plan: Plan, buffers: &'a mut Buffers) -> Self {
        Self::with_isa(plan, buffers, Isa::detect())
    }

    fn with_isa(plan: Plan, buffers: &'a mut Buffers, isa: Isa) -> Self {
        let out = vec![0; plan.len()];
        let stored = plan.columns.source as usize * 3;
        let Some(kernel) = plan.kernel else {
            let gather = Gather::new(plan.columns, plan.rows);
            let row = room(&mut buffers.row, stored);
            let (wanted, wanted_columns) = (gather.wanted(), gather.wanted_columns());
            return Self { plan, next: 0, wanted, wanted_columns, passes: Passes::Gather { gather, row }, out };
        };
        let mut columns = Taps::new(kernel, plan.columns);
        let (first, end) = columns.reach();
        let (passes, wanted) = if plan.columns_first {
            let window =
                RowWindow::new(kernel, plan.rows, plan.columns.span.len as usize * 3, &mut buffers.window, isa);
            let horizontal = Horizontal::new(columns, isa);
            let row = room(&mut buffers.row, stored.max(horizontal.reach()));
            let wanted = window.wanted();
            (Passes::ColumnsFirst { horizontal, row, window }, wanted)
        } else {
            let window = RowWindow::new(kernel, plan.rows, stored, &mut buffers.window, isa);
            columns.rebase(first);
            let horizontal = Horizontal::new(columns, isa);
            let row = room(&mut buffers.row, ((end - first) * 3).max(horizontal.reach()));
            let wanted = window.wanted();
            (Passes::RowsFirst { window, reach: first * 3..end * 3, row, horizontal }, wanted)
        };
        Self { plan, next: 0, wanted, wanted_columns: first as u32..end as u32, passes, out }
    }

    /// The result, once every row has come in.
    pub(super) fn finish(self) -> Pixels {
        let Self { plan, mut out, .. } = self;
        let (mut width, mut height) = (plan.columns.span, plan.rows.span);
        if plan.transpose {
            out = gather::transposed(&out, width.len as usize);
            (width, height) = (height, width);
        }
        if (width.len, height.len) != (width.out, height.out) {
            out = padded(&out, width, height);
        }
        Pixels::new(width.out, height.out, out).expect("the spans' sizes are the buffer's")
    }
}

impl RowSink for Resizer<'_> {
    fn wanted(&self) -> Range<u32> {
        self.wanted.clone()
    }

    fn wanted_columns(&self) -> Range<u32> {
        self.wanted_columns.clone()
    }

    fn rows(&mut self, times: u32, fill: &mut dyn FnMut(&mut [u8])) {
        let came = self.next..self.next.saturating_add(times);
        self.next = came.end;
        let rows = came.start.max(self.wanted.start)..came.end.min(self.wanted.end);
        if rows.is_empty() {
            return;
        }
        let stored = self.plan.columns.source as usize * 3;
        let width = self.plan.columns.span.len as usize * 3;
        let out = &mut self.out;
        match &mut self.passes {
            Passes::Gather { gather, row } => {
                fill(&mut row[..stored]);
                gather.rows(rows, row, out);
            }
            Passes::ColumnsFirst { horizontal, row, window } => {
                fill(&mut row[..stored]);
                window.push(rows, |slot| horizontal.row(row, slot));
                window.ready(0..width, |index, sum| sum.write(&mut out[index * width..][..width]));
            }
            Passes::RowsFirst { window, reach, row, horizontal } => {
                window.push(rows, |slot| fill(slot));
                window.ready(reach.clone(), |index, sum| {
                    sum.write(&mut row[..reach.len()]);
                    horizontal.row(row, &mut out[index * width..][..width]);
                });
            }
        }
    }
}

/// Centres `window` on black.
fn padded(window: &[u8], width: Span, height: Span) -> Vec<u8> {
    let row = width.out as usize * 3;
    let mut canvas = vec![0; row * height.out as usize];
    let rows = canvas.chunks_exact_mut(row).skip(height.before as usize);
    for (out, window) in rows.zip(window.chunks_exact(width.len as usize * 3)) {
        out[width.before as usize * 3..][..window.len()].copy_from_slice(window);
    }
    canvas
}
