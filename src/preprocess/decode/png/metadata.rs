//! Where in a PNG an orientation can stand: an `eXIf` chunk, the text chunk in which ImageMagick keeps EXIF as hexadecimal
//! digits, and an XMP packet; all of them before the pixels or after them.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// So much of a text is unpacked: an orientation stands at the beginning of what it belongs to.
const MOST_TEXT_BYTES: u64 = 256 << 10;

/// A block of metadata, in the file or made of what is there.
type Block<'a> = Option<Cow<'a, [u8]>>;

/// The EXIF block and the XMP packet. Of several the last one counts.
pub(super) fn read(bytes: &[u8]) -> (Block<'_>, Block<'_>) {
    let (mut exif, mut profile, mut xmp) = (None, None, None);
    for (kind, content) in chunks(bytes) {
        match kind {
            b"eXIf" => exif = Some(Cow::from(content)),
            b"tEXt" | b"zTXt" | b"iTXt" => match content.split(|&byte| byte == 0).next() {
                Some(b"exif") if kind == b"tEXt" => exif = text((kind, content)),
                Some(b"Raw profile type exif") => profile = Some((kind, content)),
                Some(b"XML:com.adobe.xmp") => xmp = Some((kind, content)),
                _ => {}
            },
            _ => {}
        }
    }
    // Unpacked are only those that count.
    let from_profile = || from_digits(&text(profile?)?).map(Cow::from);
    (exif.or_else(from_profile), xmp.and_then(text))
}

/// The chunks up to the last, or to the first frame of an animation that is not the picture itself.
fn chunks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let mut rest = bytes.get(8..).unwrap_or_default();
    let mut has_pixels = false;
    std::iter::from_fn(move || {
        let length = u32::from_be_bytes(*rest.first_chunk()?) as usize;
        let (kind, content) = (rest.get(4..8)?, rest.get(8..)?.get(..length)?);
        // Four bytes of checksum follow.
        rest = rest.get(8 + length + 4..).unwrap_or_default();
        has_pixels |= kind == b"IDAT";
        (kind != b"IEND" && !(has_pixels && kind == b"fcTL")).then_some((kind, content))
    })
}

/// The text of a text chunk of any kind.
fn text<'a>((kind, content): (&[u8], &'a [u8])) -> Block<'a> {
    let (_, rest) = split(content)?;
    Some(match (kind, rest) {
        (b"tEXt", text) => Cow::from(text),
        (b"zTXt", [0, packed @ ..]) => Cow::from(unpack(packed)?),
        (b"iTXt", [is_packed, method, rest @ ..]) => {
            // A language and the key in it stand between.
            let (_, text) = split(split(rest)?.1)?;
            if *is_packed == 0 {
                Cow::from(text)
            } else if *method == 0 {
                Cow::from(unpack(text)?)
            } else {
                return None;
            }
        }
        _ => return None,
    })
}

/// What is before the first zero byte, and what behind it.
fn split(content: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = content.iter().position(|&byte| byte == 0)?;
    Some((&content[..end], &content[end + 1..]))
}

fn unpack(packed: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::with_capacity(MOST_TEXT_BYTES as usize + 32);
    ZlibDecoder::new(packed).take(MOST_TEXT_BYTES).read_to_end(&mut text).ok()?;
    Some(text)
}

/// Three lines (nothing, a name, a length), then digits.
fn from_digits(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|&byte| byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    digits.as_chunks::<2>().0.iter().map(|&[high, low]| Some(value(high)? << 4 | value(low)?)).collect()
}
