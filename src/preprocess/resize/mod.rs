//! From a stored image to the upright, resized, cropped one, equal to Pillow 13 to the last bit.
//!
//! [`taps`] says what is summed, [`scalar`] and [`avx2`] sum it, [`gather`] serves where nothing is summed. Only the
//! rows and columns that reach the crop are computed, and orientation is folded in: sums of integers do not depend on
//! their order, so neither changes a bit.
//!
//! Knows pixels; must not know files.

#[cfg(target_arch = "x86_64")]
mod avx2;
mod gather;
mod scalar;
mod taps;

use super::orientation::Turn;
use super::spec::{Span, Spec};
use crate::tensor::Pixels;
use taps::{Kernel, Taps};

/// A decoded image as it was stored, rows of `width` RGB pixels.
#[derive(Clone, Copy)]
pub(super) struct Stored<'a> {
    pub(super) width: u32,
    pub(super) rgb: &'a [u8],
}

/// What becomes of one axis of the stored image.
#[derive(Clone, Copy, Debug)]
struct Axis {
    /// Stored pixels along it.
    source: u32,
    /// Pixels along it after the resize.
    resized: u32,
    /// Which of them are kept.
    span: Span,
    /// Whether it is read from its end.
    mirrored: bool,
}

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
}

/// Carries out `plan`.
///
/// `scratch` is working memory; it is overwritten and may grow.
pub(super) fn resize(image: Stored<'_>, plan: &Plan, scratch: &mut Vec<u8>) -> Pixels {
    let size = plan.columns.span.len as usize * plan.rows.span.len as usize * 3;
    let mut out = vec![0; size];
    match plan.kernel {
        Some(kernel) => convolve(image, plan, kernel, scratch, &mut out, Isa::detect()),
        None => gather::gather(image, plan, &mut out),
    }
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

/// The two passes, in the plan's order.
fn convolve(image: Stored<'_>, plan: &Plan, kernel: Kernel, scratch: &mut Vec<u8>, out: &mut [u8], isa: Isa) {
    let taps = |axis: Axis| Taps::new(kernel, axis.source, axis.resized, axis.span, axis.mirrored);
    let (mut columns, mut rows) = (taps(plan.columns), taps(plan.rows));
    let stride = image.width as usize * 3;
    if plan.columns_first {
        let (first, end) = rows.reach();
        rows.rebase(first);
        let width = columns.len() * 3;
        let between = room(scratch, (end - first) * width);
        isa.horizontal(&image.rgb[first * stride..end * stride], stride, &columns, between);
        isa.vertical(between, width, width, &rows, out);
    } else {
        let (first, end) = columns.reach();
        columns.rebase(first);
        let width = (end - first) * 3;
        let between = room(scratch, rows.len() * width);
        isa.vertical(&image.rgb[first * 3..], stride, width, &rows, between);
        isa.horizontal(between, width, &columns, out);
    }
}

/// The first `len` bytes of `scratch`, which grows as needed.
fn room(scratch: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if scratch.len() < len {
        scratch.resize(len, 0);
    }
    &mut scratch[..len]
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

/// The instruction set that the passes use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Isa {
    /// Plain Rust; on AArch64 the compiler makes NEON of the vertical pass.
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2,
}

impl Isa {
    fn detect() -> Self {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx2") {
            return Self::Avx2;
        }
        Self::Scalar
    }

    fn horizontal(self, source: &[u8], stride: usize, taps: &Taps, out: &mut [u8]) {
        match self {
            Self::Scalar => scalar::horizontal(source, stride, taps, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Avx2` is only made by `detect`, after the processor was asked.
            Self::Avx2 => unsafe { avx2::horizontal(source, stride, taps, out) },
        }
    }

    fn vertical(self, source: &[u8], stride: usize, width: usize, taps: &Taps, out: &mut [u8]) {
        match self {
            Self::Scalar => scalar::vertical(source, stride, width, taps, out),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: `Avx2` is only made by `detect`, after the processor was asked.
            Self::Avx2 => unsafe { avx2::vertical(source, stride, width, taps, out) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::orientation::Turn;
    use super::super::spec::{Interpolation, ResizeMode};
    use super::*;

    /// A small generator (xorshift) with a fixed start, so that a failure can be repeated.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        /// True once in `times`.
        fn once_in(&mut self, times: u64) -> bool {
            self.next().is_multiple_of(times)
        }

        fn size(&mut self) -> u32 {
            // Small sizes as often as large ones.
            let bits = 1 + self.next() % 8;
            1 + (self.next() % (1 << bits)) as u32
        }
    }

    /// A random case: an image, and what is to be made of it.
    fn case(random: &mut Random) -> (Spec, Turn, (u32, u32), Vec<u8>) {
        let (width, height) = (random.size(), random.size());
        let rgb = match random.next() % 4 {
            // The extremes, where overshoot must be clamped and sums are largest.
            0 => (0..width * height * 3).map(|_| if random.once_in(2) { 0 } else { 255 }).collect(),
            _ => (0..width * height * 3).map(|_| random.next() as u8).collect(),
        };
        let spec = Spec {
            resize_size: Some(random.size()),
            crop_size: (!random.once_in(3)).then(|| random.size()),
            resize_mode: if random.once_in(3) { ResizeMode::Stretch } else { ResizeMode::ShorterSide },
            interpolation: if random.once_in(2) { Interpolation::Bilinear } else { Interpolation::Bicubic },
            ..Spec::default()
        };
        let bits = random.next();
        let turn = Turn { mirror_columns: bits & 1 > 0, mirror_rows: bits & 2 > 0, transpose: bits & 4 > 0 };
        (spec, turn, (width, height), rgb)
    }

    fn plan(spec: &Spec, turn: Turn, size: (u32, u32)) -> Plan {
        let upright = turn.upright(size.0, size.1);
        let (width, height) = spec.resized(upright.0, upright.1);
        Plan::new(spec, turn, size, (width as u32, height as u32))
    }

    #[test]
    fn simd_and_scalar_passes_give_the_same_bits() {
        let mut random = Random(0x5eed);
        for round in 0..1500 {
            let (spec, turn, size, rgb) = case(&mut random);
            let plan = plan(&spec, turn, size);
            let Some(kernel) = plan.kernel else { continue };
            let len = plan.columns.span.len as usize * plan.rows.span.len as usize * 3;
            if len > 200_000 {
                continue;
            }
            let [scalar, simd] = [Isa::Scalar, Isa::detect()].map(|isa| {
                let mut out = vec![0; len];
                convolve(Stored { width: size.0, rgb: &rgb }, &plan, kernel, &mut Vec::new(), &mut out, isa);
                out
            });
            assert!(scalar == simd, "round {round}: {size:?} with {spec:?} and {turn:?}");
        }
    }

    #[test]
    fn turning_before_the_resize_gives_the_same_bits_as_folding_it_in() {
        let mut random = Random(0xca7);
        for round in 0..300 {
            let (spec, turn, size, rgb) = case(&mut random);
            let (width, height) = spec.resized(turn.upright(size.0, size.1).0, turn.upright(size.0, size.1).1);
            if width * height > 100_000 {
                continue;
            }
            let scratch = &mut Vec::new();
            let folded = resize(Stored { width: size.0, rgb: &rgb }, &plan(&spec, turn, size), scratch);

            let as_it_is = Spec { resize_size: None, crop_size: None, ..spec.clone() };
            let turned = resize(Stored { width: size.0, rgb: &rgb }, &plan(&as_it_is, turn, size), scratch);
            let size = (turned.width(), turned.height());
            let image = Stored { width: size.0, rgb: turned.data() };
            let twice = resize(image, &plan(&spec, Turn::default(), size), scratch);
            assert!(folded == twice, "round {round}: {size:?} with {spec:?} and {turn:?}");
        }
    }
}
