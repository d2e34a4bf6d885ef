//! How urgent a request says it is: the header `x-priority`, a word or a number as Triton counts.

use axum::http::{HeaderMap, HeaderName};

use crate::service::{Error, ErrorKind, Priority, Shown};

const PRIORITY: HeaderName = HeaderName::from_static("x-priority");

/// What the headers say; nothing is what most requests are.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is neither a word that is known nor a number from 1 on.
pub(super) fn asked(headers: &HeaderMap) -> Result<Priority, Error> {
    let Some(value) = headers.get(PRIORITY) else { return Ok(Priority::DEFAULT) };
    match value.as_bytes().trim_ascii() {
        b"interactive" => Ok(Priority::DEFAULT),
        b"bulk" => Ok(Priority::BULK),
        number => match std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()) {
            Some(number @ 1..) => Ok(Priority(number)),
            _ => {
                let value = String::from_utf8_lossy(value.as_bytes());
                let value = Shown(&value);
                let message = format!(
                    "x-priority is `{value}`: it is `interactive`, `bulk`, or a number from 1, the most urgent, on; 100 is the default"
                );
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn of(value: &'static [u8]) -> Result<Priority, Error> {
        asked(&HeaderMap::from_iter([(PRIORITY, HeaderValue::from_bytes(value).expect("a header"))]))
    }

    #[test]
    fn a_word_or_a_number_says_it() {
        assert_eq!(asked(&HeaderMap::new()), Ok(Priority::DEFAULT));
        assert_eq!(of(b"interactive"), Ok(Priority::DEFAULT));
        assert_eq!(of(b"bulk"), Ok(Priority::BULK));
        assert_eq!(of(b" 1 "), Ok(Priority(1)));
        assert_eq!(of(b"4294967295"), Ok(Priority(u32::MAX)));
    }

    #[test]
    fn anything_else_is_refused_with_what_there_is() {
        for value in [&b""[..], b"0", b"-1", b"4294967296", b"urgent", b"1.5", b"\xff"] {
            let error = of(value).expect_err("no priority");
            assert!(error.message.contains("`interactive`, `bulk`"), "{}", error.message);
        }
    }
}
