//! Which source pixels make one resized pixel, and with what weight: Pillow's arithmetic in double precision,
//! rounded to fixed point exactly as Pillow rounds it.

use std::ops::Range;

use super::super::spec::Interpolation;
use super::axis::Axis;

/// Bits after the point of a weight. 8 are the pixel's, 2 are headroom for bicubic's overshoot.
pub(super) const PRECISION: u32 = 32 - 8 - 2;

/// The weights of any output of one axis, computed when they are asked for: of an axis of millions of pixels, all of
/// them together would take more memory than the picture.
pub(super) struct Weights {
    kernel: Kernel,
    axis: Axis,
    /// Source pixels for each resized one.
    scale: f64,
    /// The kernel's radius in source pixels, and how many of its own units a source pixel is.
    radius: f64,
    inverse: f64,
    stride: usize,
    exact: Vec<f64>,
    fixed: Vec<i32>,
}

impl Weights {
    pub(super) fn new(kernel: Kernel, axis: Axis) -> Self {
        let scale = f64::from(axis.source) / f64::from(axis.resized);
        let stretch = scale.max(1.0);
        let radius = kernel.radius() * stretch;
        // Never more than the source has: at extreme reductions this bounds the memory.
        let stride = (radius.ceil() as usize * 2 + 1).min(axis.source as usize);
        Self { kernel, axis, scale, radius, inverse: 1.0 / stretch, stride, exact: Vec::new(), fixed: Vec::new() }
    }

    /// The most weights that an output has.
    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    /// The first source pixel of an output, before mirroring, and the end.
    fn bounds(&self, position: u32) -> (u32, u32) {
        let center = self.center(position);
        // `as` truncates towards zero and turns negatives into 0, as the C cast and clip do.
        ((center - self.radius + 0.5) as u32, ((center + self.radius + 0.5) as u32).min(self.axis.source))
    }

    fn center(&self, position: u32) -> f64 {
        (f64::from(self.axis.span.start + position) + 0.5) * self.scale
    }

    /// The stored pixels that output `position` of the kept ones is made of.
    pub(super) fn reach(&self, position: u32) -> Range<u32> {
        let (first, end) = self.bounds(position);
        if self.axis.mirrored { self.axis.source - end..self.axis.source - first } else { first..end }
    }

    /// The first of those pixels, and the weight of each.
    pub(super) fn of(&mut self, position: u32) -> (u32, &[i32]) {
        let (first, end) = self.bounds(position);
        let center = self.center(position);
        self.exact.clear();
        self.exact.extend(
            (0..end - first)
                .map(|index| self.kernel.weight((f64::from(index) + f64::from(first) - center + 0.5) * self.inverse)),
        );
        // One by one from the first, as Pillow adds them: in another order the sum may differ in its last bit.
        let sum = self.exact.iter().fold(0.0, |sum, weight| sum + weight);
        self.fixed.clear();
        self.fixed.extend(self.exact.iter().map(|exact| {
            let fixed = exact / sum * f64::from(1 << PRECISION);
            (fixed + if fixed < 0.0 { -0.5 } else { 0.5 }) as i32
        }));
        if self.axis.mirrored {
            self.fixed.reverse();
        }
        (self.reach(position).start, &self.fixed)
    }
}

/// The weighted sums that make one axis of the output, all at once: what every row is resized with.
///
/// Output `i` is the sum over `k < counts[i]` of `weights[i * stride + k] * source[starts[i] + k]`.
#[derive(Debug)]
pub(super) struct Taps {
    pub(super) starts: Vec<u32>,
    /// How many taps of each output may be non-zero.
    pub(super) counts: Vec<u32>,
    pub(super) weights: Vec<i32>,
    pub(super) stride: usize,
}

impl Taps {
    /// The taps of the pixels that `axis` keeps.
    pub(super) fn new(kernel: Kernel, axis: Axis) -> Self {
        let mut each = Weights::new(kernel, axis);
        let (outputs, stride) = (axis.span.len as usize, each.stride);
        let mut taps = Self {
            starts: Vec::with_capacity(outputs),
            counts: Vec::with_capacity(outputs),
            weights: vec![0; outputs * stride],
            stride,
        };
        for (position, weights) in (0..).zip(taps.weights.chunks_exact_mut(stride)) {
            let (start, fixed) = each.of(position);
            weights[..fixed.len()].copy_from_slice(fixed);
            taps.starts.push(start);
            taps.counts.push(fixed.len() as u32);
        }
        taps
    }

    /// The number of outputs.
    #[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "x86_64's vectors alone ask"))]
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
