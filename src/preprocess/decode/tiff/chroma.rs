//! YCbCr that is packed otherwise than by JPEG, as libtiff makes RGB of it: blocks of light that share two colour differences.
//!
//! Pillow leaves these to libtiff, which counts with tables of whole numbers made from factors of single precision; the
//! order of the operations is part of the result. Where libtiff's sums of bytes are odd, so are ours: rows of 4x4 blocks
//! that are an odd number lose their last bytes, and a predictor that does not fit the blocks is not undone.

use super::error::UnpackError;
use super::unpack::ChunkUnpacker;
use crate::preprocess::directory::{Directory, tag};
use crate::preprocess::header::tiff::Page;
use crate::preprocess::rows::RowSink;

/// Colour differences are scaled by this many binary places.
const PLACES: u32 = 16;
/// The most bytes of a chunk, of which each pixel has four.
const MOST_BYTES: u64 = i32::MAX as u64;
const HALF: i32 = 1 << (PLACES - 1);

/// How blocks lie, and what their samples are.
pub(super) struct Chroma {
    /// Pixels of a block, across and down.
    block: (usize, usize),
    light: [i32; 256],
    red: [i32; 256],
    /// What each difference takes from green, not yet rounded.
    green: [[i32; 256]; 2],
    blue: [i32; 256],
}

impl Chroma {
    /// Reads how a page has it; `None` where libtiff does not take it.
    pub(super) fn of(page: &Page, directory: &Directory<'_>) -> Option<Self> {
        let block = sampling(directory).unwrap_or((2, 2));
        let is_read = match page.is_planar {
            true => block == (1, 1) && directory.entry(tag::EXTRA_SAMPLES).is_none(),
            false => matches!(block, (1, 1 | 2) | (2, 1 | 2) | (4, 1 | 2 | 4)),
        };
        if !is_read || !page.is_planar && (u64::from(page.width) < block.0 || u64::from(page.height) < block.1) {
            return None;
        }
        // Pillow has a chunk in memory, of as many rows as the file says even where the picture has fewer.
        let rows = directory.unsigned(if page.is_tiled() { tag::TILE_HEIGHT } else { tag::ROWS_PER_STRIP });
        let rows = rows.filter(|&rows| rows != u64::from(u32::MAX)).unwrap_or(u64::from(page.height));
        if rows > MOST_BYTES / (u64::from(page.width).max(1) * 4) {
            return None;
        }
        let luma = numbers(directory, tag::YCBCR_COEFFICIENTS).unwrap_or([0.299, 0.587, 0.114]);
        let ends = numbers(directory, tag::REFERENCE_BLACK_WHITE).unwrap_or([0.0, 255.0, 128.0, 255.0, 128.0, 255.0]);
        let is_end = |&end: &f32| end > (-0x7fff_ffff + 128) as f32 && end < 0x7fff_ffff as f32;
        if luma.iter().any(|factor| factor.is_nan()) || luma[1] == 0.0 || !ends.iter().all(is_end) {
            return None;
        }
        Some(Self::new((block.0 as usize, block.1 as usize), luma, ends))
    }

    fn new(block: (usize, usize), [red, green, blue]: [f32; 3], ends: [f32; 6]) -> Self {
        // Written so that no number becomes 0.
        let whole = |factor: f32| {
            let factor = if factor >= 0.0 { factor.min(2.0) } else { 0.0 };
            (f64::from(factor) * f64::from(1 << PLACES) + 0.5) as i32
        };
        let (of_red, of_blue) = (2.0 - 2.0 * red, 2.0 - 2.0 * blue);
        let (to_red, to_blue) = (whole(of_red), whole(of_blue));
        let (red_to_green, blue_to_green) = (-whole(red * of_red / green), -whole(blue * of_blue / green));
        // A sample as it lies between what is black and what is white.
        let value = |sample: i32, black: f32, white: f32, range: f32| {
            let span = if (white - black).abs() > 0.0 { white - black } else { 1.0 };
            (((sample - black as i32) as f32 * range) / span).clamp(-4096.0, 4096.0) as i32
        };
        let difference =
            |sample: usize, black: f32, white: f32| value(sample as i32 - 128, black - 128.0, white - 128.0, 127.0);
        let blues: [i32; 256] = std::array::from_fn(|sample| difference(sample, ends[2], ends[3]));
        let reds: [i32; 256] = std::array::from_fn(|sample| difference(sample, ends[4], ends[5]));
        Self {
            block,
            light: std::array::from_fn(|sample| value(sample as i32, ends[0], ends[1], 255.0)),
            red: reds.map(|red| (to_red * red + HALF) >> PLACES),
            green: [blues.map(|blue| blue_to_green * blue + HALF), reds.map(|red| red_to_green * red)],
            blue: blues.map(|blue| (to_blue * blue + HALF) >> PLACES),
        }
    }

    pub(super) fn rgb(&self, [light, blue, red]: [u8; 3]) -> [u8; 3] {
        let [light, blue, red] = [light, blue, red].map(usize::from);
        let green = (self.green[0][blue] + self.green[1][red]) >> PLACES;
        [self.red[red], green, self.blue[blue]].map(|part| (self.light[light] + part).clamp(0, 255) as u8)
    }

    /// Reads the first `rows` rows of a chunk, of which `width` columns are part of the picture.
    pub(super) fn read(
        &self,
        page: &Page,
        unpacker: ChunkUnpacker<'_>,
        (width, rows): (usize, usize),
        sink: &mut dyn RowSink,
    ) -> Result<(), UnpackError> {
        let (across, down) = self.block;
        let block_bytes = across * down + 2;
        let chunk_width = page.chunks.width as usize;
        let all = chunk_width.div_ceil(across) * block_bytes;
        // The length of a row as libtiff has it, which is no row of anything, and the bytes that it reads of a chunk.
        let (row_bytes, total) = match page.is_tiled() {
            true => (chunk_width * 3, all * (page.chunks.height as usize).div_ceil(down)),
            false => (all / down, all / down * rows.next_multiple_of(down)),
        };
        let mut bytes = ChunkBytes::new(unpacker, row_bytes, total);
        // Where a tile's width is no multiple of a block's, the blocks beyond the picture are counted otherwise.
        let mut blocks = vec![0; (width.div_ceil(across) + (chunk_width - width) / across) * block_bytes];
        for top in (0..rows).step_by(down) {
            bytes.fill(&mut blocks)?;
            for line in 0..down.min(rows - top) {
                sink.row(&mut |rgb| {
                    for (block, rgb) in blocks.chunks_exact(block_bytes).zip(rgb.chunks_mut(across * 3)) {
                        let (lights, differences) = block.split_at(across * down);
                        for (light, rgb) in lights[line * across..].iter().zip(rgb.as_chunks_mut::<3>().0) {
                            *rgb = self.rgb([*light, differences[0], differences[1]]);
                        }
                    }
                });
            }
        }
        bytes.finish()
    }
}

/// How many pixels across and down share a pair of colour differences, if the file says so.
pub(super) fn sampling(directory: &Directory<'_>) -> Option<(u64, u64)> {
    let entry = directory.entry(tag::YCBCR_SUBSAMPLING).filter(|entry| entry.count == 2)?;
    // What is no number is no sampling either.
    let side = |index| directory.value(&entry, index).unwrap_or(0);
    // Of larger numbers than fit, libtiff takes none.
    Some((side(0), side(1))).filter(|sides| sides.0.max(sides.1) <= u16::MAX.into())
}

/// The values of a tag that has `N` numbers of any kind.
fn numbers<const N: usize>(directory: &Directory<'_>, tag: u16) -> Option<[f32; N]> {
    let entry = directory.entry(tag).filter(|entry| entry.count == N)?;
    let mut numbers = [0.0; N];
    for (index, number) in numbers.iter_mut().enumerate() {
        *number = directory.float(&entry, index)?;
    }
    Some(numbers)
}

/// The bytes of a chunk one after the other, unpacked in the rows that a predictor counts in; behind the last come zeros.
struct ChunkBytes<'a> {
    unpacker: ChunkUnpacker<'a>,
    row: Vec<u8>,
    /// How much of the row has been given out.
    at: usize,
    /// How many bytes have still to be unpacked.
    left: usize,
}

impl<'a> ChunkBytes<'a> {
    fn new(mut unpacker: ChunkUnpacker<'a>, row_bytes: usize, total: usize) -> Self {
        if !row_bytes.is_multiple_of(3) || !total.is_multiple_of(row_bytes) {
            unpacker.forget_predictor();
        }
        Self { unpacker, row: vec![0; row_bytes], at: row_bytes, left: total }
    }

    fn unpack(&mut self) -> Result<(), UnpackError> {
        self.row.truncate(self.left);
        self.unpacker.row(&mut self.row)?;
        (self.left, self.at) = (self.left - self.row.len(), 0);
        Ok(())
    }

    /// Unpacks what nobody looks at: libtiff shows other pixels where something is wrong there.
    fn finish(mut self) -> Result<(), UnpackError> {
        while self.left > 0 {
            self.unpack()?;
        }
        self.unpacker.finish()
    }

    fn fill(&mut self, mut bytes: &mut [u8]) -> Result<(), UnpackError> {
        while !bytes.is_empty() {
            if self.at == self.row.len() {
                if self.left == 0 {
                    bytes.fill(0);
                    break;
                }
                self.unpack()?;
            }
            let count = bytes.len().min(self.row.len() - self.at);
            let (filled, rest) = bytes.split_at_mut(count);
            filled.copy_from_slice(&self.row[self.at..self.at + count]);
            (bytes, self.at) = (rest, self.at + count);
        }
        Ok(())
    }
}
