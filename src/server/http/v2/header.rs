//! The header that says where the JSON of a body ends and its binary data begin.

use axum::http::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

use crate::service::{Error, ErrorKind, Shown};

/// How many bytes of the body are JSON; binary data are behind them.
pub(super) const HEADER_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The length of the JSON, where the request says it.
///
/// # Errors
/// `INVALID_ARGUMENT` for what is no length, and for several.
pub(super) fn json_length(headers: &HeaderMap) -> Result<Option<usize>, Error> {
    let mut values = headers.get_all(HEADER_LENGTH).iter().map(HeaderValue::as_bytes);
    let (value, None) = (values.next(), values.next()) else {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("the request has several {HEADER_LENGTH}: send one"),
        ));
    };
    let Some(value) = value else { return Ok(None) };
    let text = String::from_utf8_lossy(value);
    text.parse().map(Some).map_err(|_| {
        let text = Shown(&text);
        Error::new(
            ErrorKind::InvalidArgument,
            format!("{HEADER_LENGTH} is `{text}`: it must be the length of the JSON in bytes"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_of_the_json_is_one_whole_number() {
        let of = |values: &[&str]| {
            let headers = values.iter().map(|value| (HEADER_LENGTH, value.parse().expect("a value")));
            json_length(&headers.collect::<Vec<_>>().into_iter().fold(
                HeaderMap::new(),
                |mut headers, (name, value)| {
                    headers.append(name, value);
                    headers
                },
            ))
        };
        assert_eq!((of(&[]), of(&["0"]), of(&["217"])), (Ok(None), Ok(Some(0)), Ok(Some(217))));
        for values in [&["-1"][..], &["1.5"], &[""], &["many"], &["99999999999999999999"], &["7", "7"]] {
            assert!(of(values).is_err(), "{values:?}");
        }
    }
}
