//! JPEG in several scans: a progressive file gives every block's coefficients in several passes over the picture, a
//! sequential one may give one component after the other. The coefficients of all of it are held, 2 bytes a sample.

use std::sync::Arc;

use libjpeg_turbo_rs::JpegError;
use libjpeg_turbo_rs::common::huffman_table::{HuffmanTable, std_huffman_tables};
use libjpeg_turbo_rs::common::quant_table::ZIGZAG_ORDER;
use libjpeg_turbo_rs::decode::bitstream::BitReader;
use libjpeg_turbo_rs::decode::huffman;
use libjpeg_turbo_rs::decode::marker::{JpegMetadata, ScanInfo};
use libjpeg_turbo_rs::decode::progressive;

use super::entropy::Fault;
use super::geometry::{Component, Geometry};
use super::refine::refine;
use super::strips::Strips;
use super::transform::transform;
use super::upsample::Upsampler;
use crate::preprocess::decode::fault::jpeg as corrupt;
use crate::preprocess::error::DecodeError;
use crate::preprocess::rows::RowSink;

/// More scans than any encoder writes (10 or so); each costs a walk over the whole image.
pub(super) const MAX_SCANS: usize = 100;

type Block = [i16; 64];

/// What is known of a component.
struct Blocks {
    coefficients: Vec<Block>,
    /// How far each block has come: the last of its coefficients that may not be zero.
    reach: Vec<u8>,
}

impl Blocks {
    fn new(component: &Component) -> Self {
        let count = component.stored.0 * component.stored.1;
        Self { coefficients: vec![[0; 64]; count], reach: vec![0; count] }
    }
}

pub(super) fn read(
    bytes: &[u8],
    metadata: &JpegMetadata,
    geometry: &Geometry,
    sink: &mut dyn RowSink,
) -> Result<(), DecodeError> {
    let mut blocks: Vec<_> = geometry.components.iter().map(Blocks::new).collect();
    for scan in metadata.scans.iter().take(MAX_SCANS) {
        let data = bytes.get(scan.data_offset..).unwrap_or_default();
        Scan::new(scan, geometry, metadata.frame.is_progressive)?.read(data, geometry, &mut blocks)?;
    }

    let mut strips = Strips::new(geometry);
    let mut upsampler = Upsampler::new(geometry, sink);
    let (unit_columns, unit_rows) = upsampler.wanted_units(sink);
    for unit_row in 0..geometry.units.1 {
        for (index, component) in geometry.components.iter().enumerate() {
            let (across, down) = (component.stored.0, component.blocks.1);
            let columns = unit_columns.start * component.blocks.0..unit_columns.end * component.blocks.0;
            for row in (unit_row * down..).take(if unit_rows.contains(&unit_row) { down } else { 0 }) {
                let blocks = &blocks[index].coefficients[row * across..][..across];
                for (column, block) in columns.clone().zip(&blocks[columns.clone()]) {
                    transform(component.edge, block, &component.quantization, strips.block(index, (column, row)));
                }
            }
        }
        upsampler.rows(upsampler.ready(unit_row), &strips, sink);
    }
    Ok(())
}

/// What a scan brings.
#[derive(Clone, Copy, PartialEq)]
enum Pass {
    /// Whole blocks, in a sequential file.
    Whole,
    /// The upper bits of the blocks' averages, or one more of them.
    FirstDc,
    RefineDc,
    /// The upper bits of a band of coefficients, or one more of them.
    FirstAc,
    RefineAc,
}

/// A scan's component; a table that its pass does not need is an empty one.
struct Part<'a> {
    component: usize,
    dc_table: &'a HuffmanTable,
    ac_table: &'a HuffmanTable,
}

struct Scan<'a> {
    pass: Pass,
    /// The band's first and last coefficient, in zigzag order.
    band: (u8, u8),
    /// The place of the bits that it brings.
    shift: u8,
    restart_interval: u16,
    parts: Vec<Part<'a>>,
}

/// What is carried from one block to the next.
#[derive(Default)]
struct State {
    averages: [i16; 4],
    /// How many of the next blocks have nothing more in this band.
    empty_blocks: u16,
}

impl<'a> Scan<'a> {
    fn new(scan: &'a ScanInfo, geometry: &Geometry, progressive: bool) -> Result<Self, DecodeError> {
        let header = &scan.header;
        let pass = match (progressive, header.spec_start, header.succ_high) {
            (false, ..) => Pass::Whole,
            (true, 0, 0) => Pass::FirstDc,
            (true, 0, _) => Pass::RefineDc,
            (true, _, 0) => Pass::FirstAc,
            (true, ..) => Pass::RefineAc,
        };
        let (first, last) = (header.spec_start, header.spec_end);
        if last > 63 || first > last {
            return Err(corrupt(format_args!("a scan has the coefficients {first} to {last}")));
        }
        let needs_dc = matches!(pass, Pass::Whole | Pass::FirstDc);
        let needs_ac = matches!(pass, Pass::Whole | Pass::FirstAc | Pass::RefineAc);
        if matches!(pass, Pass::FirstAc | Pass::RefineAc) && header.components.len() != 1 {
            return Err(corrupt("a scan mixes coefficients of several components"));
        }
        let table = |tables: &'a [Option<Arc<HuffmanTable>>; 4], index: u8, is_needed: bool| {
            let table = tables.get(usize::from(index)).and_then(Option::as_deref);
            let table = if is_needed { table } else { Some(&*std_huffman_tables()[0]) };
            table.ok_or_else(|| corrupt("a scan names a Huffman table that is not there"))
        };
        let parts = header.components.iter().map(|selector| {
            let component = geometry.components.iter().position(|component| component.id == selector.component_id);
            Ok(Part {
                component: component.ok_or_else(|| corrupt("a scan names a component that is not there"))?,
                dc_table: table(&scan.dc_huffman_tables, selector.dc_table_index, needs_dc)?,
                ac_table: table(&scan.ac_huffman_tables, selector.ac_table_index, needs_ac)?,
            })
        });
        Ok(Self {
            pass,
            band: (first, last),
            shift: header.succ_low,
            restart_interval: scan.restart_interval,
            parts: parts.collect::<Result<_, DecodeError>>()?,
        })
    }

    /// Reads the scan from `data` into the blocks of each component.
    fn read(&self, data: &[u8], geometry: &Geometry, blocks: &mut [Blocks]) -> Result<(), DecodeError> {
        let (band, shift) = (self.band, self.shift);
        match self.pass {
            Pass::Whole => self.each_block(data, geometry, blocks, |bits, state, part, block, _| {
                *block = [0; 64];
                let average = &mut state.averages[part.component];
                *average = average.wrapping_add(huffman::decode_dc_coefficient(bits, part.dc_table)?);
                block[0] = *average;
                huffman::decode_ac_coefficients(bits, part.ac_table, block)
            }),
            Pass::FirstDc => self.each_block(data, geometry, blocks, |bits, state, part, block, _| {
                let average = &mut state.averages[part.component];
                progressive::decode_dc_first(bits, part.dc_table, average, block, shift)
            }),
            Pass::RefineDc => self.each_block(data, geometry, blocks, |bits, _, _, block, _| {
                progressive::decode_dc_refine(bits, block, shift)
            }),
            Pass::FirstAc => self.each_block(data, geometry, blocks, |bits, state, part, block, reach| {
                let empty_blocks = &mut state.empty_blocks;
                if *empty_blocks > 0 {
                    *empty_blocks -= 1;
                    return Ok(());
                }
                progressive::decode_ac_first(bits, part.ac_table, block, band.0, band.1, shift, empty_blocks)?;
                let new = (*reach + 1..=band.1).rev();
                *reach = new.into_iter().find(|&at| block[ZIGZAG_ORDER[usize::from(at)]] != 0).unwrap_or(*reach);
                Ok(())
            }),
            Pass::RefineAc => self.each_block(data, geometry, blocks, |bits, state, part, block, reach| {
                refine(bits, part.ac_table, block, band, shift, &mut state.empty_blocks, reach)
            }),
        }
    }

    /// Calls `read` for every block that the scan holds, in its order.
    #[inline(always)]
    fn each_block(
        &self,
        data: &[u8],
        geometry: &Geometry,
        blocks: &mut [Blocks],
        read: impl Fn(&mut BitReader<'_>, &mut State, &Part<'_>, &mut Block, &mut u8) -> Result<(), JpegError>,
    ) -> Result<(), DecodeError> {
        let mut bits = BitReader::new(data);
        let mut state = State::default();
        let mut until_restart = self.restart_interval;
        let mut restart = |bits: &mut BitReader<'_>, state: &mut State| {
            if self.restart_interval > 0 {
                if until_restart == 0 {
                    bits.reset();
                    *state = State::default();
                    until_restart = self.restart_interval;
                }
                until_restart -= 1;
            }
        };
        let read = |bits: &mut BitReader<'_>, state: &mut State, part: &Part<'_>, block: &mut Block, reach: &mut u8| {
            let result = read(bits, state, part, block, reach);
            // Never half a picture: a file that ends early goes on with zeros.
            if bits.insufficient_data() {
                return Err(Fault::Cut.into());
            }
            result.map_err(corrupt)
        };
        if let [part] = &self.parts[..] {
            // One component alone: block by block, without those that only fill up units.
            let (across, (columns, rows)) = {
                let component = &geometry.components[part.component];
                (component.stored.0, component.real)
            };
            let Blocks { coefficients, reach } = &mut blocks[part.component];
            for (row, reach) in coefficients.chunks_mut(across).zip(reach.chunks_mut(across)).take(rows) {
                for (block, reach) in row.iter_mut().zip(reach).take(columns) {
                    restart(&mut bits, &mut state);
                    read(&mut bits, &mut state, part, block, reach)?;
                }
            }
            return Ok(());
        }
        for unit_row in 0..geometry.units.1 {
            for unit in 0..geometry.units.0 {
                restart(&mut bits, &mut state);
                for part in &self.parts {
                    let component = &geometry.components[part.component];
                    let Blocks { coefficients, reach } = &mut blocks[part.component];
                    for row in unit_row * component.blocks.1..(unit_row + 1) * component.blocks.1 {
                        for column in unit * component.blocks.0..(unit + 1) * component.blocks.0 {
                            let index = row * component.stored.0 + column;
                            read(&mut bits, &mut state, part, &mut coefficients[index], &mut reach[index])?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
