//! JPEG in several scans: a progressive file gives every block's coefficients in several passes over the picture, a
//! sequential one may give one component after the other. The coefficients of all of it are held, 2 bytes a sample.

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::decode::bitstream::BitReader;
use libjpeg_turbo_rs::decode::huffman;
use libjpeg_turbo_rs::decode::marker::{JpegMetadata, ScanInfo};
use libjpeg_turbo_rs::decode::progressive;
use libjpeg_turbo_rs::simd;

use super::geometry::{Component, Geometry};
use super::sequential::cut;
use super::strips::Strips;
use super::upsample::Upsampler;
use super::{MAX_SCANS, corrupt};
use crate::preprocess::error::DecodeError;
use crate::preprocess::rows::RowSink;

type Block = [i16; 64];

pub(super) fn read(
    bytes: &[u8],
    metadata: &JpegMetadata,
    geometry: &Geometry,
    sink: &mut dyn RowSink,
) -> Result<(), DecodeError> {
    let blocks = |component: &Component| vec![[0; 64]; component.stored.0 * component.stored.1];
    let mut coefficients: Vec<Vec<Block>> = geometry.components.iter().map(blocks).collect();
    for scan in metadata.scans.iter().take(MAX_SCANS) {
        let data = bytes.get(scan.data_offset..).unwrap_or_default();
        Scan::new(scan, geometry, metadata.frame.is_progressive)?.read(data, geometry, &mut coefficients)?;
    }

    let idct = simd::detect().idct_islow;
    let mut strips = Strips::new(geometry);
    let mut upsampler = Upsampler::new(geometry);
    let wanted = upsampler.wanted_units(sink);
    let mut samples = [0; 64];
    for unit_row in 0..geometry.units.1 {
        for (index, component) in geometry.components.iter().enumerate() {
            let (across, down) = (component.stored.0, component.blocks.1);
            for row in (unit_row * down..).take(if wanted.contains(&unit_row) { down } else { 0 }) {
                for (column, block) in coefficients[index][row * across..][..across].iter().enumerate() {
                    idct(block, &component.quantization, &mut samples);
                    strips.store(index, (column, row), &samples);
                }
            }
        }
        upsampler.rows(upsampler.ready(unit_row), &strips, sink);
    }
    Ok(())
}

/// What a scan brings.
#[derive(Clone, Copy)]
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

/// A scan's component.
struct Part<'a> {
    component: usize,
    dc_table: Option<&'a HuffmanTable>,
    ac_table: Option<&'a HuffmanTable>,
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
        let dc = matches!(pass, Pass::Whole | Pass::FirstDc);
        let ac = matches!(pass, Pass::Whole | Pass::FirstAc | Pass::RefineAc);
        if matches!(pass, Pass::FirstAc | Pass::RefineAc) && header.components.len() != 1 {
            return Err(corrupt("a scan mixes coefficients of several components"));
        }
        let parts = header.components.iter().map(|selector| {
            let component = geometry.components.iter().position(|component| component.id == selector.component_id);
            let part = Part {
                component: component.ok_or_else(|| corrupt("a scan names a component that is not there"))?,
                dc_table: scan.dc_huffman_tables[usize::from(selector.dc_table_index & 3)].as_deref(),
                ac_table: scan.ac_huffman_tables[usize::from(selector.ac_table_index & 3)].as_deref(),
            };
            if dc && part.dc_table.is_none() || ac && part.ac_table.is_none() {
                return Err(corrupt("a scan names a Huffman table that is not there"));
            }
            Ok(part)
        });
        Ok(Self {
            pass,
            band: (header.spec_start, header.spec_end),
            shift: header.succ_low,
            restart_interval: scan.restart_interval,
            parts: parts.collect::<Result<_, DecodeError>>()?,
        })
    }

    /// Reads the scan from `data` into the blocks of each component.
    fn read(&self, data: &[u8], geometry: &Geometry, coefficients: &mut [Vec<Block>]) -> Result<(), DecodeError> {
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
        if let [part] = &self.parts[..] {
            // One component alone: block by block, without those that only fill up units.
            let component = &geometry.components[part.component];
            for row in coefficients[part.component].chunks_mut(component.stored.0).take(component.real.1) {
                for block in &mut row[..component.real.0] {
                    restart(&mut bits, &mut state);
                    self.block(&mut bits, &mut state, part, block)?;
                }
            }
            return Ok(());
        }
        for unit_row in 0..geometry.units.1 {
            for unit in 0..geometry.units.0 {
                restart(&mut bits, &mut state);
                for part in &self.parts {
                    let component = &geometry.components[part.component];
                    let (across, down) = component.blocks;
                    for block in 0..across * down {
                        let (column, row) = (unit * across + block % across, unit_row * down + block / across);
                        let block = &mut coefficients[part.component][row * component.stored.0 + column];
                        self.block(&mut bits, &mut state, part, block)?;
                    }
                }
            }
        }
        Ok(())
    }

    #[inline]
    fn block(
        &self,
        bits: &mut BitReader<'_>,
        state: &mut State,
        part: &Part<'_>,
        block: &mut Block,
    ) -> Result<(), DecodeError> {
        let average = &mut state.averages[part.component];
        let missing = || corrupt("a scan names a Huffman table that is not there");
        let result = match self.pass {
            Pass::FirstAc if state.empty_blocks > 0 => {
                // It has no bits of its own.
                state.empty_blocks -= 1;
                return Ok(());
            }
            Pass::Whole => {
                *block = [0; 64];
                let (dc, ac) = (part.dc_table.ok_or_else(missing)?, part.ac_table.ok_or_else(missing)?);
                huffman::decode_dc_coefficient(bits, dc).and_then(|difference| {
                    *average = average.wrapping_add(difference);
                    block[0] = *average;
                    huffman::decode_ac_coefficients(bits, ac, block)
                })
            }
            Pass::FirstDc => {
                let table = part.dc_table.ok_or_else(missing)?;
                progressive::decode_dc_first(bits, table, average, block, self.shift)
            }
            Pass::RefineDc => progressive::decode_dc_refine(bits, block, self.shift),
            Pass::FirstAc | Pass::RefineAc => {
                let table = part.ac_table.ok_or_else(missing)?;
                let (first, last) = self.band;
                let decode = match self.pass {
                    Pass::FirstAc => progressive::decode_ac_first,
                    _ => progressive::decode_ac_refine,
                };
                decode(bits, table, block, first, last, self.shift, &mut state.empty_blocks)
            }
        };
        // Never half a picture: a file that ends early goes on with zeros.
        if bits.insufficient_data() {
            return Err(cut());
        }
        result.map_err(corrupt)
    }
}
