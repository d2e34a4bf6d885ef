//! Our reading of a scan against the crate's, which is the definition: the same coefficients and the same refusals, of every
//! sequential file at hand, whole and damaged.

use std::{fs, path::Path};

use libjpeg_turbo_rs::common::huffman_table::HuffmanTable;
use libjpeg_turbo_rs::decode::bitstream::BitReader;
use libjpeg_turbo_rs::decode::entropy::{McuDecoder, resolve_mcu_plan};
use libjpeg_turbo_rs::decode::marker::{JpegMetadata, MarkerReader};

use super::annex_k;
use super::bits::Bits;
use super::codes::{AcCodes, DcCodes};
use super::entropy::{self, Fault};

/// What became of a scan.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    Cut,
    NoCode,
}

/// A scan's blocks up to its end, as the crate reads them.
fn reference(bytes: &[u8], metadata: &JpegMetadata, units: usize) -> (Vec<[i16; 64]>, End) {
    let JpegMetadata { frame, scan, dc_huffman_tables, ac_huffman_tables, .. } = metadata;
    let plan = resolve_mcu_plan(frame, scan, dc_huffman_tables, ac_huffman_tables).unwrap();
    let mut bits = BitReader::new(&bytes[metadata.entropy_data_offset..]);
    let mut decoder = McuDecoder::new(plan.len());
    let mut blocks = Vec::new();
    for unit in 0..units {
        if metadata.restart_interval > 0 && unit > 0 && unit % usize::from(metadata.restart_interval) == 0 {
            bits.reset();
            decoder.reset();
        }
        for part in &plan {
            for _ in 0..part.num_blocks {
                let mut block = [0; 64];
                let result = decoder.decode_block(&mut bits, part.comp_idx, part.dc_table, part.ac_table, &mut block);
                if result.is_err() {
                    return (blocks, if bits.insufficient_data() { End::Cut } else { End::NoCode });
                }
                blocks.push(block);
            }
        }
        if bits.insufficient_data() {
            return (blocks, End::Cut);
        }
    }
    (blocks, End::Whole)
}

/// The same as it is read here, with look-ups for a picture of so many `blocks`; every block, or none of them but for its
/// average.
fn ours(
    bytes: &[u8],
    metadata: &JpegMetadata,
    units: usize,
    (blocks_to_read, skips): (usize, bool),
) -> (Vec<[i16; 64]>, End) {
    let JpegMetadata { frame, scan, dc_huffman_tables, ac_huffman_tables, .. } = metadata;
    let plan = resolve_mcu_plan(frame, scan, dc_huffman_tables, ac_huffman_tables).unwrap();
    let mut bits = Bits::new(&bytes[metadata.entropy_data_offset..]);
    let codes = plan.iter().map(|part| {
        let ac = AcCodes::new(part.ac_table, blocks_to_read);
        if skips {
            ac.make_skips();
        }
        (DcCodes::new(part.dc_table, blocks_to_read), ac)
    });
    let codes: Vec<_> = codes.collect();
    let mut averages = [0; 4];
    let mut blocks = Vec::new();
    for unit in 0..units {
        if metadata.restart_interval > 0 && unit > 0 && unit % usize::from(metadata.restart_interval) == 0 {
            bits.restart();
            averages = [0; 4];
        }
        let read = |(part, (dc, ac)): (_, &(DcCodes<'_>, AcCodes<'_>))| {
            let part: &libjpeg_turbo_rs::decode::entropy::McuComponentPlan<'_> = part;
            for _ in 0..part.num_blocks {
                let mut block = [0; 64];
                let average = &mut averages[part.comp_idx];
                if skips {
                    entropy::skip(&mut bits, dc, ac, average)?;
                    block[0] = *average;
                } else {
                    entropy::read(&mut bits, dc, ac, average, &mut block)?;
                }
                blocks.push(block);
            }
            Ok(())
        };
        let result = plan.iter().zip(&codes).try_for_each(read);
        match result {
            _ if bits.is_cut() => return (blocks, End::Cut),
            Err(Fault::Cut) => return (blocks, End::Cut),
            Err(Fault::NoCode) => return (blocks, End::NoCode),
            Ok(()) => {}
        }
    }
    (blocks, End::Whole)
}

/// Numbers that are the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

/// Every sequential JPEG of the fixtures: its name, its bytes and how many units it has.
fn files() -> Vec<(String, Vec<u8>, JpegMetadata, usize)> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut files = Vec::new();
    for folder in ["images", "preprocess/images"] {
        for file in fs::read_dir(fixtures.join(folder)).unwrap() {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            let Ok(metadata) = MarkerReader::new(&bytes).read_markers() else { continue };
            let frame = &metadata.frame;
            if frame.is_progressive || frame.is_lossless || metadata.is_arithmetic {
                continue;
            }
            let most = |sampling: fn(&libjpeg_turbo_rs::common::types::ComponentInfo) -> u8| {
                frame.components.iter().map(sampling).max().map_or(8, |most| usize::from(most) * 8)
            };
            let units = usize::from(frame.width).div_ceil(most(|component| component.horizontal_sampling))
                * usize::from(frame.height).div_ceil(most(|component| component.vertical_sampling));
            files.push((path.display().to_string(), bytes, metadata, units));
        }
    }
    assert!(files.len() > 25, "{} files", files.len());
    // What is damaged must not depend on the order in which the system lists them.
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn compare(name: &str, bytes: &[u8], metadata: &JpegMetadata, units: usize) -> End {
    let (expected, end) = reference(bytes, metadata, units);
    let mut count = expected.len();
    for blocks_to_read in [0, usize::MAX] {
        let (blocks, our_end) = ours(bytes, metadata, units, (blocks_to_read, false));
        assert_eq!(our_end, end, "{name}, of {blocks_to_read} blocks");
        // Where it fails, how many blocks of the last unit are counted is nobody's concern.
        count = if end == End::Whole { expected.len() } else { count.min(blocks.len()) };
        let different = (0..count).find(|&index| blocks[index] != expected[index]);
        assert_eq!(different, None, "{name}, of {blocks_to_read} blocks: block");
    }
    let (averages, our_end) = ours(bytes, metadata, units, (usize::MAX, true));
    assert_eq!(our_end, end, "{name}, passed over");
    let different = (0..count.min(averages.len())).find(|&index| averages[index][0] != expected[index][0]);
    assert_eq!(different, None, "{name}: average of block");
    end
}

#[test]
fn every_sequential_file_has_the_coefficients_that_the_crate_reads() {
    for (name, bytes, metadata, units) in files() {
        assert_eq!(compare(&name, &bytes, &metadata, units), End::Whole, "{name}");
    }
}

#[test]
fn a_damaged_scan_is_read_as_the_crate_reads_it_and_refused_where_it_refuses_it() {
    let mut numbers = Numbers(1);
    let mut ends = [0; 3];
    for (name, bytes, metadata, units) in files() {
        for round in 0..30 {
            let (mut damaged, start) = (bytes.clone(), metadata.entropy_data_offset);
            let length = damaged.len() - start;
            match round % 3 {
                0 => damaged.truncate(start + numbers.below(length)),
                1 => damaged[start + numbers.below(length)] = 0xff,
                _ => {
                    for _ in 0..=numbers.below(4) {
                        damaged[start + numbers.below(length)] = numbers.below(256) as u8;
                    }
                }
            }
            let end = compare(&format!("{name}, round {round}"), &damaged, &metadata, units);
            ends[end as usize] += 1;
        }
    }
    assert!(ends.iter().all(|&count| count > 0), "not every end was seen: {ends:?}");
}

#[test]
fn restarts_fill_bytes_and_the_end_of_a_scan_are_as_in_libjpeg() {
    let mut bits = Bits::new(&[0x12, 0xff, 0x00, 0xff, 0xff, 0x00, 0xab, 0xff, 0xd3, 0x55, 0xff, 0xd9]);
    bits.refill();
    assert_eq!(bits.peek() >> 32, 0x12ff_ffab);
    bits.skip(32);
    assert!(!bits.is_cut());
    bits.refill();
    bits.skip(1);
    assert!(bits.is_cut());
    bits.restart();
    bits.refill();
    assert!(!bits.is_cut() && bits.is_cut_within(9) && !bits.is_cut_within(8));
    assert_eq!((bits.peek() >> 56, bits.rest()), (0x55, &[0xff, 0xd9][..]));
    // There is no other restart before the end.
    bits.restart();
    assert_eq!(bits.rest(), [0xff, 0xd9]);
}

/// What every code of two bytes means in each of a file's tables.
fn meanings(metadata: &JpegMetadata) -> Vec<Option<Vec<Option<(u8, u8)>>>> {
    let tables = metadata.dc_huffman_tables.iter().chain(&metadata.ac_huffman_tables);
    let meaning = |table: &HuffmanTable| (0..=u16::MAX).map(|code| table.lookup(code).ok()).collect();
    tables.map(|table| table.as_deref().map(meaning)).collect()
}

#[test]
fn a_file_with_the_tables_of_annex_k_is_the_same_without_them() {
    let mut counts = [0; 2];
    for (name, bytes, metadata, units) in files() {
        let bare = annex_k::bare(&bytes);
        counts[usize::from(bare.is_some())] += 1;
        let Some(bare) = bare else { continue };
        let mut found = MarkerReader::new(&bare.bytes).read_markers().unwrap();
        assert!(found.ac_huffman_tables.iter().all(Option::is_none), "{name}");
        bare.give_back(&mut found);
        assert_eq!(meanings(&found), meanings(&metadata), "{name}");
        assert_eq!(compare(&name, &bare.bytes, &found, units), End::Whole, "{name}");
        let tables = found.dc_huffman_tables.iter().zip(&found.ac_huffman_tables);
        for (dc, ac) in tables.filter_map(|(dc, ac)| dc.as_deref().zip(ac.as_deref())) {
            assert!(annex_k::dc_codes(dc).is_some() && annex_k::ac_codes(ac).is_some(), "{name}");
        }
        // The first table's first symbol, behind a marker, a length, a class and sixteen counts.
        let tables = bytes.windows(2).position(|pair| pair == [0xff, 0xc4]).unwrap();
        for at in [tables + 4, tables + 5, tables + 21] {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x20;
            assert!(annex_k::bare(&damaged).is_none(), "{name}: byte {at}");
        }
    }
    assert!(counts.iter().all(|&count| count > 4), "{counts:?}");
}

#[test]
fn no_file_that_is_cut_before_its_pixels_is_taken_for_one_with_known_tables() {
    for (name, bytes, metadata, _) in files() {
        for end in 0..metadata.entropy_data_offset.min(2000) {
            assert!(annex_k::bare(&bytes[..end]).is_none(), "{name}: {end} bytes");
        }
    }
}
