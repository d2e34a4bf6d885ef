//! CIE L*a*b* as Pillow makes sRGB of it: through Little CMS, which looks it up in a grid of 33x33x33 colours.
//!
//! Exact are only the colours of the grid, which is computed here when the first such picture comes; between them lie
//! tetrahedra, with whole numbers. What is rounded where, and to single or double precision, is part of the result.

use std::sync::OnceLock;

/// Colours along each side of the grid.
const SIDE: usize = 33;
const GRID: usize = SIDE * SIDE * SIDE;

type Matrix = [[f64; 3]; 3];

/// The white that profiles are connected by.
const D50: [f64; 3] = [0.9642, 1.0, 0.8249];
/// The most that a profile's XYZ goes to, as numbers of 16 bits have it.
const MOST_XYZ: f64 = 1.0 + 32767.0 / 32768.0;

/// The RGB of every colour of the grid, 16 bits a sample.
pub(super) struct Lab(Box<[[u16; 3]]>);

impl Lab {
    /// The conversion, made at the first call.
    pub(super) fn shared() -> &'static Self {
        static SHARED: OnceLock<Lab> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    fn new() -> Self {
        let to_rgb = xyz_to_rgb();
        let knot =
            |index: usize| f64::from((saturated(index as f64 * 65535.0 / (SIDE - 1) as f64) as f64 / 65535.0) as f32);
        let color = |index: usize| {
            let [light, a, b] = [index / (SIDE * SIDE), index / SIDE % SIDE, index % SIDE].map(knot);
            let xyz = lab_to_xyz([light * 100.0, a * 255.0 - 128.0, b * 255.0 - 128.0]);
            let xyz = xyz.map(|value| f64::from((value / MOST_XYZ) as f32));
            to_rgb.map(|[x, y, z]| {
                let linear = f64::from((xyz[0] * x + xyz[1] * y + xyz[2] * z) as f32);
                saturated(f64::from(gamma(linear) as f32) * 65535.0)
            })
        };
        Self((0..GRID).map(color).collect())
    }

    /// The RGB of a colour whose `a` and `b` have their zero at 128.
    pub(super) fn rgb(&self, lab: [u8; 3]) -> [u8; 3] {
        // Each coordinate in the grid, with 16 binary places; the step to the next colour along it.
        let at = lab.map(|value| {
            let scaled = i32::from(value) * 257 * (SIDE - 1) as i32;
            scaled + (scaled + 0x7fff) / 0xffff
        });
        let steps = [SIDE * SIDE, SIDE, 1];
        let start: usize = (0..3).map(|axis| (at[axis] >> 16) as usize * steps[axis]).sum();
        // From the nearest corner to the farthest along the sides of a tetrahedron, the longest way first.
        let mut ways = [0, 1, 2].map(|axis| (at[axis] & 0xffff, if lab[axis] == 255 { 0 } else { steps[axis] }));
        ways.sort_by_key(|&(rest, _)| std::cmp::Reverse(rest));
        let mut corner = start;
        let first = self.0[corner].map(i32::from);
        let (mut before, mut sums) = (first, [0x8001; 3]);
        for (rest, step) in ways {
            corner += step;
            let color = self.0[corner].map(i32::from);
            for channel in 0..3 {
                sums[channel] += (color[channel] - before[channel]) * rest;
            }
            before = color;
        }
        std::array::from_fn(|channel| {
            let sum = sums[channel];
            let value = (first[channel] + ((sum + (sum >> 16)) >> 16)) as u16;
            ((u32::from(value) * 65281 + (1 << 23)) >> 24) as u8
        })
    }
}

fn lab_to_xyz([light, a, b]: [f64; 3]) -> [f64; 3] {
    let part = |t: f64| if t <= 24.0 / 116.0 { (108.0 / 841.0) * (t - 16.0 / 116.0) } else { t * t * t };
    let y = (light + 16.0) / 116.0;
    let parts = [part(y + 0.002 * a), part(y), part(y - 0.005 * b)];
    std::array::from_fn(|axis| parts[axis] * D50[axis])
}

/// What light becomes in sRGB.
fn gamma(linear: f64) -> f64 {
    let (scale, offset): (f64, f64) = (1.0 / 1.055, 0.055 / 1.055);
    let bend = (scale * 0.04045 + offset).powf(2.4);
    if linear >= bend { (linear.powf(1.0 / 2.4) - offset) / scale } else { linear / (1.0 / 12.92) }
}

/// The matrix from XYZ, as parts of the most there is, to the light of sRGB's primaries.
fn xyz_to_rgb() -> Matrix {
    let (white_x, white_y) = (0.3127, 0.3290);
    let primaries: Matrix =
        [[0.64, 0.30, 0.15], [0.33, 0.60, 0.06], [1.0 - 0.64 - 0.33, 1.0 - 0.30 - 0.60, 1.0 - 0.15 - 0.06]];
    let white = [white_x / white_y, 1.0, (1.0 - white_x - white_y) / white_y];
    let amounts = applied(&inverse(&primaries), white);
    let to_xyz = primaries.map(|row| std::array::from_fn(|column| amounts[column] * row[column]));
    // Bradford's cones see the white of sRGB as D50.
    let cones: Matrix = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
    let (seen, wanted) = (applied(&cones, white), applied(&cones, D50));
    let scaled: Matrix = std::array::from_fn(|row| {
        let factor = wanted[row] / seen[row];
        cones[row].map(|value| factor * value)
    });
    let adapted = product(&product(&inverse(&cones), &scaled), &to_xyz);
    inverse(&adapted).map(|row| row.map(|value| value * MOST_XYZ))
}

fn product(left: &Matrix, right: &Matrix) -> Matrix {
    left.map(|[x, y, z]| {
        std::array::from_fn(|column| x * right[0][column] + y * right[1][column] + z * right[2][column])
    })
}

fn applied(matrix: &Matrix, [x, y, z]: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row[0] * x + row[1] * y + row[2] * z)
}

/// The inverse, by minors; none of the matrices here is singular.
fn inverse(m: &Matrix) -> Matrix {
    let minor = |[a, b]: [usize; 2], [c, d]: [usize; 2]| m[a][c] * m[b][d] - m[a][d] * m[b][c];
    let first = [minor([1, 2], [1, 2]), -minor([1, 2], [0, 2]), minor([1, 2], [0, 1])];
    let determinant = m[0][0] * first[0] + m[0][1] * first[1] + m[0][2] * first[2];
    [
        [first[0], -minor([0, 2], [1, 2]), minor([0, 1], [1, 2])],
        [first[1], minor([0, 2], [0, 2]), -minor([0, 1], [0, 2])],
        [first[2], -minor([0, 2], [0, 1]), minor([0, 1], [0, 1])],
    ]
    .map(|row| row.map(|value| value / determinant))
}

/// Rounded to 16 bits, after having been rounded to 16 binary places.
fn saturated(value: f64) -> u16 {
    let value = value + 0.5;
    if value <= 0.0 {
        0
    } else if value >= 65535.0 {
        u16::MAX
    } else {
        ((value * 65536.0).round_ties_even() as i64 >> 16) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_what_pillow_13_makes_of_them() {
        let expected = [
            ([0, 128, 128], [1, 0, 1]),
            ([128, 128, 128], [119, 119, 119]),
            ([255, 128, 128], [254, 255, 254]),
            ([255, 0, 255], [0, 255, 0]),
            ([137, 208, 195], [250, 5, 11]),
            ([82, 207, 20], [88, 0, 253]),
            ([1, 2, 3], [0, 59, 191]),
            ([254, 255, 254], [255, 64, 0]),
        ];
        for (lab, rgb) in expected {
            assert_eq!(Lab::shared().rgb(lab), rgb, "{lab:?}");
        }
    }
}
