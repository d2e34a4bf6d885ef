//! Elements of BYTES as they lie in a binary tensor: each behind its length, in four bytes, little-endian.

use bytes::{BufMut as _, Bytes, BytesMut};

use crate::service::{Error, ErrorKind};

/// The bytes of a length.
const LENGTH_BYTES: usize = 4;

/// Takes `count` elements apart; each is a slice of `section`.
///
/// # Errors
/// `INVALID_ARGUMENT` where an element is longer than what is there, or something is left behind the last one.
pub(super) fn take_apart(mut section: Bytes, count: usize) -> Result<Vec<Bytes>, Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    let mut elements = Vec::with_capacity(count);
    for index in 0..count {
        let Some(length) = section.first_chunk::<LENGTH_BYTES>() else {
            let left = section.len();
            return refuse(format!(
                "element {index} of {count} has no length: {left} bytes are left, and each element begins with its length in \
                 four bytes, little-endian"
            ));
        };
        let length = u32::from_le_bytes(*length) as usize;
        let _ = section.split_to(LENGTH_BYTES);
        if length > section.len() {
            let left = section.len();
            return refuse(format!("element {index} of {count} says that it has {length} bytes, and {left} are left"));
        }
        elements.push(section.split_to(length));
    }
    if !section.is_empty() {
        let left = section.len();
        return refuse(format!(
            "{left} bytes are left behind the last of {count} elements: the shape says how many there are"
        ));
    }
    Ok(elements)
}

/// The same the other way round.
pub(super) fn with_lengths(texts: &[String]) -> Bytes {
    let mut section = BytesMut::with_capacity(texts.iter().map(|text| LENGTH_BYTES + text.len()).sum());
    for text in texts {
        // A label is a line of a file.
        section.put_u32_le(u32::try_from(text.len()).unwrap_or(u32::MAX));
        section.put_slice(text.as_bytes());
    }
    section.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_slices_of_their_section() {
        let section = with_lengths(&["tabby".to_owned(), String::new(), "é".to_owned()]);
        assert_eq!(&section[..9], b"\x05\0\0\0tabby");
        let elements = take_apart(section.clone(), 3).expect("three elements");
        assert_eq!(elements, [&b"tabby"[..], b"", "é".as_bytes()]);
        assert_eq!(elements[0].as_ptr(), section[4..].as_ptr(), "no copy");
    }

    #[test]
    fn lengths_that_do_not_fit_are_refused() {
        for (section, count, part) in [
            (&b""[..], 1, "element 0 of 1 has no length"),
            (b"\x01\0\0", 1, "3 bytes are left"),
            (b"\x05\0\0\0tabb", 1, "has 5 bytes, and 4 are left"),
            (b"\xff\xff\xff\xfftabby", 1, "4294967295"),
            (b"\x05\0\0\0tabbyx", 1, "1 bytes are left behind"),
            (b"\x05\0\0\0tabby", 2, "element 1 of 2 has no length"),
            (b"\x05\0\0\0tabby", 0, "9 bytes are left behind"),
        ] {
            let error = take_apart(Bytes::from_static(section), count).expect_err(part);
            assert!(error.message.contains(part), "{error}");
        }
    }
}
