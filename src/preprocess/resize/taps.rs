//! Which source pixels make one resized pixel, and with what weight: Pillow's arithmetic in double precision,
//! rounded to fixed point exactly as Pillow rounds it.

use super::super::spec::{Interpolation, Span};

/// Bits after the point of a weight. 8 are the pixel's, 2 are headroom for bicubic's overshoot.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// The weighted sums that make one axis of the output.
///
/// Output `i` is the sum over `k < stride` of `weights[i * stride + k] * source[starts[i] + k]`; an output that needs
/// fewer than `stride` taps has weights of zero behind them, whose sources may lie beyond the axis' end.
#[derive(Debug)]
pub(super) struct Taps {
    pub(super) starts: Vec<u32>,
    /// How many taps of each output may be non-zero.
    pub(super) counts: Vec<u32>,
    pub(super) weights: Vec<i32>,
    pub(super) stride: usize,
}

impl Taps {
    /// The taps of the resized pixels in `span`, when `source` pixels become `resized`. With `mirrored` the axis is
    /// read from its end.
    pub(super) fn new(kernel: Kernel, source: u32, resized: u32, span: Span, mirrored: bool) -> Self {
        let scale = f64::from(source) / f64::from(resized);
        let stretch = scale.max(1.0);
        let radius = kernel.radius() * stretch;
        let inverse = 1.0 / stretch;
        // Never more than the source has: at extreme reductions this bounds the memory.
        let stride = (radius.ceil() as usize * 2 + 1).min(source as usize);

        let outputs = span.len as usize;
        let mut taps = Self {
            starts: Vec::with_capacity(outputs),
            counts: Vec::with_capacity(outputs),
            weights: vec![0; outputs * stride],
            stride,
        };
        let mut exact = vec![0.0; stride];
        for (position, weights) in (span.start..).zip(taps.weights.chunks_exact_mut(stride)) {
            let center = (f64::from(position) + 0.5) * scale;
            // `as` truncates towards zero and turns negatives into 0, as the C cast and clip do.
            let first = (center - radius + 0.5) as u32;
            let end = ((center + radius + 0.5) as u32).min(source);
            let count = (end - first) as usize;
            let exact = &mut exact[..count];
            let mut sum = 0.0;
            for (index, weight) in exact.iter_mut().enumerate() {
                *weight = kernel.weight((index as f64 + f64::from(first) - center + 0.5) * inverse);
                sum += *weight;
            }
            for (weight, exact) in weights.iter_mut().zip(&*exact) {
                let fixed = exact / sum * f64::from(1 << PRECISION);
                *weight = (fixed + if fixed < 0.0 { -0.5 } else { 0.5 }) as i32;
            }
            taps.counts.push(count as u32);
            if mirrored {
                weights[..count].reverse();
                taps.starts.push(source - end);
            } else {
                taps.starts.push(first);
            }
        }
        taps
    }

    /// The number of outputs.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// The source pixels that any output needs, as first and end.
    pub(super) fn reach(&self) -> (usize, usize) {
        let first = self.starts.iter().min().copied().unwrap_or(0);
        let end = self.starts.iter().zip(&self.counts).map(|(start, count)| start + count).max().unwrap_or(0);
        (first as usize, end as usize)
    }

    /// Makes source pixel `first` the new pixel 0.
    pub(super) fn rebase(&mut self, first: usize) {
        for start in &mut self.starts {
            *start -= first as u32;
        }
    }

    /// The non-zero taps of output `index`.
    pub(super) fn of(&self, index: usize) -> (usize, &[i32]) {
        let weights = &self.weights[index * self.stride..][..self.counts[index] as usize];
        (self.starts[index] as usize, weights)
    }
}

/// A convolution kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kernel {
    Triangle,
    Cubic,
}

impl Kernel {
    /// The kernel of an interpolation; `None` for the nearest pixel, which sums nothing.
    pub(super) fn of(interpolation: Interpolation) -> Option<Self> {
        match interpolation {
            Interpolation::Bilinear => Some(Self::Triangle),
            Interpolation::Bicubic => Some(Self::Cubic),
            Interpolation::Nearest => None,
        }
    }

    fn radius(self) -> f64 {
        match self {
            Self::Triangle => 1.0,
            Self::Cubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Triangle if x < 1.0 => 1.0 - x,
            Self::Cubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Cubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}
