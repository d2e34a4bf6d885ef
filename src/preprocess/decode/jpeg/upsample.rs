//! From samples to pixels: where a component has fewer samples than the picture has pixels, the missing ones are found
//! as libjpeg finds them ("fancy upsampling"), and the colours become RGB.

use std::ops::Range;

use libjpeg_turbo_rs::simd::SimdRoutines;

use super::geometry::{ColorModel, Component, Geometry};
use super::routines::routines;
use super::strips::Planes;
use crate::preprocess::decode::cmyk::cmyk_to_rgb;
use crate::preprocess::decode::colors;
use crate::preprocess::rows::RowSink;

/// How a row of samples becomes a row of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Filter {
    /// They are as many.
    Copy,
    /// Half as many across: a quarter of the neighbour is mixed in.
    Across,
    /// Half as many down.
    Down,
    /// Half as many both ways.
    Both,
    /// Any other number: each sample is repeated.
    Repeat { across: usize, down: usize },
}

impl Filter {
    /// libjpeg's choice (`jinit_upsampler`).
    fn of(component: &Component, geometry: &Geometry) -> Self {
        // Of a block of one sample nothing is smooth.
        let is_smooth = geometry.edge > 1;
        match component.factors {
            (1, 1) => Self::Copy,
            (2, 1) if is_smooth && component.samples.0 > 2 => Self::Across,
            (1, 2) if is_smooth => Self::Down,
            (2, 2) if is_smooth && component.samples.0 > 2 => Self::Both,
            (across, down) => Self::Repeat { across, down },
        }
    }

    /// Whether it looks at the sample rows above and below.
    fn blends_rows(self) -> bool {
        matches!(self, Self::Down | Self::Both)
    }
}

/// Makes pixels of samples, row by row from the top.
pub(super) struct Upsampler<'a> {
    geometry: &'a Geometry,
    filters: Vec<Filter>,
    /// A row of each component in the picture's width.
    rows: Vec<Vec<u8>>,
    /// Working memory of [`both`].
    sums: Vec<u16>,
    routines: &'static SimdRoutines,
    /// The units, counted across, and the columns of pixels of which rows are made; beyond them rows have no pixels.
    units: Range<usize>,
    columns: Range<usize>,
    /// Rows that are done.
    done: usize,
}

impl<'a> Upsampler<'a> {
    /// For the columns that `sink` wants.
    pub(super) fn new(geometry: &'a Geometry, sink: &dyn RowSink) -> Self {
        let filters: Vec<_> = geometry.components.iter().map(|component| Filter::of(component, geometry)).collect();
        let row = |component: &Component| vec![0; (component.samples.0 + 1) * component.factors.0];
        let rows = geometry.components.iter().map(row).collect();
        // Where the units end but not the picture, the last sample has not its neighbour; so more are taken than are
        // wanted, and enough for every filter.
        let (wanted, width) = (sink.wanted_columns(), geometry.unit.0);
        let end = (wanted.end as usize + 2).div_ceil(width).min(geometry.units.0);
        let units = ((wanted.start as usize).saturating_sub(8) / width).min(end)..end;
        let columns = units.start * width..(units.end * width).min(geometry.width);
        Self { geometry, filters, rows, sums: Vec::new(), routines: routines(), units, columns, done: 0 }
    }

    /// The columns and rows of units whose samples reach a pixel that somebody wants.
    pub(super) fn wanted_units(&self, sink: &dyn RowSink) -> (Range<usize>, Range<usize>) {
        let (wanted, height) = (sink.wanted(), self.geometry.unit.1);
        let beside = if self.filters.iter().any(|filter| filter.blends_rows()) { 2 } else { 0 };
        let end = (wanted.end as usize + beside).div_ceil(height).min(self.geometry.units.1);
        let rows = ((wanted.start as usize).saturating_sub(beside) / height).min(end)..end;
        (self.units.clone(), rows)
    }

    /// How many rows of pixels can be made once row `unit_row` of the units is there.
    pub(super) fn ready(&self, unit_row: usize) -> usize {
        let end = (unit_row + 1) * self.geometry.unit.1;
        // The last row of pixels that a sample row reaches needs the next one.
        let waits = end < self.geometry.height && self.filters.iter().any(|filter| filter.blends_rows());
        end.min(self.geometry.height) - usize::from(waits)
    }

    /// Hands on the rows up to `end`.
    pub(super) fn rows(&mut self, end: usize, planes: &dyn Planes, sink: &mut dyn RowSink) {
        for y in self.done..end {
            sink.row(&mut |rgb| self.row(y, planes, rgb));
        }
        self.done = end;
    }

    fn row(&mut self, y: usize, planes: &dyn Planes, rgb: &mut [u8]) {
        for (index, component) in self.geometry.components.iter().enumerate() {
            let (out, samples) = (&mut self.rows[index], component.samples);
            let across = component.blocks.0 * component.edge;
            let columns = self.units.start * across..(self.units.end * across).min(samples.0);
            let row = |row: usize| &planes.row(index, row)[columns.clone()];
            // Of two rows of pixels the upper one looks up, the lower one down, and at the edges nowhere.
            let beside = if y.is_multiple_of(2) { (y / 2).saturating_sub(1) } else { (y / 2 + 1).min(samples.1 - 1) };
            match self.filters[index] {
                Filter::Copy => {}
                Filter::Across => self.routines.fancy_upsample_h2v1(row(y), columns.len(), out),
                Filter::Down => down(row(y / 2), row(beside), 1 + (y % 2) as u16, out),
                Filter::Both => both(row(y / 2), row(beside), &mut self.sums, out),
                Filter::Repeat { across, down } => {
                    for (sample, out) in row(y / down).iter().zip(out.chunks_exact_mut(across)) {
                        out.fill(*sample);
                    }
                }
            }
        }
        let width = self.columns.len();
        let rgb = &mut rgb[self.columns.start * 3..self.columns.end * 3];
        let row = |index: usize| match self.filters[index] {
            Filter::Copy => &planes.row(index, y)[self.columns.clone()],
            _ => &self.rows[index][..width],
        };
        let pixels = rgb.as_chunks_mut::<3>().0;
        match self.geometry.colors {
            ColorModel::Gray => row(0).iter().zip(pixels).for_each(|(gray, pixel)| *pixel = [*gray; 3]),
            ColorModel::YCbCr => self.routines.ycbcr_to_rgb_row(row(0), row(1), row(2), rgb, width),
            ColorModel::Rgb => {
                for (((red, green), blue), pixel) in row(0).iter().zip(row(1)).zip(row(2)).zip(pixels) {
                    *pixel = [*red, *green, *blue];
                }
            }
            ColorModel::Premultiplied => {
                for ((((red, green), blue), alpha), pixel) in
                    row(0).iter().zip(row(1)).zip(row(2)).zip(row(3)).zip(pixels)
                {
                    *pixel = colors::divided([*red, *green, *blue], *alpha);
                }
            }
            // Pillow takes every JPEG of four components for inverted.
            ColorModel::Cmyk | ColorModel::Inks => {
                let inverted = if self.geometry.colors == ColorModel::Cmyk { 255 } else { 0 };
                let inks = row(0).iter().zip(row(1)).zip(row(2)).zip(row(3));
                for ((((cyan, magenta), yellow), black), pixel) in inks.zip(pixels) {
                    *pixel = cmyk_to_rgb([cyan, magenta, yellow, black].map(|ink| ink ^ inverted));
                }
            }
            ColorModel::Ycck => {
                // What would be red, green and blue are inks, once inverted by the file and once by the conversion.
                self.routines.ycbcr_to_rgb_row(row(0), row(1), row(2), rgb, width);
                for (black, pixel) in row(3).iter().zip(rgb.as_chunks_mut::<3>().0) {
                    let [cyan, magenta, yellow] = *pixel;
                    *pixel = cmyk_to_rgb([cyan, magenta, yellow, 255 - black]);
                }
            }
        }
    }
}

/// Three quarters of the near row, one of the row beside it. `bias` alternates from row to row, so that rounding has no
/// direction.
fn down(near: &[u8], beside: &[u8], bias: u16, out: &mut [u8]) {
    for ((near, beside), out) in near.iter().zip(beside).zip(out) {
        *out = ((u16::from(*near) * 3 + u16::from(*beside) + bias) >> 2) as u8;
    }
}

/// The same both ways, rounded once at the end.
fn both(near: &[u8], beside: &[u8], sums: &mut Vec<u16>, out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { both_avx2(near, beside, sums, out) };
    }
    both_anywhere(near, beside, sums, out);
}

/// [`both_anywhere`], compiled for AVX2.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn both_avx2(near: &[u8], beside: &[u8], sums: &mut Vec<u16>, out: &mut [u8]) {
    both_anywhere(near, beside, sums, out);
}

#[inline(always)]
fn both_anywhere(near: &[u8], beside: &[u8], sums: &mut Vec<u16>, out: &mut [u8]) {
    // A column's sum at either end stands in for the neighbour that is not there.
    sums.clear();
    sums.resize(near.len() + 2, 0);
    for ((near, beside), sum) in near.iter().zip(beside).zip(&mut sums[1..]) {
        *sum = u16::from(*near) * 3 + u16::from(*beside);
    }
    (sums[0], sums[near.len() + 1]) = (sums[1], sums[near.len()]);
    let (left, middle, right) = (&sums[..near.len()], &sums[1..], &sums[2..]);
    for (((left, middle), right), out) in left.iter().zip(middle).zip(right).zip(out.as_chunks_mut::<2>().0) {
        *out = [((middle * 3 + left + 8) >> 4) as u8, ((middle * 3 + right + 7) >> 4) as u8];
    }
}
