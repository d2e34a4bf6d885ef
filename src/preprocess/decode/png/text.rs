//! The text chunks of a PNG, in which an orientation can stand.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::ZlibDecoder;

/// So much of a text is unpacked: an orientation stands at the beginning of what it belongs to.
const MOST_TEXT_BYTES: u64 = 256 << 10;

/// A text may become so long, and all of a file's together; Pillow refuses a file with more.
pub(super) const MOST_UNPACKED_BYTES: u64 = 1 << 20;
pub(super) const MOST_BYTES_IN_ALL: u64 = 64 << 20;

/// The text of a text chunk of any kind.
pub(super) fn text<'a>((kind, content): ([u8; 4], &'a [u8])) -> Option<Cow<'a, [u8]>> {
    let (_, rest) = split(content)?;
    Some(match (&kind, rest) {
        (b"tEXt", text) => Cow::from(text),
        (b"zTXt", [0, packed @ ..]) => Cow::from(unpack(packed)?),
        (b"iTXt", [is_packed, method, rest @ ..]) => {
            // A language and the key in it stand between.
            let (_, text) = split(split(rest)?.1)?;
            match (is_packed, method) {
                (0, _) => Cow::from(text),
                (_, 0) => Cow::from(unpack(text)?),
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// Whether a chunk of text can be unpacked and, where its kind promises it, is UTF-8.
pub(super) fn is_text(chunk @ (kind, _): ([u8; 4], &[u8])) -> bool {
    let whole = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(_) => true,
        // Only the beginning of a long text was unpacked; what is cut off at its end is no fault of it.
        Err(error) => error.error_len().is_none() && bytes.len() as u64 == MOST_TEXT_BYTES,
    };
    &kind != b"iTXt" || text(chunk).is_some_and(|text| whole(&text))
}

/// The bytes of a profile that ImageMagick keeps as hexadecimal digits: three lines (nothing, a name, a length), then the
/// digits.
pub(super) fn from_digits(text: &[u8]) -> Option<Vec<u8>> {
    let lines = text.split(|&byte| byte == b'\n').skip(3);
    let digits: Vec<u8> = lines.flatten().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |digit: u8| char::from(digit).to_digit(16).map(|value| value as u8);
    digits.as_chunks::<2>().0.iter().map(|&[high, low]| Some(value(high)? << 4 | value(low)?)).collect()
}

/// What of a chunk is packed, if its kind packs anything, and the number of the method.
pub(super) fn packed((kind, content): ([u8; 4], &[u8])) -> Option<(u8, &[u8])> {
    let (_, rest) = split(content)?;
    match (&kind, rest) {
        (b"zTXt" | b"iCCP", [method, packed @ ..]) => Some((*method, packed)),
        (b"iTXt", [1..=255, 0, rest @ ..]) => Some((0, split(split(rest)?.1)?.1)),
        _ => None,
    }
}

/// How long what is packed becomes, if that is at most [`MOST_UNPACKED_BYTES`]; more otherwise. What cannot be unpacked
/// is nothing.
pub(super) fn unpacked_length(packed: &[u8]) -> u64 {
    let mut unpacked = ZlibDecoder::new(packed).take(MOST_UNPACKED_BYTES + 1);
    std::io::copy(&mut unpacked, &mut std::io::sink()).unwrap_or(0)
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
