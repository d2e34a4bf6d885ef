//! What the first page of a TIFF says of itself, read as Pillow reads it.

use super::claim::{Claim, Storage};
use crate::preprocess::directory::{Directory, TagEntry, tag};

pub(super) fn read(bytes: &[u8]) -> Option<Claim> {
    let page = Page::read(&Directory::first(bytes)?)?;
    let Page { width, height, ref chunks, .. } = page;
    let rows = u64::from(chunks.height.min(height));
    // Some rows of every plane, raw and converted.
    let row = (page.chunk_row_bytes() as u64).saturating_mul(page.bits.len() as u64 + 4) + u64::from(chunks.width) * 4;
    let table = if page.photometric == LAB { LAB_BYTES } else { 0 };
    // A row of tiles is put together before it is handed on.
    let band = if chunks.width == width { 0 } else { u64::from(width).saturating_mul(rows * 3) };
    let packed = match page.compression {
        UNCOMPRESSED => 0,
        // A chunk that is a progressive JPEG holds the coefficients of all of its samples.
        JPEG => {
            let blocks = u64::from(chunks.width.div_ceil(32) * 4) * rows.div_ceil(32) * 4;
            blocks
                .saturating_mul(page.bits.len() as u64 * 129)
                .saturating_add(u64::from(chunks.width) * 1024 + JPEG_BYTES)
        }
        // A window, which may be as large as what is unpacked.
        50000 => rows.saturating_mul(page.chunk_row_bytes() as u64).min(ZSTD_BYTES) + 2 * UNPACKER_BYTES,
        _ => UNPACKER_BYTES * page.planes() as u64,
    };
    // Mirrored bits are turned in a copy; a JPEG is put together with its tables, and its metadata is read.
    let copies = match page.compression {
        JPEG => bytes.len() as u64 * 5,
        _ if page.is_mirrored => bytes.len() as u64 * page.planes() as u64,
        _ => 0,
    };
    let memory = row.saturating_add(table).saturating_add(band).saturating_add(packed).saturating_add(copies);
    // Tiles are unpacked to their ends, which may lie beyond the picture's.
    let (across, down) = page.chunks_in_plane();
    let [stored, above] =
        [(across, chunks.width), (down, chunks.height)].map(|(count, side)| count as u64 * u64::from(side));
    let work = stored.saturating_mul(if page.is_tiled() { above } else { height.into() });
    Some(Claim { width, height, storage: Storage { memory, work, least_bytes: 0 } })
}

const JPEG_BYTES: u64 = 5 << 20;
/// The meaning of samples that are CIE Lab, and the table that they are looked up in.
const LAB: u64 = 8;
const LAB_BYTES: u64 = 256 << 10;
/// The largest window that Zstandard takes.
const ZSTD_BYTES: u64 = 128 << 20;
const UNPACKER_BYTES: u64 = 256 << 10;

/// The compression of pixels that are not compressed.
pub(in crate::preprocess) const UNCOMPRESSED: u64 = 1;
/// The compression of chunks that are JPEG files.
pub(in crate::preprocess) const JPEG: u64 = 7;

/// The most samples a pixel has in any layout that is read.
const MOST_SAMPLES: usize = 6;

/// The most bits a sample has in any layout that is read.
const MOST_BITS: u64 = 64;

/// A tile may be wider and higher than the picture, by so much at most: a row of it is held, and all of it is unpacked.
const MOST_BEYOND: u32 = 1 << 12;

/// What libtiff does without where it is missing, but not where it is cut off.
const NEEDED: [u16; 13] = [
    tag::WIDTH,
    tag::HEIGHT,
    tag::BITS,
    tag::COMPRESSION,
    tag::STRIP_OFFSETS,
    tag::SAMPLES,
    tag::ROWS_PER_STRIP,
    tag::STRIP_BYTES,
    tag::PLANAR,
    tag::TILE_OFFSETS,
    tag::TILE_BYTES,
    tag::EXTRA_SAMPLES,
    tag::SAMPLE_FORMAT,
];

/// What Pillow calculates with.
const NUMBERS: [u16; 8] = [
    tag::BITS,
    tag::COMPRESSION,
    tag::PHOTOMETRIC,
    tag::SAMPLES,
    tag::ROWS_PER_STRIP,
    tag::PLANAR,
    tag::COLOR_MAP,
    tag::EXTRA_SAMPLES,
];

/// What has one value.
const SINGLE: [u16; 4] = [tag::COMPRESSION, tag::SAMPLES, tag::ROWS_PER_STRIP, tag::PLANAR];

#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Page {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    pub(in crate::preprocess) compression: u64,
    pub(in crate::preprocess) photometric: u64,
    /// Whether the samples of a pixel lie apart, each kind in its own plane.
    pub(in crate::preprocess) is_planar: bool,
    /// Whether the first pixel of a byte is in its lowest bits.
    pub(in crate::preprocess) is_mirrored: bool,
    /// 1: unsigned, 2: signed, 3: floating point.
    pub(in crate::preprocess) sample_format: u64,
    /// Bits of each of a pixel's samples.
    pub(in crate::preprocess) bits: Vec<u64>,
    /// What the samples beyond the colour are: 0 nothing, 1 alpha that the colour was multiplied by, 2 alpha.
    pub(in crate::preprocess) extra: Vec<u64>,
    pub(in crate::preprocess) predictor: u64,
    pub(in crate::preprocess) fax_options: u64,
    pub(in crate::preprocess) chunks: Chunks,
}

/// The pieces that pixels are stored in, and where they are.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Chunks {
    is_tiled: bool,
    /// Whether each is exactly as large as the picture.
    is_all: bool,
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    pub(in crate::preprocess) offsets: TagEntry,
    pub(in crate::preprocess) sizes: Option<TagEntry>,
}

impl Page {
    /// Reads it; `None` where it lacks something, or contradicts itself.
    pub(in crate::preprocess) fn read(directory: &Directory<'_>) -> Option<Self> {
        let number = |tag| directory.unsigned(tag);
        let numbers = |tag| -> Option<Vec<u64>> {
            let entry = directory.entry(tag)?;
            (0..entry.count.min(64)).map(|index| directory.value(&entry, index)).collect()
        };
        let side = |tag| number(tag).and_then(|side| u32::try_from(side).ok());
        let (width, height) = (side(tag::WIDTH)?, side(tag::HEIGHT)?);
        let formats = numbers(tag::SAMPLE_FORMAT).unwrap_or(vec![1]);
        let sample_format = formats[0];
        if formats.iter().any(|&format| format != sample_format) {
            return None;
        }
        let mut bits = numbers(tag::BITS).unwrap_or(vec![1]);
        if bits.iter().any(|&bits| bits > MOST_BITS) {
            return None;
        }
        let mut extra = numbers(tag::EXTRA_SAMPLES).unwrap_or_default();
        let mut samples = usize::try_from(number(tag::SAMPLES).unwrap_or(1)).ok()?;
        let planar = number(tag::PLANAR).unwrap_or(1);
        let is_planar = planar == 2;
        if is_planar && !extra.is_empty() && extra.iter().all(|&kind| kind == 0) {
            // Planes that mean nothing are left out.
            samples = samples.checked_sub(extra.len())?;
            bits.truncate(bits.len().saturating_sub(extra.len()));
            extra.clear();
        }
        if !(1..=MOST_SAMPLES).contains(&samples) {
            return None;
        }
        match bits.len() {
            // One number stands for all.
            1 => bits = vec![bits[0]; samples],
            count if count > samples => bits.truncate(samples),
            count if count < samples => return None,
            _ => {}
        }
        let compression = number(tag::COMPRESSION).unwrap_or(UNCOMPRESSED);
        let is_packed = compression != UNCOMPRESSED;
        // To libtiff, which reads what is packed, tiles are what has a tile's size, whatever their places are called.
        let has_tiles = [tag::TILE_WIDTH, tag::TILE_HEIGHT].into_iter().any(|tag| directory.entry(tag).is_some());
        let either = |tile, strip| directory.entry(tile).or_else(|| directory.entry(strip).filter(|_| is_packed));
        let strips = directory.entry(tag::STRIP_OFFSETS).filter(|_| !(is_packed && has_tiles));
        let chunks = match strips {
            Some(offsets) => Chunks {
                is_tiled: false,
                is_all: side(tag::ROWS_PER_STRIP).is_none_or(|rows| rows == height),
                width,
                height: Some(side(tag::ROWS_PER_STRIP).unwrap_or(u32::MAX))
                    .filter(|&rows| rows > 0)?
                    .min(height.max(1)),
                offsets,
                sizes: directory.entry(tag::STRIP_BYTES),
            },
            None => Chunks {
                is_tiled: true,
                is_all: (side(tag::TILE_WIDTH), side(tag::TILE_HEIGHT)) == (Some(width), Some(height)),
                width: side(tag::TILE_WIDTH).filter(|&side| side > 0)?,
                height: side(tag::TILE_HEIGHT).filter(|&side| side > 0)?,
                offsets: either(tag::TILE_OFFSETS, tag::STRIP_OFFSETS)?,
                sizes: either(tag::TILE_BYTES, tag::STRIP_BYTES),
            },
        };
        // What is there must be a number.
        let is_number = |tag| directory.entry(tag).is_none_or(|entry| directory.value(&entry, 0).is_some());
        if !NUMBERS.into_iter().all(is_number) {
            return None;
        }
        let is_single = |tag| directory.entry(tag).is_none_or(|entry| entry.count == 1);
        let [beyond, below] = [chunks.width.saturating_sub(width), chunks.height.saturating_sub(height)];
        if beyond.max(below) > MOST_BEYOND
            || is_packed
                && !(directory.is_whole(&NEEDED) && SINGLE.into_iter().all(is_single) && matches!(planar, 1 | 2))
        {
            return None;
        }
        let page = Self {
            width,
            height,
            compression,
            // Of several Pillow takes none.
            photometric: number(tag::PHOTOMETRIC).filter(|_| is_single(tag::PHOTOMETRIC)).unwrap_or(0),
            is_planar,
            // Stored as a byte or a letter, 1 is not 1 to Pillow.
            is_mirrored: match directory.entry(tag::FILL_ORDER).map(|entry| directory.integer(&entry)) {
                None | Some(Some(1)) => false,
                Some(Some(2)) => !is_packed || is_single(tag::FILL_ORDER),
                Some(_) => return None,
            },
            sample_format,
            bits,
            extra,
            // Of several libtiff takes none either.
            predictor: number(tag::PREDICTOR).filter(|_| is_single(tag::PREDICTOR)).unwrap_or(1),
            fax_options: number(tag::FAX_OPTIONS).filter(|_| is_single(tag::FAX_OPTIONS)).unwrap_or(0),
            chunks,
        };
        // libtiff guesses the length of a single piece, not of several.
        let is_guessed = is_packed && page.chunks.sizes.is_none();
        (!is_guessed || page.chunks_in_plane() == (1, 1)).then_some(page)
    }

    /// Whether chunks have one size, whatever the picture's is.
    pub(in crate::preprocess) fn is_tiled(&self) -> bool {
        self.chunks.is_tiled
    }

    /// How many planes the samples lie in.
    pub(in crate::preprocess) fn planes(&self) -> usize {
        if self.is_planar { self.bits.len() } else { 1 }
    }

    /// The bits of a pixel in each plane.
    pub(in crate::preprocess) fn bits_per_pixel(&self) -> usize {
        let bits = |bits: &u64| usize::try_from(*bits).unwrap_or(0);
        if self.is_planar { self.bits.first().map_or(0, bits) } else { self.bits.iter().map(bits).sum() }
    }

    /// The bytes of a row of a chunk, in each plane.
    pub(in crate::preprocess) fn chunk_row_bytes(&self) -> usize {
        (self.chunks.width as usize).saturating_mul(self.bits_per_pixel()).div_ceil(8)
    }

    /// The compressed content of a chunk: in plane `plane`, at column and row `at`, counted in chunks.
    pub(in crate::preprocess) fn chunk<'a>(
        &self,
        directory: &Directory<'_>,
        file: &'a [u8],
        plane: usize,
        at: (usize, usize),
    ) -> Option<&'a [u8]> {
        let (across, down) = self.chunks_in_plane();
        let mut index = (plane * down + at.1).checked_mul(across)?.checked_add(at.0)?;
        if self.compression == UNCOMPRESSED && !self.is_planar && index < self.chunks.offsets.count {
            // Of more pieces than places Pillow shows the one that lies last in the file, and where each is all of the picture the
            // last one of the list.
            let key =
                |&place: &usize| if self.chunks.is_all { None } else { directory.value(&self.chunks.offsets, place) };
            index = (index..self.chunks.offsets.count).step_by((across * down).max(1)).max_by_key(key)?;
        }
        let offset = usize::try_from(directory.value(&self.chunks.offsets, index)?).ok()?;
        let rest = file.get(offset..)?;
        // Where sizes are missing the file's end is the only one, and of plain pixels it is known how many are needed.
        let sizes = self.chunks.sizes.as_ref().filter(|_| self.compression != UNCOMPRESSED);
        let size = sizes.and_then(|sizes| directory.value(sizes, index));
        let size = size.map(|size| usize::try_from(size).unwrap_or(usize::MAX));
        match size {
            // A single strip without a length goes to the file's end.
            None => Some(rest),
            Some(0) => (self.planes() * across * down == 1 && !self.is_tiled()).then_some(rest),
            Some(size) => rest.get(..size),
        }
    }

    /// How many chunks lie beside each other, and how many above.
    pub(in crate::preprocess) fn chunks_in_plane(&self) -> (usize, usize) {
        // A strip is as wide as the picture, which may claim to have no width.
        let [across, down] = [(self.width, self.chunks.width), (self.height, self.chunks.height)];
        (across.0.div_ceil(across.1.max(1)) as usize, down.0.div_ceil(down.1.max(1)) as usize)
    }
}
