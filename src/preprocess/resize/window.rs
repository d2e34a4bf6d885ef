//! The pass down: of the rows that came in, those that are still needed, and the sums of them that are complete.
//!
//! Equal rows are held once, with a count, and their weights are added before anything is multiplied: a canvas of one
//! colour costs what one of its rows costs. Sums of integers do not depend on their order, so no bit changes.

use std::collections::VecDeque;
use std::ops::Range;

#[cfg(target_arch = "x86_64")]
use super::avx2;
use super::{
    axis::Axis,
    buffers::room,
    isa::Isa,
    scalar,
    taps::{Kernel, Weights},
};

/// Rows that are alike.
#[derive(Clone, Copy, Debug)]
struct Run {
    first: u32,
    end: u32,
    slot: usize,
}

/// The rows that the next sums need.
pub(super) struct RowWindow<'a> {
    isa: Isa,
    axis: Axis,
    weights: Weights,
    /// The place of each row in `slots`, its length in bytes.
    width: usize,
    slots: &'a mut [u8],
    runs: VecDeque<Run>,
    next_slot: usize,
    /// Sums that are complete.
    done: u32,
    /// The rows of the next sum.
    reach: Range<u32>,
    /// The terms of the next sum: where a row starts in `slots`, and its weight.
    terms: Vec<(usize, i32)>,
}

impl<'a> RowWindow<'a> {
    /// A window over rows of `width` bytes.
    pub(super) fn new(kernel: Kernel, axis: Axis, width: usize, memory: &'a mut Vec<u8>, isa: Isa) -> Self {
        let weights = Weights::new(kernel, axis);
        let slots = room(memory, width * slots(&weights));
        let mut window = Self {
            isa,
            axis,
            weights,
            width,
            slots,
            runs: VecDeque::new(),
            next_slot: 0,
            done: 0,
            reach: 0..0,
            terms: Vec::new(),
        };
        window.reach = window.weights.reach(window.position(0));
        window
    }

    /// Where the `index`th sum to become complete stands in the output.
    fn position(&self, index: u32) -> u32 {
        if self.axis.mirrored { self.axis.span.len - 1 - index } else { index }
    }

    /// The rows that any sum needs.
    pub(super) fn wanted(&self) -> Range<u32> {
        let last = self.weights.reach(self.position(self.axis.span.len - 1));
        self.weights.reach(self.position(0)).start..last.end
    }

    /// Takes the next rows, which are all as `fill` writes them.
    pub(super) fn push(&mut self, rows: Range<u32>, fill: impl FnOnce(&mut [u8])) {
        while self.runs.front().is_some_and(|run| run.end <= self.reach.start) {
            self.runs.pop_front();
        }
        let slot = self.next_slot;
        fill(&mut self.slots[slot..slot + self.width]);
        self.next_slot = if slot + 2 * self.width > self.slots.len() { 0 } else { slot + self.width };
        self.runs.push_back(Run { first: rows.start, end: rows.end, slot });
    }

    /// Hands out the sums that are complete, over `columns` of the rows, each with its place in the output.
    pub(super) fn ready(&mut self, columns: Range<usize>, mut take: impl FnMut(usize, Sum<'_>)) {
        let came = self.runs.back().map_or(0, |run| run.end);
        while self.done < self.axis.span.len && self.reach.end <= came {
            let position = self.position(self.done);
            let (start, weights) = self.weights.of(position);
            self.terms.clear();
            for run in &self.runs {
                let [first, end] = [run.first, run.end].map(|row| row.saturating_sub(start) as usize);
                let alike = weights.get(first.min(weights.len())..end.min(weights.len())).unwrap_or_default();
                if !alike.is_empty() {
                    self.terms.push((run.slot + columns.start, alike.iter().sum()));
                }
            }
            take(position as usize, Sum { isa: self.isa, slots: self.slots, terms: &self.terms });
            self.done += 1;
            if self.done < self.axis.span.len {
                self.reach = self.weights.reach(self.position(self.done));
            }
        }
    }
}

/// How many rows a window holds at most: those of the widest sum.
pub(super) fn slots(weights: &Weights) -> usize {
    weights.stride()
}

/// A weighted sum of rows, not yet computed.
pub(super) struct Sum<'a> {
    isa: Isa,
    slots: &'a [u8],
    terms: &'a [(usize, i32)],
}

impl Sum<'_> {
    /// Computes it.
    pub(super) fn write(&self, out: &mut [u8]) {
        match self.isa {
            Isa::Scalar => scalar::vertical(self.slots, self.terms, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Avx2` is only made by `Isa::detect`, after the processor was asked.
            Isa::Avx2 => unsafe { avx2::vertical(self.slots, self.terms, out) },
        }
    }
}
