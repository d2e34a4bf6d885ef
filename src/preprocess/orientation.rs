//! The camera's orientation: how the stored pixels must be turned to stand upright, and where files say so.
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
    fn from_number(orientation: i64) -> Self {
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

    /// The turn that a file's metadata asks for: what an EXIF block says, else what an XMP packet says; none where both
    /// are silent or broken.
    pub(super) fn from_metadata(exif: Option<&[u8]>, xmp: Option<&[u8]>) -> Self {
        // Some writers keep the JPEG segment's `Exif\0\0` in front of the block in WebP and PNG too, and some have it
        // twice.
        let bare = |block: &[u8]| block.strip_prefix(b"Exif\0\0").map(<[u8]>::to_vec);
        let exif = exif.map(|block| bare(block).unwrap_or_else(|| block.to_vec()));
        let exif = exif.map(|block| bare(&block).unwrap_or(block)).unwrap_or_default();
        // Of a file whose EXIF block is none Pillow does not come to look at the rest.
        let xmp = xmp.filter(|_| exif.is_empty() || Directory::is_announced(&exif));
        Self::from_directory(Directory::first(&exif).as_ref(), xmp)
    }

    /// The same of a directory that is read already.
    pub(super) fn from_directory(directory: Option<&Directory<'_>>, xmp: Option<&[u8]>) -> Self {
        let entry = directory.and_then(|directory| Some((directory, directory.entry(tag::ORIENTATION)?)));
        let number = match entry {
            // A tag that is there has the last word, whatever it says.
            Some((directory, entry)) => directory.integer(&entry),
            None => xmp.and_then(from_xmp),
        };
        number.map(Self::from_number).unwrap_or_default()
    }

    /// The size of the upright image.
    pub(super) fn upright(self, width: u32, height: u32) -> (u32, u32) {
        if self.transpose { (height, width) } else { (width, height) }
    }
}

/// The digit behind the first `tiff:Orientation`, as an attribute or as an element.
fn from_xmp(packet: &[u8]) -> Option<i64> {
    const NAME: &[u8] = b"tiff:Orientation";
    packet.windows(NAME.len()).enumerate().filter(|(_, name)| *name == NAME).find_map(|(at, _)| {
        let value = &packet[at + NAME.len()..];
        let value = value.strip_prefix(b"=\"").or(value.strip_prefix(b">"))?;
        value.first().filter(|digit| digit.is_ascii_digit()).map(|digit| i64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exif(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut block = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01".to_vec();
        block.extend([kind, 0, 1, 0, 0, 0]);
        if value.len() > 4 {
            block.extend([26, 0, 0, 0, 0, 0, 0, 0]);
        }
        block.extend(value);
        block
    }

    const ROTATED: Turn = Turn { mirror_columns: false, mirror_rows: true, transpose: true };

    #[test]
    fn every_kind_of_number_is_understood() {
        for block in [
            exif(3, &[6, 0, 0, 0]),
            exif(4, &[6, 0, 0, 0]),
            exif(9, &[6, 0, 0, 0]),
            exif(11, &6f32.to_le_bytes()),
            exif(5, &[12, 0, 0, 0, 2, 0, 0, 0]),
            [b"Exif\0\0Exif\0\0".to_vec(), exif(3, &[6, 0, 0, 0])].concat(),
        ] {
            assert_eq!(Turn::from_metadata(Some(&block), None), ROTATED, "{block:?}");
        }
    }

    #[test]
    fn what_is_no_number_turns_nothing() {
        for block in
            [exif(1, &[6, 0, 0, 0]), exif(3, &[9, 0, 0, 0]), exif(5, &[13, 0, 0, 0, 2, 0, 0, 0]), b"II".to_vec()]
        {
            assert_eq!(Turn::from_metadata(Some(&block), None), Turn::default(), "{block:?}");
        }
    }

    #[test]
    fn xmp_speaks_where_exif_is_silent() {
        for packet in
            [&b"<x tiff:Orientation=\"6\"/>"[..], b"tiff:Orientation='8' <tiff:Orientation>6</tiff:Orientation>"]
        {
            assert_eq!(Turn::from_metadata(None, Some(packet)), ROTATED);
            assert_eq!(Turn::from_metadata(Some(&exif(3, &[1, 0, 0, 0])), Some(packet)), Turn::default());
        }
    }
}
