//! A decoded image.

use bytes::Bytes;

/// One upright 8-bit RGB image, rows top to bottom, `u8[H, W, 3]`. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    width: u32,
    height: u32,
    data: Bytes,
}

impl Pixels {
    /// Wraps `data`, which must hold `height * width * 3` bytes; `None` when it does not.
    pub fn new(width: u32, height: u32, data: Vec<u8>) -> Option<Self> {
        (data.len() == width as usize * height as usize * 3).then(|| Self { width, height, data: data.into() })
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// The samples, `u8[H, W, 3]`.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}
