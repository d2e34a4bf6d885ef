//! The `content-encoding` of a body: which coding, or why it is not read.

use axum::http::{HeaderMap, header::CONTENT_ENCODING};

use super::error::Failure;
use crate::server::coding::Coding;

/// How a body with these headers is packed; `None` where it comes as it is.
///
/// # Errors
/// `UNSUPPORTED_FORMAT` for a coding that is not read, and for several, one around the other.
pub(super) fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Failure> {
    let mut found = None;
    for value in headers.get_all(CONTENT_ENCODING) {
        let text = String::from_utf8_lossy(value.as_bytes());
        for name in text.split(',').map(str::trim) {
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            let coding = Coding::named(name).ok_or_else(|| Failure::encoding(name))?;
            if found.replace(coding).is_some() {
                return Err(Failure::encoding(&text));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Option<Option<Coding>> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(CONTENT_ENCODING, value.parse().expect("a value"));
        }
        coding(&headers).ok()
    }

    #[test]
    fn one_coding_is_read_in_any_case_and_beside_none() {
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&["identity"]), Some(None));
        assert_eq!(of(&["", "Identity , ,"]), Some(None));
        assert_eq!(of(&["GZIP"]), Some(Some(Coding::Gzip)));
        assert_eq!(of(&["identity, zstd"]), Some(Some(Coding::Zstd)));
    }

    #[test]
    fn what_is_not_read_is_refused() {
        for values in [&["x"][..], &["compress"], &["gzip, gzip"], &["gzip", "br"], &["gzip;q=1"]] {
            assert_eq!(of(values), None, "{values:?}");
        }
    }
}
