//! Which format the bytes are in, told by their first few; and, of what is no image, what it is instead.
//!
//! Knows signatures only; sizes are [`super::header`]'s.

use std::fmt;

/// The image formats that are read, told apart by their first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JPEG: baseline, extended, progressive; gray, YCbCr, RGB, CMYK, YCCK.
    Jpeg,
    /// PNG, and the first frame of an animated one.
    Png,
    /// WebP, lossy and lossless, and the first frame of an animated one.
    WebP,
    /// GIF, the first frame.
    Gif,
    /// Windows bitmap.
    Bmp,
    /// TIFF, the first page.
    Tiff,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jpeg => "JPEG",
            Self::Png => "PNG",
            Self::WebP => "WebP",
            Self::Gif => "GIF",
            Self::Bmp => "BMP",
            Self::Tiff => "TIFF",
        })
    }
}

impl Format {
    /// The format that the first bytes announce; `None` where none that is read does.
    pub(super) fn sniff(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some(Self::WebP),
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Some(Self::Gif),
            [b'B', b'M', ..] if bytes.len() >= 26 => Some(Self::Bmp),
            [b'I', b'I', 42 | 43, 0, ..] | [b'M', b'M', 0, 42 | 43, ..] => Some(Self::Tiff),
            // Written with the version's bytes mixed up, and read by Pillow all the same.
            [b'I', b'I', 0, 42, ..] | [b'M', b'M', 42, 0, ..] => Some(Self::Tiff),
            _ => None,
        }
    }
}

/// Names what was sent instead of an image, for the message.
pub(super) fn describe(bytes: &[u8]) -> String {
    let brand = bytes.get(4..12);
    let known = match bytes {
        [b'%', b'P', b'D', b'F', ..] => "a PDF document",
        [0x00, 0x00, 0x00, 0x0c, b'j', b'P', ..] => "a JPEG 2000 image",
        [0xff, 0x0a, ..] | [0x00, 0x00, 0x00, 0x0c, b'J', b'X', ..] => "a JPEG XL image",
        [b'P', b'K', 3, 4, ..] => "a ZIP archive",
        [0x1f, 0x8b, ..] => "gzip-compressed data",
        [0, 0, 1, 0, ..] => "a Windows icon",
        [b'8', b'B', b'P', b'S', ..] => "a Photoshop document",
        _ if brand.is_some_and(|b| b == b"ftypavif" || b == b"ftypavis") => "an AVIF image",
        _ if brand.is_some_and(|b| b.starts_with(b"ftyphe") || b == b"ftypmif1") => "a HEIC image",
        _ if brand.is_some_and(|b| b.starts_with(b"ftyp")) => "a video",
        _ => "",
    };
    if !known.is_empty() {
        return known.to_owned();
    }
    let head = &bytes[..bytes.len().min(32)];
    match std::str::from_utf8(head).or_else(|error| std::str::from_utf8(&head[..error.valid_up_to()])) {
        Ok(text) if text.len() + 3 >= head.len() && !text.chars().any(|c| c.is_control() && !c.is_whitespace()) => {
            format!("the bytes are text ({text:?}{})", if bytes.len() > text.len() { "..." } else { "" })
        }
        _ => {
            let hex: Vec<_> = head.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            format!("the bytes start with {}", hex.join(" "))
        }
    }
}
