//! BMP's headers, of which there are seven, read as Pillow reads them.

use super::claim::{Claim, Storage};
use super::fields::{array, u16_le};

/// What the headers say.
#[derive(Clone, Debug)]
pub(in crate::preprocess) struct Info {
    pub(in crate::preprocess) width: u32,
    pub(in crate::preprocess) height: u32,
    /// Whether the rows go from top to bottom; usually the last one comes first.
    pub(in crate::preprocess) top_down: bool,
    pub(in crate::preprocess) bits: u16,
    pub(in crate::preprocess) compression: u32,
    /// The bits of red, green, blue and alpha, where the file names them.
    pub(in crate::preprocess) masks: Option<[u32; 4]>,
    /// How many colours the palette has, and the bytes of each.
    pub(in crate::preprocess) colors: usize,
    pub(in crate::preprocess) color_bytes: usize,
    /// Where the palette starts, and the pixels; 0: behind the palette.
    pub(in crate::preprocess) palette: usize,
    pub(in crate::preprocess) pixels: usize,
}

pub(in crate::preprocess) const RAW: u32 = 0;
pub(in crate::preprocess) const RLE8: u32 = 1;
pub(in crate::preprocess) const RLE4: u32 = 2;
pub(in crate::preprocess) const BIT_FIELDS: u32 = 3;

pub(super) fn read(bytes: &[u8]) -> Option<Claim> {
    let info = Info::read(bytes)?;
    let (width, height) = (u64::from(info.width), u64::from(info.height));
    let pixels = width * height;
    let (memory, least_bytes) = match info.compression {
        RLE8 | RLE4 => (pixels, 0),
        _ => {
            let stride = (width * u64::from(info.bits)).div_ceil(32) * 4;
            // The last row need not be filled up, and may have one bit a pixel whatever the header says.
            (0, stride.saturating_mul(height.saturating_sub(1)).saturating_add(width / 8))
        }
    };
    let storage = Storage { memory: memory.saturating_add(width), work: pixels, least_bytes };
    Some(Claim { width: info.width, height: info.height, storage })
}

impl Info {
    /// Reads it; `None` where the file ends before it is complete, or has a header of another kind.
    pub(in crate::preprocess) fn read(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| array(bytes, at).map(u32::from_le_bytes);
        let (offset, size) = (number(10)? as usize, number(14)? as usize);
        let end = 14 + size;
        // The whole of a header must be there.
        bytes.get(14..end)?;
        let mut info = if size == 12 {
            Self {
                width: u16_le(bytes, 18)?,
                height: u16_le(bytes, 20)?,
                top_down: false,
                bits: u16_le(bytes, 24)? as u16,
                compression: RAW,
                masks: None,
                colors: 0,
                color_bytes: 3,
                palette: end,
                pixels: offset,
            }
        } else if matches!(size, 40 | 52 | 56 | 64 | 108 | 124) {
            // A negative height means that the rows go from top to bottom.
            let top_down = *bytes.get(25)? == 0xff;
            let height = number(22)?;
            Self {
                width: number(18)?,
                height: if top_down { height.wrapping_neg() } else { height },
                top_down,
                bits: u16_le(bytes, 28)? as u16,
                compression: number(30)?,
                masks: None,
                colors: number(46)? as usize,
                color_bytes: 4,
                palette: end,
                pixels: offset,
            }
        } else {
            return None;
        };
        if info.compression == BIT_FIELDS {
            let masks = [54, 58, 62].map(number);
            // In the header itself, or, where that has no place for them, behind it.
            let alpha = if size >= 56 { number(66)? } else { 0 };
            info.masks = Some([masks[0]?, masks[1]?, masks[2]?, alpha]);
            info.palette += if size < 52 { 12 } else { 0 };
        }
        if info.colors == 0 {
            info.colors = 1usize.checked_shl(info.bits.into()).unwrap_or(0);
        }
        if offset == end && info.bits <= 8 {
            info.pixels = end + info.color_bytes * info.colors;
        }
        Some(info)
    }
}
