//! The stream that `classify --stdin` reads: records of a key and a picture, each behind its length.
//!
//! ```text
//! u32 little-endian   bytes of the key
//! …                   the key
//! u32 little-endian   bytes of the picture's file
//! …                   the file
//! ```
//! There is nothing before the first record, between two or behind the last: the stream ends between two records, and anywhere
//! else it was cut. A writer that died is told from one that is done by nothing else.

use std::{
    ffi::OsStr,
    io::{self, Read},
    ops::ControlFlow,
    os::unix::ffi::OsStrExt,
    path::Path,
};

use super::member::{Member, MemberError};
use crate::files;

/// The longest key. A longer one is no key: the stream is something else, or out of step.
const LONGEST_KEY: u32 = 64 << 10;

/// Memory is taken as bytes come, from so much on, and not for what is announced.
const FIRST_BYTES: u64 = 1 << 20;

/// Hands every picture of `input` to `each` until there are no more, the stream is cut, or `each` has enough. Waits for bytes, and
/// reads none before `each` is back.
///
/// * `limit`: the most bytes of a picture's file; a larger one is passed over
pub(super) fn read_frames(input: &mut impl Read, limit: u64, each: &mut dyn FnMut(Member) -> ControlFlow<()>) {
    for number in 0.. {
        let mut key = String::new();
        let content = match read_frame(input, limit, &mut key) {
            Ok(None) => return,
            Ok(Some(content)) => content,
            Err(error) => Err(MemberError::Cut(in_words(&error))),
        };
        let is_cut = matches!(content, Err(MemberError::Cut(_)));
        let member = Member { number, key, content: content.map(Into::into) };
        if each(member).is_break() || is_cut {
            return;
        }
    }
}

/// The picture of the next record, whose key is put into `key` before; `None` where the stream ends.
fn read_frame(input: &mut impl Read, limit: u64, key: &mut String) -> io::Result<Option<Result<Vec<u8>, MemberError>>> {
    let Some(length) = read_length(input)? else { return Ok(None) };
    if length > LONGEST_KEY {
        let reason = format!(
            "a key of {length} bytes, where {LONGEST_KEY} are allowed: the stream is out of step; a record is the key's length \
             (u32, little-endian), the key, the picture's length, the picture"
        );
        return Ok(Some(Err(MemberError::Cut(reason))));
    }
    let mut bytes = Vec::new();
    let is_whole = take(input, length.into(), &mut bytes)?;
    *key = files::shown(Path::new(OsStr::from_bytes(&bytes)));
    if !is_whole {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let length = u64::from(read_length(input)?.ok_or(io::ErrorKind::UnexpectedEof)?);
    if length > limit {
        let passed_over = io::copy(&mut input.by_ref().take(length), &mut io::sink())?;
        if passed_over < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        return Ok(Some(Err(MemberError::TooLarge { bytes: length, limit })));
    }
    let mut picture = Vec::new();
    if !take(input, length, &mut picture)? {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(Ok(picture)))
}

/// `None` where the stream ends before it.
fn read_length(input: &mut impl Read) -> io::Result<Option<u32>> {
    let mut bytes = Vec::new();
    take(input, 4, &mut bytes)?;
    match <[u8; 4]>::try_from(&bytes[..]) {
        Ok(bytes) => Ok(Some(u32::from_le_bytes(bytes))),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(_) => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads so many bytes, and says whether they were there.
pub(super) fn take(input: &mut impl Read, length: u64, into: &mut Vec<u8>) -> io::Result<bool> {
    // More than there is memory for is a refusal, not the end of the process.
    into.try_reserve_exact(usize::try_from(length.min(FIRST_BYTES)).unwrap_or(usize::MAX))?;
    Ok(input.by_ref().take(length).read_to_end(into)? as u64 == length)
}

fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            "the stream ends inside a record: its writer has stopped in the middle".to_owned()
        }
        _ => format!("the stream cannot be read: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &[u8], picture: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap().to_le_bytes();
        [&length(key)[..], key, &length(picture), picture].concat()
    }

    /// What is read of `stream`: keys, and pictures or what is said of them.
    fn read(stream: &[u8], limit: u64) -> Vec<(String, Result<Vec<u8>, String>)> {
        let mut found = Vec::new();
        read_frames(&mut &*stream, limit, &mut |member| {
            assert_eq!(member.number, found.len() as u64);
            found.push((member.key, member.content.map(|bytes| bytes.to_vec()).map_err(|error| error.to_string())));
            ControlFlow::Continue(())
        });
        found
    }

    #[test]
    fn records_come_one_by_one_and_a_picture_over_the_limit_is_passed_over() {
        assert_eq!(read(b"", 9), []);
        let stream =
            [record(b"a", b"one"), record(b"", b""), record(b"b\xff", &[7; 10]), record(b"c", b"two")].concat();
        let too_large = "it has 10 bytes, the limit is 9: raise [limits] max_body_bytes".to_owned();
        assert_eq!(
            read(&stream, 9),
            [
                ("a".to_owned(), Ok(b"one".to_vec())),
                (String::new(), Ok(Vec::new())),
                ("b\\xff".to_owned(), Err(too_large)),
                ("c".to_owned(), Ok(b"two".to_vec())),
            ]
        );
    }

    #[test]
    fn a_stream_that_is_cut_anywhere_but_between_records_ends_with_an_error() {
        for limit in [9, 2] {
            let (first, second) = (record(b"a", b"one"), record(b"key", b"three"));
            let stream = [&first[..], &second].concat();
            for cut in 0..stream.len() {
                let found = read(&stream[..cut], limit);
                if cut == 0 || cut == first.len() {
                    assert_eq!(found.len(), usize::from(cut > 0), "{cut}");
                    continue;
                }
                let (key, outcome) = found.last().unwrap();
                let error = outcome.as_ref().unwrap_err();
                assert!(error.starts_with("the stream ends inside a record"), "{cut}: {error}");
                assert_eq!(found.len(), 1 + usize::from(cut > first.len()), "{cut}");
                assert!(["a", "key"][found.len() - 1].starts_with(&**key), "{cut}: {key}");
            }
        }
    }

    #[test]
    fn what_is_no_stream_of_records_is_refused_at_its_first_key() {
        let found = read(b"\xff\xd8\xff\xe0 a JPEG", 9);
        assert_eq!(found.len(), 1);
        let error = found[0].1.as_ref().unwrap_err();
        assert!(error.contains("a key of 3774863615 bytes") && error.contains("out of step"), "{error}");
    }

    #[test]
    fn an_announced_length_takes_no_memory_and_whoever_has_enough_ends_it() {
        let mut stream = record(b"a", b"");
        let end = stream.len();
        stream[end - 4..].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&stream, u64::MAX)[0].1.is_err());
        let mut count = 0;
        let stream = record(b"a", b"b").repeat(3);
        read_frames(&mut &*stream, 9, &mut |_| {
            count += 1;
            ControlFlow::Break(())
        });
        assert_eq!(count, 1);
    }
}
