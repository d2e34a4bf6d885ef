//! Base64 as clients write it: either alphabet, with or without padding, as a `data:` URL, broken into lines.

use std::borrow::Cow;

use base64::{
    DecodeError, Engine as _,
    alphabet::{STANDARD, URL_SAFE},
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD_BASE64: GeneralPurpose = GeneralPurpose::new(&STANDARD, LENIENT);
const URL_SAFE_BASE64: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

/// The bytes that `text` stands for.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, DecodeError> {
    let text = match text.strip_prefix("data:") {
        Some(url) => url.split_once(',').map_or(url, |(_, data)| data),
        None => text,
    };
    let engine = match text.bytes().any(|byte| matches!(byte, b'-' | b'_')) {
        true => &URL_SAFE_BASE64,
        false => &STANDARD_BASE64,
    };
    engine.decode(&*without_whitespace(text))
}

fn without_whitespace(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(u8::is_ascii_whitespace) {
        return Cow::Borrowed(bytes);
    }
    // As much as there can be, once: growing would take twice that.
    let mut kept = Vec::with_capacity(bytes.len());
    kept.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
    Cow::Owned(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_common_spelling_is_decoded() {
        for text in [
            "+//+AQ==",
            "+//+AQ",
            "-__-AQ==",
            "-__-AQ",
            "data:image/png;base64,+//+AQ==",
            "+//+\nAQ==",
            " +/ /+A\tQ\r\n",
        ] {
            assert_eq!(decode(text).expect(text), [0xfb, 0xff, 0xfe, 0x01], "{text}");
        }
        for text in ["???", "A", "+__+"] {
            decode(text).expect_err(text);
        }
    }
}
