//! The camera's orientation: how the stored pixels must be turned to stand upright.
//!
//! It is never applied to the large image: mirroring is folded into the resize (reading an axis from its end costs
//! nothing) and a quarter turn is made of the small result.

use image::metadata::Orientation as Exif;

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

impl From<Exif> for Turn {
    fn from(exif: Exif) -> Self {
        let (mirror_columns, mirror_rows, transpose) = match exif {
            Exif::NoTransforms => (false, false, false),
            Exif::FlipHorizontal => (true, false, false),
            Exif::Rotate180 => (true, true, false),
            Exif::FlipVertical => (false, true, false),
            Exif::Rotate90FlipH => (false, false, true),
            Exif::Rotate90 => (false, true, true),
            Exif::Rotate270FlipH => (true, true, true),
            Exif::Rotate270 => (true, false, true),
        };
        Self { mirror_columns, mirror_rows, transpose }
    }
}

impl Turn {
    /// The turn that an EXIF block asks for; none where it is silent or broken.
    ///
    /// Some writers keep the JPEG segment's `Exif\0\0` in front of the block in WebP and PNG too.
    pub(super) fn from_exif(block: &[u8]) -> Self {
        let block = block.strip_prefix(b"Exif\0\0").unwrap_or(block);
        Exif::from_exif_chunk(block).map(Self::from).unwrap_or_default()
    }

    /// The size of the upright image.
    pub(super) fn upright(self, width: u32, height: u32) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }
}
