//! The camera's orientation: how the stored pixels must be turned to stand upright.
//!
//! It is never applied to the large image: mirroring is folded into the resize (reading an axis from its end costs
//! nothing) and a quarter turn is made of the small result.

use super::directory::{Directory, tag};

/// A mirroring of the stored axes, then perhaps an exchange of the two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Turn {
    /// Read stored columns from the right.
    pub(super) mirror_columns: bool,
    /// Read stored rows from the bottom.
    pub(super) mirror_rows: bool,
    /// Stored columns become rows of the upright image.
    pub(super) transpose: bool,
}

impl Turn {
    /// The turn of an orientation as EXIF and TIFF number them; none for a number that means nothing.
    pub(super) fn from_number(orientation: u64) -> Self {
        let (mirror_columns, mirror_rows, transpose) = match orientation {
            2 => (true, false, false),
            3 => (true, true, false),
            4 => (false, true, false),
            5 => (false, false, true),
            6 => (false, true, true),
            7 => (true, true, true),
            8 => (true, false, true),
            _ => (false, false, false),
        };
        Self { mirror_columns, mirror_rows, transpose }
    }

    /// The turn that an EXIF block asks for; none where it is silent or broken.
    ///
    /// Some writers keep the JPEG segment's `Exif\0\0` in front of the block in WebP and PNG too.
    pub(super) fn from_exif(block: &[u8]) -> Self {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        let number = Directory::first(block).and_then(|directory| directory.unsigned(tag::ORIENTATION));
        number.map(Self::from_number).unwrap_or_default()
    }

    /// The size of the upright image.
    pub(super) fn upright(self, width: u32, height: u32) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }
}
