//! GIF's blocks up to the first frame, taken apart as Pillow does.

use std::ops::Range;

use super::{array, u16_le};

/// The screen that frames are put on.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Screen {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    palette: Option<Range<usize>>,
}

/// What a block says.
pub(in crate::preprocess) enum Block {
    /// How the next frame is shown: the index that stands for nothing, if one does.
    Control {
        transparent: Option<u8>,
    },
    Image(Image),
    /// Comments, programs' own data, and bytes that are no block.
    Other,
}

/// A frame.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Image {
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

impl Image {
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

    fn image(&mut self) -> Option<Image> {
        let fields: [u8; 9] = array(self.file, self.at)?;
        let number = |at: usize| u32::from(u16::from_le_bytes([fields[at], fields[at + 1]]));
        let palette = palette(fields[8], self.at + 9);
        Some(Image {
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
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let kind = *self.file.get(self.at)?;
        self.at += 1;
        match kind {
            b';' => None,
            b',' => self.image().map(Block::Image),
            b'!' => {
                let label = *self.file.get(self.at)?;
                self.at += 1;
                let first = self.part();
                let block = match (label, first) {
                    (0xf9, Some(&[flags, _, _, index, ..])) => {
                        Block::Control { transparent: (flags & 1 > 0).then_some(index) }
                    }
                    (0xf9, Some(_)) => return None,
                    _ => Block::Other,
                };
                // An empty first part ends a comment; of anything else Pillow looks for more.
                if first.is_some() || label != 0xfe {
                    while self.part().is_some() {}
                }
                Some(block)
            }
            _ => Some(Block::Other),
        }
    }
}

/// Where a palette is that `flags` announce.
fn palette(flags: u8, start: usize) -> Option<Range<usize>> {
    (flags & 0x80 > 0).then(|| start..start + (6 << (flags & 7)))
}
