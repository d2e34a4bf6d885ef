//! A JPEG's frame header, wherever between the other segments it stands, and the first scan's.

use super::claim::{Claim, Storage};
use super::fields::{MOST_BYTES, array};

/// More segments than any writer makes: a colour profile or an extended XMP of megabytes has about a hundred.
const MOST_SEGMENTS: usize = 2048;

/// A component holds so many blocks in each unit, across and down.
type Sampling = (u64, u64);

/// The frame header (SOF).
struct Frame {
    marker: u8,
    width: u64,
    height: u64,
    components: Vec<Sampling>,
}

pub(super) fn read(bytes: &[u8]) -> Option<Claim> {
    let (mut frame, mut first_scan, mut metadata) = (None, None, 0);
    for (marker, content) in (Segments { bytes, at: 2, stray: 0 }).take(MOST_SEGMENTS) {
        match marker {
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && frame.is_none() => {
                frame = Some(Frame::read(marker, content)?);
            }
            0xda => {
                first_scan = content.first().copied();
                break;
            }
            0xe0..=0xef | 0xfe => metadata += content.len() as u64,
            _ => {}
        }
    }
    let frame = frame?;
    // Where the first scan has every component, it is the only one; else metadata may stand between scans.
    let is_single = first_scan == u8::try_from(frame.components.len()).ok() && !frame.is_progressive();
    let metadata = if is_single { metadata } else { bytes.len() as u64 };
    let storage = frame.storage(is_single, metadata);
    Some(Claim { width: frame.width as u32, height: frame.height as u32, storage })
}

/// The EXIF block, put together of its segments, and the last XMP packet, of those before the first scan.
pub(in crate::preprocess) fn metadata(bytes: &[u8]) -> (Option<Vec<u8>>, Option<&[u8]>) {
    let (mut exif, mut xmp): (Option<Vec<u8>>, _) = (None, None);
    let segments = Segments { bytes, at: 2, stray: 0 }.take_while(|&(marker, _)| marker != 0xda);
    for content in segments.filter(|&(marker, _)| marker == 0xe1).map(|(_, content)| content) {
        if let Some(block) = content.strip_prefix(b"Exif\0\0") {
            exif.get_or_insert_default().extend(block);
        } else if let Some(packet) = content.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
            xmp = Some(packet);
        }
    }
    (exif, xmp)
}

/// Whether a segment before the first scan is one that Pillow or its libjpeg refuses: a quantization table that is cut off, a
/// Huffman table of averages that names more bits than a difference of two can have, a marker that is none.
pub(in crate::preprocess) fn has_impossible_segment(bytes: &[u8]) -> bool {
    for (marker, content) in (Segments { bytes, at: 2, stray: 0 }) {
        match marker {
            0xc4 if has_impossible_codes(content) => return true,
            0xdb if has_cut_quantization(content) => return true,
            // Three bytes for each component, and how many there are; five stand before.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) && !has_its_components(content) => return true,
            // Two bytes for each component, and how many there are; three bytes follow.
            0xda => return content.first().is_none_or(|&count| content.len() != usize::from(count) * 2 + 4),
            // Reserved, or of no form that libjpeg knows.
            0x01..=0xbf | 0xc8 | 0xde | 0xdf | 0xf0..=0xfd => return true,
            _ => {}
        }
    }
    false
}

fn has_its_components(frame: &[u8]) -> bool {
    frame.get(5).is_some_and(|&count| frame.len() == usize::from(count) * 3 + 6)
}

fn has_impossible_codes(mut tables: &[u8]) -> bool {
    while let [class, rest @ ..] = tables
        && let Some((counts, rest)) = rest.split_first_chunk::<16>()
    {
        let count: usize = counts.iter().copied().map(usize::from).sum();
        let (symbols, next) = rest.split_at(count.min(rest.len()));
        if class >> 4 == 0 && symbols.iter().any(|&bits| bits > 15) {
            return true;
        }
        tables = next;
    }
    false
}

fn has_cut_quantization(mut tables: &[u8]) -> bool {
    while let [precision, rest @ ..] = tables {
        let Some(next) = rest.get(if precision >> 4 == 0 { 64 } else { 128 }..) else { return true };
        tables = next;
    }
    false
}

/// The segments up to the end of the headers: their markers and contents.
struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Bytes between segments that were passed over.
    stray: usize,
}

impl<'a> Iterator for Segments<'a> {
    type Item = (u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            // Between segments any number of stray bytes and of fill bytes (0xFF) may stand.
            let rest = self.bytes.get(self.at..)?;
            let rest = &rest[..rest.len().min(MOST_BYTES - self.stray)];
            let fill = rest.iter().position(|&byte| byte == 0xff)?;
            let skipped = fill + rest[fill..].iter().position(|&byte| byte != 0xff)?;
            self.stray += skipped;
            self.at += skipped + 1;
            match rest[skipped] {
                0x00 | 0xd0..=0xd8 => continue,
                0xd9 => return None,
                // It has no content.
                0x01 => return Some((1, &[])),
                marker => {
                    let length = usize::from(u16::from_be_bytes(array(self.bytes, self.at)?));
                    let content = self.bytes.get(self.at + 2..).unwrap_or_default();
                    let content = content.get(..length.saturating_sub(2)).unwrap_or(content);
                    self.at += length.max(2);
                    return Some((marker, content));
                }
            }
        }
    }
}

impl Frame {
    fn read(marker: u8, content: &[u8]) -> Option<Self> {
        let [height, width] = [array(content, 1)?, array(content, 3)?].map(|side| u64::from(u16::from_be_bytes(side)));
        let count = usize::from(*content.get(5)?);
        let fields = content.get(6..)?.as_chunks::<3>().0.iter().take(count.min(4));
        let sampling = |&[_, sampling, _]: &[u8; 3]| (u64::from(sampling >> 4).max(1), u64::from(sampling & 15).max(1));
        // Where there is one component alone, its sampling means nothing.
        let components = if count == 1 { vec![(1, 1)] } else { fields.map(sampling).collect() };
        Some(Self { marker, width, height, components })
    }

    fn is_progressive(&self) -> bool {
        matches!(self.marker, 0xc2 | 0xca)
    }

    /// What its decoder needs.
    ///
    /// * `is_single`: whether there is one scan with all components
    /// * `metadata`: bytes of it
    fn storage(&self, is_single: bool, metadata: u64) -> Storage {
        let Self { marker, width, height, ref components } = *self;
        let across = components.iter().map(|&(h, _)| h).max().unwrap_or(1);
        let down = components.iter().map(|&(_, v)| v).max().unwrap_or(1);
        let units = (width.div_ceil(across * 8), height.div_ceil(down * 8));
        let blocks: u64 = components.iter().map(|&(h, v)| h * v * units.0 * units.1).sum();
        // Two rows of units, a row of pixels of each component and the sums that it is made of.
        let strips: u64 = components.iter().map(|&(h, v)| units.0 * h * 8 * v * 8 * 2).sum();
        let rows = (width + 16) * (components.len() as u64 + 2) * 2;
        // It is read, and some of it put together from parts.
        let metadata = metadata * 4;
        let pixels = width * height;
        let (whole, least_bits) = match marker {
            // Each block takes two codes, of a bit at least.
            0xc0 | 0xc1 if is_single => (CODES_BYTES, blocks * 2),
            // Coefficients of 2 bytes, a note a block, and the tables of every scan.
            0xc0..=0xc2 => (blocks * 129 + TABLES_BYTES, 0),
            // Planes of samples, and where they come bit by bit, coefficients.
            0xc9 => (blocks * 64, 0),
            0xca => (blocks * (64 + 129) + TABLES_BYTES, 0),
            // Lossless and whatever else: planes of wide samples, and the picture put together of them.
            _ => (blocks * 64 * 3 + pixels * 8, 0),
        };
        Storage { memory: strips + rows + metadata + whole, work: pixels, least_bytes: least_bits / 8 }
    }
}

/// Look-ups for the codes of one scan: for four components, each of 12 KB and 8 more where blocks are passed over, and a
/// unit's coefficients.
const CODES_BYTES: u64 = (4 * 20 + 8) << 10;

/// Eight Huffman tables for each of a hundred scans.
const TABLES_BYTES: u64 = (8 * 100 * 6) << 10;
