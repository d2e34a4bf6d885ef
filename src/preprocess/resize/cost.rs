//! What a resize takes in memory, known before it starts.

use super::axis::Axis;
use super::taps::Weights;
use super::{Plan, Turn};
use crate::preprocess::limits::DecodeLimits;
use crate::preprocess::spec::Spec;

/// An upper bound, in bytes, for a stored image of `width` x `height`, however it may be turned. What the limits refuse
/// takes nothing.
pub(in crate::preprocess) fn cost(spec: &Spec, (width, height): (u32, u32), limits: &DecodeLimits) -> u64 {
    let of = |transpose| {
        let turn = Turn { transpose, ..Turn::default() };
        let upright = turn.upright(width, height);
        let resized = limits.admit_resized(spec, spec.resized(upright.0, upright.1));
        resized.map_or(0, |resized| Plan::new(spec, turn, (width, height), resized).cost())
    };
    of(false).max(of(true))
}

impl Plan {
    fn cost(&self) -> u64 {
        let pixels = |axes: [u64; 2]| axes[0] * axes[1] * 3;
        let kept = [self.columns, self.rows].map(|axis| u64::from(axis.span.len));
        let out = [self.columns, self.rows].map(|axis| u64::from(axis.span.out));
        // The result; and while it is turned or centred on black, a second one.
        let results = pixels(kept) + pixels(kept).max(pixels(out));
        let stored = u64::from(self.columns.source) * 3;
        let Some(kernel) = self.kernel else {
            return results + stored + (kept[0] + kept[1]) * 2 * 8;
        };
        let stride = |axis: Axis| Weights::new(kernel, axis).stride() as u64;
        let (across, down) = (stride(self.columns), stride(self.rows));
        // Weights of 4 bytes, and 16 in the form that SIMD wants, if they are few; in double precision those of one pixel.
        let taps = across.saturating_mul(kept[0]);
        let grouped =
            if taps <= super::horizontal::MOST_GROUPED_TAPS as u64 { (across + 4) * (kept[0] + 4) * 16 } else { 0 };
        let weights = taps.saturating_mul(4) + grouped + (across + down) * 2 * 12 + kept[0] * 24;
        // A row as it comes, or between the passes; and the window's rows, with their terms.
        let row = stored + grouped / kept[0].max(1);
        let window = down.saturating_mul(if self.columns_first { kept[0] * 3 } else { stored }) + down * 2 * 64;
        results.saturating_add(weights).saturating_add(row).saturating_add(window)
    }
}
