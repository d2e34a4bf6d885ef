//! WebP's container: where the first picture is, and how large the canvas.

use std::ops::Range;

use super::{Found, Storage, array, u24_le};

pub(super) fn read(bytes: &[u8]) -> Option<Found> {
    let Container { width, height, image, .. } = Container::read(bytes)?;
    let pixels = u64::from(image.width) * u64::from(image.height);
    let chunk = image.data.len() as u64;
    let memory = if image.lossless {
        // Four bytes a pixel, another for the smaller pictures that say how to read it, and a copy of the chunk.
        pixels * 5 + chunk * 2
    } else {
        // Planes of 12 bits a pixel, filled up to blocks of 16x16, a note of each block, and copies of the chunk.
        let blocks = u64::from(image.width.div_ceil(16)) * u64::from(image.height.div_ceil(16));
        blocks * (384 + 3 * BLOCK_BYTES) + chunk * 4
    };
    let storage = Storage { memory: memory + u64::from(width) * 64, work: pixels, least_bytes: 0 };
    Some(Found { width, height, storage })
}

/// What the decoder notes of a block.
const BLOCK_BYTES: u64 = 32;

/// What is known of a file before anything is decoded.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Container {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    /// The first picture; of an animation, its first frame.
    pub(in crate::preprocess) image: Image,
    /// The EXIF block, if the file announces one.
    pub(in crate::preprocess) exif: Option<Range<usize>>,
}

/// A picture in it.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Image {
    pub(in crate::preprocess) left: u32,
    pub(in crate::preprocess) top: u32,
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    pub(in crate::preprocess) lossless: bool,
    pub(in crate::preprocess) data: Range<usize>,
}

/// A chunk: its name and where its content is.
type Chunk = ([u8; 4], Range<usize>);

/// More chunks than any writer puts before the picture.
const MOST_CHUNKS: usize = 1024;

/// Bits of VP8X.
const HAS_EXIF: u8 = 1 << 3;
const IS_ANIMATED: u8 = 1 << 1;

impl Container {
    /// Reads it; `None` where there is no picture, or the file ends before it is told where.
    pub(in crate::preprocess) fn read(bytes: &[u8]) -> Option<Self> {
        // What lies behind the announced end is none of the file.
        let end = usize::try_from(u32::from_le_bytes(array(bytes, 4)?)).ok()?.checked_add(8)?;
        let file = bytes.get(..end).unwrap_or(bytes);
        let mut chunks = Chunks { file, at: 12, end: file.len() }.take(MOST_CHUNKS);
        let (name, content) = chunks.next()?;
        if &name != b"VP8X" {
            let image = picture(file, (name, content))?;
            return Some(Self { width: image.width, height: image.height, image, exif: None });
        }
        let flags = *file.get(content.start)?;
        let (width, height) = (u24_le(file, content.start + 4)? + 1, u24_le(file, content.start + 7)? + 1);
        let (mut image, mut exif) = (None, None);
        for (name, content) in chunks {
            match &name {
                b"ANMF" if flags & IS_ANIMATED > 0 => image = image.or_else(|| animation_frame(file, content)),
                b"VP8 " | b"VP8L" if flags & IS_ANIMATED == 0 => {
                    image = image.or_else(|| picture(file, (name, content)));
                }
                b"EXIF" if flags & HAS_EXIF > 0 => exif = exif.or(Some(content)),
                _ => {}
            }
            if image.is_some() && (exif.is_some() || flags & HAS_EXIF == 0) {
                break;
            }
        }
        Some(Self { width, height, image: image?, exif })
    }
}

/// The chunks of a file or of a frame.
struct Chunks<'a> {
    file: &'a [u8],
    at: usize,
    end: usize,
}

impl Iterator for Chunks<'_> {
    type Item = Chunk;

    fn next(&mut self) -> Option<Chunk> {
        let name = array(self.file, self.at)?;
        let length = usize::try_from(u32::from_le_bytes(array(self.file, self.at + 4)?)).ok()?;
        let start = self.at + 8;
        let end = start.checked_add(length).filter(|&end| end <= self.end)?;
        // Contents have even lengths.
        self.at = end + length % 2;
        Some((name, start..end))
    }
}

fn animation_frame(file: &[u8], content: Range<usize>) -> Option<Image> {
    let fields = content.start;
    let (left, top) = (u24_le(file, fields)? * 2, u24_le(file, fields + 3)? * 2);
    let mut chunks = Chunks { file, at: fields + 16, end: content.end }.take(MOST_CHUNKS);
    let image = chunks.find_map(|chunk| picture(file, chunk))?;
    let size = (u24_le(file, fields + 6)? + 1, u24_le(file, fields + 9)? + 1);
    (size == (image.width, image.height)).then_some(Image { left, top, ..image })
}

/// A chunk as a picture, with the size that its own header tells.
fn picture(file: &[u8], (name, data): Chunk) -> Option<Image> {
    let (width, height, lossless) = match &name {
        b"VP8L" => {
            let fields = u32::from_le_bytes(array(file, data.start + 1)?);
            ((fields & 0x3fff) + 1, (fields >> 14 & 0x3fff) + 1, true)
        }
        b"VP8 " => {
            let [width, height] = [array(file, data.start + 6)?, array(file, data.start + 8)?].map(u16::from_le_bytes);
            (u32::from(width) & 0x3fff, u32::from(height) & 0x3fff, false)
        }
        _ => return None,
    };
    Some(Image { left: 0, top: 0, width, height, lossless, data })
}
