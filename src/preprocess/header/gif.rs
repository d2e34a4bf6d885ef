//! GIF's blocks up to the first frame, taken apart as Pillow does.

use std::ops::Range;

use super::claim::{Claim, Storage};
use super::fields::{MOST_BYTES, array, u16_le};

/// The canvas that holds the first frame; the screen alone where that stands behind too much else.
pub(super) fn read(bytes: &[u8]) -> Option<Claim> {
    let (screen, mut blocks) = Blocks::new(&bytes[..bytes.len().min(MOST_BYTES)])?;
    let screen = (screen.width, screen.height);
    let image = blocks.find_map(|block| if let GifBlock::Image(image) = block { Some(image) } else { None });
    let (width, height) = image.as_ref().map_or(screen, |image| image.canvas(screen));
    let Some(image) = image else {
        return Some(Claim::rows(width, height, u64::from(width) * u64::from(height)));
    };
    let pixels = u64::from(image.width) * u64::from(image.height);
    // Codes have at most 12 bits, and one of so many bits stands for as many pixels as there are codes of them.
    let least_bytes = pixels / (4096 * 8 / 12);
    let held = pixels.min((bytes.len() as u64 + 1) * (4096 * 8 / 12 + 1));
    let storage = Storage {
        memory: CODES_BYTES + u64::from(image.width) + if image.interlaced { pixels } else { 0 },
        // Rows outside of the frame are all alike; those that it reaches are as wide as the canvas.
        work: u64::from(width) * held.div_ceil(u64::from(image.width).max(1)),
        least_bytes,
    };
    Some(Claim { width, height, storage })
}

/// The table of codes.
const CODES_BYTES: u64 = 64 << 10;

/// The screen that frames are put on.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Screen {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    palette: Option<Range<usize>>,
}

/// What a block says.
pub(in crate::preprocess) enum GifBlock {
    /// How the next frame is shown: the index that stands for nothing, if one does.
    Control {
        transparent: Option<u8>,
    },
    Image(GifImage),
    /// Comments, programs' own data, and bytes that are no block.
    Other,
}

/// A frame.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct GifImage {
    pub(in crate::preprocess) left: u32,
    pub(in crate::preprocess) top: u32,
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    pub(in crate::preprocess) interlaced: bool,
    palette: Option<Range<usize>>,
    /// Where its pixels start.
    pub(in crate::preprocess) data: usize,
}

impl Screen {
    pub(in crate::preprocess) fn palette<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        file.get(self.palette.clone()?)
    }
}

impl GifImage {
    pub(in crate::preprocess) fn palette<'a>(&self, file: &'a [u8]) -> Option<&'a [u8]> {
        file.get(self.palette.clone()?)
    }

    /// The canvas that holds screen and frame.
    pub(in crate::preprocess) fn canvas(&self, (width, height): (u32, u32)) -> (u32, u32) {
        (width.max(self.left + self.width), height.max(self.top + self.height))
    }
}

/// The blocks of a file.
pub(in crate::preprocess) struct Blocks<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Blocks<'a> {
    /// The screen, and the blocks behind it.
    pub(in crate::preprocess) fn new(file: &'a [u8]) -> Option<(Screen, Self)> {
        let flags = *file.get(10)?;
        let palette = palette(flags, 13);
        let at = palette.as_ref().map_or(13, |palette| palette.end);
        Some((Screen { width: u16_le(file, 6)?, height: u16_le(file, 8)?, palette }, Self { file, at }))
    }

    /// The content of the next part of a block; `None` at the block's end, or at the file's.
    fn part(&mut self) -> Option<&'a [u8]> {
        let length = usize::from(*self.file.get(self.at)?);
        let rest = &self.file[self.at + 1..];
        self.at = (self.at + 1 + length).min(self.file.len());
        (length > 0).then(|| rest.get(..length).unwrap_or(rest))
    }

    fn image(&mut self) -> Option<GifImage> {
        let fields: [u8; 9] = array(self.file, self.at)?;
        let number = |at: usize| u32::from(u16::from_le_bytes([fields[at], fields[at + 1]]));
        let palette = palette(fields[8], self.at + 9);
        Some(GifImage {
            left: number(0),
            top: number(2),
            width: number(4),
            height: number(6),
            interlaced: fields[8] & 0x40 > 0,
            data: palette.as_ref().map_or(self.at + 9, |palette| palette.end),
            palette,
        })
    }
}

impl Iterator for Blocks<'_> {
    type Item = GifBlock;

    fn next(&mut self) -> Option<GifBlock> {
        let kind = *self.file.get(self.at)?;
        self.at += 1;
        match kind {
            b';' => None,
            b',' => self.image().map(GifBlock::Image),
            b'!' => {
                let label = *self.file.get(self.at)?;
                self.at += 1;
                let first = self.part();
                let block = match (label, first) {
                    (0xf9, Some(&[flags, _, _, ref rest @ ..])) if flags & 1 == 0 || !rest.is_empty() => {
                        GifBlock::Control { transparent: rest.first().copied().filter(|_| flags & 1 > 0) }
                    }
                    (0xf9, Some(_)) => return None,
                    (0xff, Some(program)) if program.starts_with(b"NETSCAPE2.0") => {
                        // How often it is played; Pillow takes one part for it, and of what follows an empty one it looks for more.
                        let _ = self.part();
                        GifBlock::Other
                    }
                    _ => GifBlock::Other,
                };
                // An empty first part ends a comment; of anything else Pillow looks for more.
                if first.is_some() || label != 0xfe {
                    while self.part().is_some() {}
                }
                Some(block)
            }
            _ => Some(GifBlock::Other),
        }
    }
}

/// Where a palette is that `flags` announce.
fn palette(flags: u8, start: usize) -> Option<Range<usize>> {
    (flags & 0x80 > 0).then(|| start..start + (6 << (flags & 7)))
}
