//! The chunks of a PNG, and which of their faults count.
//!
//! Up to the pixels a chunk must be whole and its checksum right; of the pixels' own chunks no checksum is looked at, nor
//! of those behind them, which must be whole but may be missing.

use std::borrow::Cow;

use super::text;
use crate::preprocess::decode::fault::png as corrupt;
use crate::preprocess::error::DecodeError;

/// A chunk's kind and content.
type Chunk<'a> = ([u8; 4], &'a [u8]);

/// The content of a chunk of text, unpacked if it was packed.
type Text<'a> = Option<Cow<'a, [u8]>>;

/// What the chunks say.
#[derive(Default)]
pub(super) struct Head<'a> {
    pub(super) size: (u32, u32),
    pub(super) depth: u8,
    pub(super) color: u8,
    pub(super) interlaced: bool,
    pub(super) palette: Option<&'a [u8]>,
    /// The part of the canvas that the pixels fill.
    pub(super) window: FrameWindow,
    /// Where the first chunk of pixels is.
    data: usize,
    has_header: bool,
    /// The number of the last chunk of an animation.
    sequence: Option<u32>,
    frames: u32,
    text_bytes: u64,
    is_animated: bool,
    exif: Option<Chunk<'a>>,
    profile: Option<Chunk<'a>>,
    xmp: Option<Chunk<'a>>,
}

/// A part of a canvas.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FrameWindow {
    pub(super) left: u32,
    pub(super) top: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl<'a> Head<'a> {
    /// Reads every chunk but the pixels.
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut head = Self::default();
        let mut at = 8;
        loop {
            let (kind, length) = header(bytes, at)?;
            let content = bytes.get(at + 8..at + 8 + length);
            match &kind {
                b"IDAT" => break,
                b"fdAT" => {
                    head.follow_pixels(content.or(bytes.get(at + 8..)))?;
                    break;
                }
                b"IEND" => return Err(corrupt("it has no pixels")),
                _ => {}
            }
            let content = content.ok_or_else(cut)?;
            let checksum = bytes.get(at + 8 + length..).and_then(|rest| rest.first_chunk()).ok_or_else(cut)?;
            let mut crc = flate2::Crc::new();
            crc.update(&kind);
            crc.update(content);
            if crc.sum() != u32::from_be_bytes(*checksum) {
                return Err(corrupt(format_args!("the checksum of its chunk {} is wrong", kind.escape_ascii())));
            }
            head.take((kind, content))?;
            at += 8 + length + 4;
        }
        if !head.has_header || head.size.0 == 0 || head.size.1 == 0 {
            return Err(corrupt("it has no header before its pixels"));
        }
        let has_frame = head.window.width > 0 && head.window.height > 0;
        // Pixels before the first frame are a picture of their own.
        head.is_animated = head.frames > 0 && head.frames.saturating_add(u32::from(!has_frame)) > 1;
        if !has_frame {
            head.window = FrameWindow { left: 0, top: 0, width: head.size.0, height: head.size.1 };
        }
        head.data = at;
        head.read_behind(bytes)?;
        Ok(head)
    }

    /// Reads what stands behind the first chunk of pixels.
    fn read_behind(&mut self, bytes: &'a [u8]) -> Result<(), DecodeError> {
        let (window, mut at) = (self.window, self.data);
        // A chunk that is no chunk ends the file, as does its end.
        while let Ok((kind, length)) = header(bytes, at) {
            let content = bytes.get(at + 8..at + 8 + length);
            match &kind {
                b"IEND" => break,
                b"fcTL" if self.is_animated => break,
                // Whether these are whole is found out by those who need them.
                b"fdAT" if at > self.data => {
                    self.follow_pixels(content.or(bytes.get(at + 8..)))?;
                    if content.is_none() {
                        break;
                    }
                }
                b"IDAT" | b"fdAT" | b"DDAT" if content.is_none() => break,
                b"IDAT" | b"DDAT" | b"fdAT" => {}
                _ => self.take((kind, content.ok_or_else(cut)?))?,
            }
            at += 8 + length + 4;
        }
        self.window = window;
        Ok(())
    }

    fn take(&mut self, chunk: Chunk<'a>) -> Result<(), DecodeError> {
        let (kind, content) = chunk;
        let least = match &kind {
            b"IHDR" => 13,
            b"gAMA" => 4,
            b"cHRM" => 32,
            b"sRGB" => 1,
            b"pHYs" => 9,
            b"acTL" => 8,
            b"fcTL" => 26,
            b"tRNS" if self.color == 2 => 6,
            b"tRNS" if self.color == 0 && self.has_header => 2,
            _ => 0,
        };
        if content.len() < least {
            return Err(corrupt(format_args!("its chunk {} is too short", kind.escape_ascii())));
        }
        match &kind {
            b"IHDR" => self.header(content)?,
            b"PLTE" if self.color == 3 => self.palette = Some(content),
            b"acTL" => {
                // A second one makes both worthless.
                let count = number(content, 0).filter(|count| (1..=0x8000_0000).contains(count));
                self.frames = if self.frames > 0 { 0 } else { count.unwrap_or(0) };
            }
            b"fcTL" => self.frame(content)?,
            b"eXIf" => self.exif = Some(chunk),
            b"zTXt" | b"iTXt" | b"iCCP" | b"tEXt" => {
                self.weigh(chunk)?;
                match content.split(|&byte| byte == 0).next() {
                    Some(b"exif") if &kind == b"tEXt" => self.exif = Some(chunk),
                    _ if &kind == b"iCCP" => {}
                    // One that is no text leaves what was said before.
                    Some(b"Raw profile type exif") if text::is_text(chunk) => self.profile = Some(chunk),
                    Some(b"XML:com.adobe.xmp") if self.xmp.is_none() || text::is_text(chunk) => self.xmp = Some(chunk),
                    _ => {}
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Checks how a text is packed, and that all of them together are not too long: each costs time to unpack.
    fn weigh(&mut self, chunk @ (kind, content): Chunk<'_>) -> Result<(), DecodeError> {
        let refused = |why: &str| Err(corrupt(format_args!("its chunk {} {why}", kind.escape_ascii())));
        self.text_bytes += match text::packed(chunk) {
            Some((0, packed)) => match text::unpacked_length(packed) {
                length if length > text::MOST_UNPACKED_BYTES => return refused("holds too much"),
                length => length,
            },
            Some(_) => return refused("is packed in no known way"),
            None => content.len() as u64,
        };
        if self.text_bytes > text::MOST_BYTES_IN_ALL {
            return refused("holds too much, with the others");
        }
        Ok(())
    }

    fn header(&mut self, content: &[u8]) -> Result<(), DecodeError> {
        // Pillow takes the last of several, but what decoding takes was reckoned with the first.
        if self.has_header && (self.depth, self.color, self.interlaced) != (content[8], content[9], content[12] != 0) {
            return Err(corrupt("it has two headers that contradict each other"));
        }
        self.size = (number(content, 0).unwrap_or(0), number(content, 4).unwrap_or(0));
        (self.depth, self.color) = (content[8], content[9]);
        self.interlaced |= content[12] != 0;
        if content[11] != 0 {
            return Err(corrupt(format_args!("filters of kind {} are not known", content[11])));
        }
        self.has_header = true;
        Ok(())
    }

    /// Where a frame of an animation lies.
    fn frame(&mut self, content: &[u8]) -> Result<(), DecodeError> {
        self.follow(Some(content))?;
        let [width, height, left, top] = [4, 8, 12, 16].map(|at| number(content, at).unwrap_or(0));
        let fits = |start: u32, length: u32, end: u32| start.checked_add(length).is_some_and(|sum| sum <= end);
        if !fits(left, width, self.size.0) || !fits(top, height, self.size.1) {
            return Err(corrupt("a frame leaves its canvas"));
        }
        self.window = FrameWindow { left, top, width, height };
        Ok(())
    }

    /// Checks that pixels of an animation have a frame that they are of.
    fn follow_pixels(&mut self, content: Option<&[u8]>) -> Result<(), DecodeError> {
        if self.sequence.is_none() {
            return Err(corrupt("the parts of its animation are out of order"));
        }
        self.follow(content)
    }

    /// Checks that a chunk of an animation follows the one before it.
    fn follow(&mut self, content: Option<&[u8]>) -> Result<(), DecodeError> {
        let sequence = content.and_then(|content| number(content, 0)).ok_or_else(cut)?;
        let expected = self.sequence.map_or(Some(0), |last| last.checked_add(1));
        if Some(sequence) != expected {
            return Err(corrupt("the parts of its animation are out of order"));
        }
        self.sequence = Some(sequence);
        Ok(())
    }

    /// The EXIF block and the XMP packet, if there are any.
    pub(super) fn metadata(&self) -> (Text<'a>, Text<'a>) {
        let block = |(kind, content): Chunk<'a>| {
            if &kind == b"eXIf" { Some(Cow::from(content)) } else { text::text((kind, content)) }
        };
        let from_profile = || text::from_digits(&text::text(self.profile?)?).map(Cow::from);
        (self.exif.and_then(block).or_else(from_profile), self.xmp.and_then(text::text))
    }
}

/// The pixels' data, in the pieces that Pillow takes them in.
pub(super) struct Data<'a> {
    bytes: &'a [u8],
    /// The next chunk.
    at: usize,
    chunk: &'a [u8],
}

/// Pillow reads so much at once.
const PIECE_BYTES: usize = 64 << 10;

impl<'a> Data<'a> {
    pub(super) fn new(bytes: &'a [u8], head: &Head<'_>) -> Self {
        Self { bytes, at: head.data, chunk: &[] }
    }

    /// The next piece; `None` behind the last.
    pub(super) fn next(&mut self) -> Result<Option<&'a [u8]>, DecodeError> {
        while self.chunk.is_empty() {
            if self.at >= self.bytes.len() {
                return Ok(None);
            }
            let (kind, length) = header(self.bytes, self.at)?;
            let start = self.at + 8;
            let skipped = match &kind {
                b"IDAT" | b"DDAT" => 0,
                // A number stands before them.
                b"fdAT" => 4,
                _ => return Ok(None),
            };
            let content = self.bytes.get(start..).unwrap_or_default();
            self.chunk = content[..length.min(content.len())].get(skipped..).unwrap_or_default();
            self.at = start.saturating_add(length).saturating_add(4);
        }
        let (piece, rest) = self.chunk.split_at(self.chunk.len().min(PIECE_BYTES));
        self.chunk = rest;
        Ok(Some(piece))
    }
}

/// The kind and length of the chunk at `at`.
fn header(bytes: &[u8], at: usize) -> Result<([u8; 4], usize), DecodeError> {
    let [a, b, c, d, kind @ ..] = *bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or_else(cut)?;
    if !kind.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(corrupt(format_args!("{} is no chunk", kind.escape_ascii())));
    }
    Ok((kind, u32::from_be_bytes([a, b, c, d]) as usize))
}

fn number(content: &[u8], at: usize) -> Option<u32> {
    content.get(at..)?.first_chunk().copied().map(u32::from_be_bytes)
}

fn cut() -> DecodeError {
    corrupt("it ends early")
}
