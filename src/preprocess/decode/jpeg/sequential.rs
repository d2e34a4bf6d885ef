//! Baseline and extended sequential JPEG in one scan, which nearly all are: a row of units is decoded, its pixels are
//! handed on, and it is forgotten.
//!
//! Every block's codes are read, because a picture that is damaged anywhere is refused; of those outside the window that
//! is looked at nothing is kept but the average, which the next one starts from.

use std::ptr;

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::decode::entropy::resolve_mcu_plan;
use libjpeg_turbo_rs::decode::marker::JpegMetadata;

use super::annex_k;
use super::bits::Bits;
use super::codes::{AcCodes, DcCodes};
use super::entropy::{self, Fault};
use super::geometry::{Component, Geometry};
use super::strips::Strips;
use super::transform::transform;
use super::upsample::Upsampler;
use crate::preprocess::decode::fault::jpeg as corrupt;
use crate::preprocess::error::DecodeError;
use crate::preprocess::rows::RowSink;

/// So many blocks must be passed over that a table for just that pays.
const MANY_SKIPS: usize = 8192;

/// A block of a unit.
struct UnitBlock<'a> {
    index: usize,
    component: &'a Component,
    /// Its column and row in the unit.
    place: (usize, usize),
    codes: (&'a DcCodes<'a>, &'a AcCodes<'a>),
}

/// The look-ups of a component's tables.
enum Codes<'a> {
    /// Made of the file's own.
    Own(DcCodes<'a>, AcCodes<'a>),
    AnnexK(&'static DcCodes<'static>, &'static AcCodes<'static>),
}

impl<'a> Codes<'a> {
    /// * `blocks`: how many will be read with them
    fn new(dc: &'a HuffmanTable, ac: &'a HuffmanTable, blocks: usize) -> Self {
        match annex_k::dc_codes(dc).zip(annex_k::ac_codes(ac)) {
            Some((dc, ac)) => Self::AnnexK(dc, ac),
            None => Self::Own(DcCodes::new(dc, blocks), AcCodes::new(ac, blocks)),
        }
    }

    fn look_ups(&self) -> (&DcCodes<'a>, &AcCodes<'a>) {
        match self {
            Self::Own(dc, ac) => (dc, ac),
            Self::AnnexK(dc, ac) => (dc, ac),
        }
    }
}

pub(super) fn read(
    bytes: &[u8],
    metadata: &JpegMetadata,
    geometry: &Geometry,
    sink: &mut dyn RowSink,
) -> Result<(), DecodeError> {
    let JpegMetadata { frame, scan, dc_huffman_tables, ac_huffman_tables, .. } = metadata;
    let plan = resolve_mcu_plan(frame, scan, dc_huffman_tables, ac_huffman_tables).map_err(corrupt)?;
    let mut bits = Bits::new(bytes.get(metadata.entropy_data_offset..).unwrap_or_default());
    let mut strips = Strips::new(geometry);
    let mut upsampler = Upsampler::new(geometry, sink);
    let (columns, rows) = upsampler.wanted_units(sink);
    let units = geometry.units.0 * geometry.units.1;
    let wanted_units = columns.len() * rows.len();
    let blocks: usize = plan.iter().map(|part| part.num_blocks * units).sum();
    let mut codes: Vec<Codes<'_>> = Vec::with_capacity(plan.len());
    let mut known = Vec::with_capacity(plan.len());
    for part in &plan {
        // Components share tables, which are as large as half of the cache.
        let is_of_part = |codes: &Codes<'_>| {
            let (dc, ac) = codes.look_ups();
            ptr::eq(dc.table, part.dc_table) && ptr::eq(ac.table, part.ac_table)
        };
        let index = codes.iter().position(is_of_part).unwrap_or_else(|| {
            codes.push(Codes::new(part.dc_table, part.ac_table, blocks));
            codes.len() - 1
        });
        let component = &geometry.components[part.comp_idx];
        let skipped = if component.edge == 1 { units } else { units - wanted_units };
        if skipped * component.blocks.0 * component.blocks.1 > MANY_SKIPS {
            codes[index].look_ups().1.make_skips();
        }
        known.push((part.comp_idx, component, index));
    }
    let blocks = known.into_iter().flat_map(|(index, component, known)| {
        let (across, down) = component.blocks;
        let codes = codes[known].look_ups();
        let place = move |place| (place % across, place / across);
        (0..across * down).map(move |at| UnitBlock { index, component, place: place(at), codes })
    });
    let blocks: Vec<_> = blocks.collect();
    let mut averages = [0; 4];
    let mut coefficients = vec![[0; 64]; blocks.len()];
    let mut until_restart = metadata.restart_interval;
    for unit_row in 0..geometry.units.1 {
        let row_is_wanted = rows.contains(&unit_row);
        for unit in 0..geometry.units.0 {
            if metadata.restart_interval > 0 {
                if until_restart == 0 {
                    bits.restart();
                    averages = [0; 4];
                    until_restart = metadata.restart_interval;
                }
                until_restart -= 1;
            }
            let is_wanted = row_is_wanted && columns.contains(&unit);
            let mut read_unit = || {
                for (block, coefficients) in blocks.iter().zip(&mut coefficients) {
                    let (dc, ac) = block.codes;
                    let average = &mut averages[block.index];
                    if !is_wanted || block.component.edge == 1 {
                        entropy::skip(&mut bits, dc, ac, average)?;
                        coefficients[0] = *average;
                    } else {
                        *coefficients = [0; 64];
                        entropy::read(&mut bits, dc, ac, average, coefficients)?;
                    }
                }
                Ok::<_, Fault>(())
            };
            let result = read_unit();
            // Never half a picture: where the file ends, its decoders go on with gray.
            if bits.is_cut() {
                return Err(Fault::Cut.into());
            }
            result?;
            if is_wanted {
                for (block, coefficients) in blocks.iter().zip(&coefficients) {
                    let UnitBlock { index, component, place, .. } = block;
                    let (across, down) = component.blocks;
                    let to = strips.block(*index, (unit * across + place.0, unit_row * down + place.1));
                    transform(component.edge, coefficients, &component.quantization, to);
                }
            }
        }
        upsampler.rows(upsampler.ready(unit_row), &strips, sink);
    }
    // libjpeg looks at what ends the pixels, and gives up on a marker that is reserved.
    let marker = bits.rest().windows(2).find(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff));
    match marker {
        Some(&[_, marker @ 0x02..=0xbf]) => Err(corrupt(format_args!("marker {marker:#x} ends its pixels"))),
        _ => Ok(()),
    }
}
