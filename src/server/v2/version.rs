//! A version as the protocol has it: a text, which is empty where none is meant.

use crate::service::{Error, ErrorKind, Shown};

/// The number in `text`; `None` where it is empty.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no positive integer.
pub(in crate::server) fn pick(text: &str) -> Result<Option<u64>, Error> {
    if text.is_empty() {
        return Ok(None);
    }
    match text.parse() {
        Ok(number) if number > 0 => Ok(Some(number)),
        _ => {
            let message = format!("`{}` is no version: a version is a positive integer", Shown(text));
            Err(Error::new(ErrorKind::InvalidArgument, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_positive_integers() {
        assert_eq!((pick(""), pick("3")), (Ok(None), Ok(Some(3))));
        for text in ["0", "-1", "one", "1.5", " 1", "99999999999999999999"] {
            assert!(pick(text).is_err(), "{text}");
        }
    }
}
