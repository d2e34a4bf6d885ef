//! The passes against each other, on random images.

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
    let mut rgb: Vec<u8> = match random.next() % 4 {
        // The extremes, where overshoot must be clamped and sums are largest.
        0 => (0..width * height * 3).map(|_| if random.once_in(2) { 0 } else { 255 }).collect(),
        _ => (0..width * height * 3).map(|_| random.next() as u8).collect(),
    };
    // Some have rows that are alike.
    if random.once_in(2) {
        let row = width as usize * 3;
        for y in 1..height as usize {
            if !random.once_in(4) {
                rgb.copy_within((y - 1) * row..y * row, y * row);
            }
        }
    }
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

/// What becomes of the rows of `rgb`. Rows that are alike come as one.
fn resized(plan: Plan, rgb: &[u8], mut resizer: Resizer<'_>) -> Pixels {
    let rows: Vec<_> = rgb.chunks(plan.columns.source as usize * 3).collect();
    for alike in rows.chunk_by(|row, next| row == next) {
        resizer.rows(alike.len() as u32, &mut |out| out.copy_from_slice(alike[0]));
    }
    resizer.finish()
}

#[test]
fn simd_and_scalar_passes_give_the_same_bits() {
    let mut random = Random(0x5eed);
    for round in 0..1500 {
        let (spec, turn, size, rgb) = case(&mut random);
        let plan = plan(&spec, turn, size);
        if plan.kernel.is_none() {
            continue;
        }
        let len = plan.columns.span.len as usize * plan.rows.span.len as usize * 3;
        if len > 200_000 {
            continue;
        }
        let [scalar, simd] = [Isa::Scalar, Isa::detect()].map(|isa| {
            let mut buffers = Buffers::default();
            resized(plan, &rgb, Resizer::with_isa(plan, &mut buffers, isa))
        });
        assert!(scalar == simd, "round {round}: {size:?} with {spec:?} and {turn:?}");
    }
}

#[test]
fn rows_that_are_alike_may_come_as_one() {
    let mut random = Random(0xa11ce);
    for round in 0..500 {
        let (spec, turn, size, rgb) = case(&mut random);
        let plan = plan(&spec, turn, size);
        if plan.len() > 300_000 {
            continue;
        }
        let mut buffers = Buffers::default();
        let together = resized(plan, &rgb, Resizer::new(plan, &mut buffers));
        let mut one_by_one = Resizer::new(plan, &mut buffers);
        for row in rgb.chunks(size.0 as usize * 3) {
            one_by_one.row(&mut |out| out.copy_from_slice(row));
        }
        assert!(together == one_by_one.finish(), "round {round}: {size:?} with {spec:?} and {turn:?}");
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
        let resize = |plan: Plan, rgb: &[u8]| resized(plan, rgb, Resizer::new(plan, &mut Buffers::default()));
        let folded = resize(plan(&spec, turn, size), &rgb);

        let as_it_is = Spec { resize_size: None, crop_size: None, ..spec.clone() };
        let turned = resize(plan(&as_it_is, turn, size), &rgb);
        let size = (turned.width(), turned.height());
        let twice = resize(plan(&spec, Turn::default(), size), turned.data());
        assert!(folded == twice, "round {round}: {size:?} with {spec:?} and {turn:?}");
    }
}
