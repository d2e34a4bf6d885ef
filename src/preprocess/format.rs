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
    /// PBM, PGM and PPM, as words or as bytes; of several pictures the first.
    Pnm,
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
            Self::Pnm => "PNM",
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
            [b'P', b'1'..=b'6', b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r', ..] => Some(Self::Pnm),
            _ => None,
        }
    }
}

/// What a picture of another format asks for.
const CONVERT: &str = "convert it to JPEG or PNG";

/// What anything else asks for.
const SEND: &str = "send JPEG, PNG, WebP, GIF, BMP or TIFF";

/// Names what was sent instead of an image that is read, and what to do, for the message.
pub(super) fn describe(bytes: &[u8]) -> (String, &'static str) {
    let brand = bytes.get(4..12);
    let (known, remedy) = match bytes {
        [b'%', b'P', b'D', b'F', ..] => ("a PDF document", SEND),
        [0x00, 0x00, 0x00, 0x0c, b'j', b'P', ..] | [0xff, 0x4f, 0xff, 0x51, ..] => ("a JPEG 2000 image", CONVERT),
        [0xff, 0x0a, ..] | [0x00, 0x00, 0x00, 0x0c, b'J', b'X', ..] => ("a JPEG XL image", CONVERT),
        [b'P', b'K', 3, 4, ..] => ("a ZIP archive", SEND),
        [0x1f, 0x8b, ..] => ("gzip-compressed data", SEND),
        [0, 0, 1, 0, ..] => ("a Windows icon", CONVERT),
        [b'8', b'B', b'P', b'S', ..] => ("a Photoshop document", CONVERT),
        [b'P', b'7', b'\n', ..] => ("a PAM image", CONVERT),
        [b'P', b'f' | b'F', b'\n', ..] => ("a PFM image", CONVERT),
        [b'D', b'D', b'S', b' ', ..] => ("a DDS texture", CONVERT),
        // What stands in a clipboard: the length of a header is the first number.
        [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0, ..] => {
            ("a bitmap without the file header of a BMP (DIB)", CONVERT)
        }
        // The only sign of a TGA at its start is that every field makes sense: no palette, pixels in 24 or 32 bits.
        [_, 0, 2 | 10, 0, 0, 0, 0, 0, _, _, _, _, _, _, _, _, 24 | 32, _, ..] => ("a TGA image", CONVERT),
        _ if brand.is_some_and(|b| b == b"ftypavif" || b == b"ftypavis") => ("an AVIF image", CONVERT),
        _ if brand.is_some_and(|b| b.starts_with(b"ftyphe") || b == b"ftypmif1" || b == b"ftypmsf1") => {
            ("a HEIC image", CONVERT)
        }
        _ if brand.is_some_and(|b| b.starts_with(b"ftyp")) => ("a video", SEND),
        _ => ("", SEND),
    };
    if !known.is_empty() {
        return (known.to_owned(), remedy);
    }
    (described_by_bytes(bytes), remedy)
}

fn described_by_bytes(bytes: &[u8]) -> String {
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
