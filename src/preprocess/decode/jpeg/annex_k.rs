//! The Huffman tables of the standard's Annex K, which most writers put into their files as they are. Making look-ups of
//! them takes longer than the pixels of a small picture, so they are made once a process, and a small file is read
//! without its tables.

use std::sync::{Arc, LazyLock};

use libjpeg_turbo_rs::common::huffman_table::{HuffmanTable, std_huffman_tables};
use libjpeg_turbo_rs::common::tables::{
    AC_CHROMINANCE_BITS, AC_CHROMINANCE_VALUES, AC_LUMINANCE_BITS, AC_LUMINANCE_VALUES, DC_CHROMINANCE_BITS,
    DC_CHROMINANCE_VALUES, DC_LUMINANCE_BITS, DC_LUMINANCE_VALUES,
};
use libjpeg_turbo_rs::decode::marker::JpegMetadata;

use super::codes::{AcCodes, DcCodes};

/// Of a larger file the pixels take so long that its tables do not matter, and a copy of it would.
const MOST_BYTES: usize = 64 << 10;

/// A table of Annex K by its place in [`std_huffman_tables`].
type Known = Option<usize>;

/// A file without its Huffman tables.
pub(super) struct Bare {
    pub(super) bytes: Vec<u8>,
    /// What its tables were, by destination.
    dc: [Known; 4],
    ac: [Known; 4],
}

impl Bare {
    /// Gives the file's tables back to what was read of it without them.
    pub(super) fn give_back(&self, metadata: &mut JpegMetadata) {
        let tables = std_huffman_tables();
        let destinations = metadata.dc_huffman_tables.iter_mut().chain(&mut metadata.ac_huffman_tables);
        for (destination, known) in destinations.zip(self.dc.iter().chain(&self.ac)) {
            *destination = known.map(|known| Arc::clone(&tables[known]));
        }
    }
}

/// A small file in one sequential scan without its Huffman tables, if all of them are Annex K's; `None` for every other
/// file, and where anything about it is out of the ordinary.
pub(super) fn bare(bytes: &[u8]) -> Option<Bare> {
    if bytes.len() > MOST_BYTES {
        return None;
    }
    let (mut dc, mut ac) = ([None; 4], [None; 4]);
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend([0xff, 0xd8]);
    let mut components = None;
    loop {
        let [0xff, marker, high, low, ..] = *rest else { return None };
        let (segment, next) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])) + 2)?;
        let content = segment.get(4..)?;
        match marker {
            0xc4 => {
                note_tables(content, &mut dc, &mut ac)?;
                rest = next;
                continue;
            }
            // Other kinds of frames read their tables otherwise.
            0xc0 | 0xc1 if components.is_none() => components = Some(*content.get(5)?),
            0xda if components? == *content.first()? => {
                kept.extend(rest);
                return Some(Bare { bytes: kept, dc, ac });
            }
            0xdb | 0xdd | 0xe0..=0xef | 0xfe => {}
            _ => return None,
        }
        kept.extend(segment);
        rest = next;
    }
}

/// Notes what a segment's tables are; `None` where one of them is not Annex K's.
fn note_tables(mut content: &[u8], dc: &mut [Known; 4], ac: &mut [Known; 4]) -> Option<()> {
    // In the crate's order: of averages, then of what follows them; bright, then coloured.
    let tables: [(&[u8; 17], &[u8]); 4] = [
        (&DC_LUMINANCE_BITS, &DC_LUMINANCE_VALUES),
        (&DC_CHROMINANCE_BITS, &DC_CHROMINANCE_VALUES),
        (&AC_LUMINANCE_BITS, &AC_LUMINANCE_VALUES),
        (&AC_CHROMINANCE_BITS, &AC_CHROMINANCE_VALUES),
    ];
    while let [class, table @ ..] = content {
        let (destinations, first) = match class >> 4 {
            0 => (&mut *dc, 0),
            1 => (&mut *ac, 2),
            _ => return None,
        };
        let destination = destinations.get_mut(usize::from(class & 15))?;
        let rest_behind =
            |&(counts, symbols): &(&[u8; 17], &[u8])| table.strip_prefix(&counts[1..])?.strip_prefix(symbols);
        let (known, rest) =
            (first..first + 2).find_map(|known| rest_behind(&tables[known]).map(|rest| (known, rest)))?;
        *destination = Some(known);
        content = rest;
    }
    Some(())
}

/// The look-ups of Annex K's tables, in the crate's order.
static LOOK_UPS: LazyLock<([DcCodes<'static>; 2], [AcCodes<'static>; 2])> = LazyLock::new(|| {
    let [dc_0, dc_1, ac_0, ac_1] = std_huffman_tables();
    let dc = [dc_0, dc_1].map(|table| DcCodes::new(table, usize::MAX));
    (dc, [ac_0, ac_1].map(|table| AcCodes::new(table, usize::MAX)))
});

/// The look-up of a table that [`Bare::give_back`] gave.
pub(super) fn dc_codes(table: &HuffmanTable) -> Option<&'static DcCodes<'static>> {
    LOOK_UPS.0.iter().find(|codes| std::ptr::eq(codes.table, table))
}

/// As [`dc_codes`].
pub(super) fn ac_codes(table: &HuffmanTable) -> Option<&'static AcCodes<'static>> {
    LOOK_UPS.1.iter().find(|codes| std::ptr::eq(codes.table, table))
}
