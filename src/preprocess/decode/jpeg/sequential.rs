//! Baseline and extended sequential JPEG in one scan, which nearly all are: a row of units is decoded, its pixels are
//! handed on, and it is forgotten.

use libjpeg_turbo_rs::decode::bitstream::BitReader;
use libjpeg_turbo_rs::decode::entropy::{McuDecoder, resolve_mcu_plan};
use libjpeg_turbo_rs::decode::marker::JpegMetadata;

use super::geometry::Geometry;
use super::routines::routines;
use super::strips::Strips;
use super::upsample::Upsampler;
use crate::preprocess::decode::fault::jpeg as corrupt;
use crate::preprocess::error::DecodeError;
use crate::preprocess::rows::RowSink;

pub(super) fn read(
    bytes: &[u8],
    metadata: &JpegMetadata,
    geometry: &Geometry,
    sink: &mut dyn RowSink,
) -> Result<(), DecodeError> {
    let JpegMetadata { frame, scan, dc_huffman_tables, ac_huffman_tables, .. } = metadata;
    let plan = resolve_mcu_plan(frame, scan, dc_huffman_tables, ac_huffman_tables).map_err(corrupt)?;
    let idct = routines().idct_islow;
    let mut bits = BitReader::new(bytes.get(metadata.entropy_data_offset..).unwrap_or_default());
    let mut entropy = McuDecoder::new(geometry.components.len());
    let mut strips = Strips::new(geometry);
    let mut upsampler = Upsampler::new(geometry);
    let wanted = upsampler.wanted_units(sink);
    // The blocks of a unit in their order: whose they are, and their place in it.
    let blocks = plan.iter().flat_map(|part| {
        let (across, down) = geometry.components[part.comp_idx].blocks;
        (0..across * down).map(move |index| (part, (index % across, index / across)))
    });
    let blocks: Vec<_> = blocks.collect();
    let mut until_restart = metadata.restart_interval;
    let (mut coefficients, mut samples) = ([0; 64], [0; 64]);
    for unit_row in 0..geometry.units.1 {
        let is_wanted = wanted.contains(&unit_row);
        for unit in 0..geometry.units.0 {
            if metadata.restart_interval > 0 {
                if until_restart == 0 {
                    bits.reset();
                    entropy.reset();
                    until_restart = metadata.restart_interval;
                }
                until_restart -= 1;
            }
            for &(part, (column, row)) in &blocks {
                let result =
                    entropy.decode_block(&mut bits, part.comp_idx, part.dc_table, part.ac_table, &mut coefficients);
                if let Err(error) = result {
                    return Err(if bits.insufficient_data() { cut() } else { corrupt(error) });
                }
                if is_wanted {
                    let component = &geometry.components[part.comp_idx];
                    idct(&coefficients, &component.quantization, &mut samples);
                    let (across, down) = component.blocks;
                    strips.store(part.comp_idx, (unit * across + column, unit_row * down + row), &samples);
                }
            }
            // Never half a picture: where the file ends, its decoders go on with gray.
            if bits.insufficient_data() {
                return Err(cut());
            }
        }
        upsampler.rows(upsampler.ready(unit_row), &strips, sink);
    }
    // libjpeg looks at what ends the pixels, and gives up on a marker that is reserved.
    let behind = bytes.get(metadata.entropy_data_offset + bits.position()..).unwrap_or_default();
    let marker = behind.windows(2).find(|pair| pair[0] == 0xff && !matches!(pair[1], 0x00 | 0xff));
    match marker {
        Some(&[_, marker @ 0x02..=0xbf]) => Err(corrupt(format_args!("marker {marker:#x} ends its pixels"))),
        _ => Ok(()),
    }
}

pub(super) fn cut() -> DecodeError {
    corrupt("its pixels end early")
}
