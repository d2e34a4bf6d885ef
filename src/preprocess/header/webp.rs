//! WebP's container: where the first picture is, and how large the canvas.

use std::ops::Range;

use super::claim::{Claim, Storage};
use super::fields::{array, u24_le};

pub(super) fn read(bytes: &[u8]) -> Option<Claim> {
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
    Some(Claim { width, height, storage })
}

/// What the decoder notes of a block.
const BLOCK_BYTES: u64 = 32;

/// What is known of a file before anything is decoded.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Container {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    /// The first picture; of an animation, its first frame.
    pub(in crate::preprocess) image: WebPImage,
    /// The EXIF block and the XMP packet, if the file announces them.
    pub(in crate::preprocess) exif: Option<Range<usize>>,
    pub(in crate::preprocess) xmp: Option<Range<usize>>,
}

/// A picture in it.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct WebPImage {
    pub(in crate::preprocess) left: u32,
    pub(in crate::preprocess) top: u32,
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    pub(in crate::preprocess) lossless: bool,
    pub(in crate::preprocess) data: Range<usize>,
}

/// A chunk: its name and where its content is.
type Chunk = ([u8; 4], Range<usize>);

/// More chunks than any writer makes beside frames, and more frames than anybody looks at.
const MOST_CHUNKS: usize = 4096;

/// Bits of VP8X.
const IS_ANIMATED: u8 = 1 << 1;
const HAS_XMP: u8 = 1 << 2;
const HAS_EXIF: u8 = 1 << 3;
const KNOWN_BITS: u8 = 0x3e;

impl Container {
    /// Reads it as libwebp does, which refuses a file that is not whole or not in order; `None` for such a one.
    pub(in crate::preprocess) fn read(bytes: &[u8]) -> Option<Self> {
        // What lies behind the announced end is none of the file.
        let end = usize::try_from(u32::from_le_bytes(array(bytes, 4)?)).ok()?.checked_add(8)?;
        let file = bytes.get(..end)?;
        let mut chunks = Chunks { file, at: 12, end };
        let (name, content) = chunks.next()?;
        if &name != b"VP8X" {
            let image = picture(file, (name, content))?;
            return Some(Self { width: image.width, height: image.height, image, exif: None, xmp: None });
        }
        let flags = *file.get(content.start).filter(|&flags| flags & !KNOWN_BITS == 0 && content.len() >= 10)?;
        let has = |flag: u8| flags & flag > 0;
        let canvas = (u24_le(file, content.start + 4)? + 1, u24_le(file, content.start + 7)? + 1);
        let (mut image, mut exif, mut xmp, mut has_header) = (None, None, None, false);
        for _ in 0..MOST_CHUNKS {
            if chunks.at == end {
                break;
            }
            let (name, content) = chunks.next()?;
            match &name {
                b"VP8X" => return None,
                b"ALPH" | b"VP8 " | b"VP8L" => {
                    if has(IS_ANIMATED) || has_header || image.is_some() {
                        return None;
                    }
                    chunks.at = content.start - 8;
                    let (found, behind) = still(file, chunks.at, end)?;
                    chunks.at = behind;
                    image = Some(found?);
                }
                b"ANIM" if !has_header => has_header = Some(content.len()).filter(|&length| length >= 5).is_some(),
                b"ANMF" => {
                    // A frame without a picture is none; what stands in it is passed over like any other chunk.
                    let (frame, behind) = animation_frame(file, content.clone(), end).filter(|_| has_header)?;
                    chunks.at = behind;
                    let Some(frame) = frame else { continue };
                    let WebPImage { left, top, width, height, .. } = frame;
                    if left + width > canvas.0 || top + height > canvas.1 {
                        return None;
                    }
                    image = image.or_else(|| has(IS_ANIMATED).then_some(frame));
                }
                b"EXIF" if has(HAS_EXIF) => exif = exif.or(Some(content)),
                b"XMP " if has(HAS_XMP) => xmp = xmp.or(Some(content)),
                _ => {}
            }
        }
        let image = image?;
        let is_whole = (image.left, image.top, image.width, image.height) == (0, 0, canvas.0, canvas.1);
        (is_whole || has(IS_ANIMATED)).then_some(Self { width: canvas.0, height: canvas.1, image, exif, xmp })
    }
}

/// The chunks of a file or of a frame. Ends at the first that does not fit.
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
        let end = start.checked_add(length)?;
        // Contents have even lengths.
        self.at = end.checked_add(length % 2).filter(|&next| next <= self.end)?;
        Some((name, start..end))
    }
}

/// The picture whose chunks start at `at`, perhaps with alpha before its colours, if there is one; and the end of these
/// chunks.
fn still(file: &[u8], at: usize, end: usize) -> Option<(Option<WebPImage>, usize)> {
    let mut chunks = Chunks { file, at, end };
    let (mut has_alpha, mut image) = (false, None);
    loop {
        let before = chunks.at;
        if before == end {
            return if has_alpha && image.is_none() { None } else { Some((image, before)) };
        }
        let (name, content) = chunks.next()?;
        match &name {
            b"ALPH" if !has_alpha && image.is_none() => has_alpha = true,
            b"VP8L" if has_alpha => return None,
            b"VP8 " | b"VP8L" if image.is_none() => image = Some(picture(file, (name, content))?),
            _ if has_alpha && image.is_none() => return None,
            _ => return Some((image, before)),
        }
    }
}

fn animation_frame(file: &[u8], content: Range<usize>, end: usize) -> Option<(Option<WebPImage>, usize)> {
    let fields = content.start;
    let (left, top) = (u24_le(file, fields)? * 2, u24_le(file, fields + 3)? * 2);
    // Its size stands here too, but the picture's own word counts.
    let (image, behind) = still(file, fields + 16, end)?;
    if behind > content.end + content.len() % 2 {
        return None;
    }
    Some((image.map(|image| WebPImage { left, top, ..image }), behind))
}

/// A chunk as a picture, with the size that its own header tells.
fn picture(file: &[u8], (name, data): Chunk) -> Option<WebPImage> {
    let content = file.get(data.clone())?;
    let (width, height, lossless) = match &name {
        b"VP8L" => {
            let fields = u32::from_le_bytes(array(content, 1)?);
            if content[0] != 0x2f || fields >> 29 != 0 {
                return None;
            }
            ((fields & 0x3fff) + 1, (fields >> 14 & 0x3fff) + 1, true)
        }
        b"VP8 " => {
            let [width, height] = [array(content, 6)?, array(content, 8)?].map(u16::from_le_bytes);
            let tag = u24_le(content, 0)?;
            // A frame of its own, of a known version, to be shown, whose first part is in the chunk.
            let is_whole = tag & 1 == 0 && tag >> 1 & 7 <= 3 && tag >> 4 & 1 == 1 && (tag >> 5) < content.len() as u32;
            if !is_whole || content.get(3..6)? != [0x9d, 0x01, 0x2a] {
                return None;
            }
            (u32::from(width) & 0x3fff, u32::from(height) & 0x3fff, false)
        }
        _ => return None,
    };
    (width > 0 && height > 0).then_some(WebPImage { left: 0, top: 0, width, height, lossless, data })
}
