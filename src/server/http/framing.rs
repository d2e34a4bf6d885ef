//! What HTTP asks of a request's head and hyper does not look at: where a proxy and we could see two requests in one.

use axum::http::{
    Request, Version,
    header::{HOST, TRANSFER_ENCODING},
};

use crate::service::{Error, ErrorKind, Shown};

/// Refuses a head without a `host` (RFC 9112, 3.2) or with two, and a body in another transfer coding than `chunked` (6.1):
/// hyper would pass on what the last of them wraps.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), Error> {
    let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    let headers = request.headers();
    match headers.get_all(HOST).iter().count() {
        1 => {}
        // HTTP/1.0 knows none, HTTP/2 has `:authority`.
        0 if request.version() != Version::HTTP_11 => {}
        0 => return refuse("the request has no `host` header, which HTTP/1.1 asks for: send one".to_owned()),
        hosts => return refuse(format!("the request has {hosts} `host` headers: send one")),
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter().map(|value| String::from_utf8_lossy(value.as_bytes()));
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.trim().eq_ignore_ascii_case("chunked") => Ok(()),
        (Some(coding), None) => {
            let coding = Shown(&coding);
            refuse(format!(
                "transfer-encoding `{coding}` is not read: send `chunked`, and say in content-encoding how it is packed"
            ))
        }
        (Some(_), Some(_)) => refuse("the request has several `transfer-encoding` headers: send one".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(version: Version, headers: &[(&str, &str)]) -> bool {
        let mut request = Request::builder().version(version);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).expect("a request")).is_err()
    }

    #[test]
    fn http_1_1_has_one_host() {
        assert!(refused(Version::HTTP_11, &[]));
        assert!(refused(Version::HTTP_11, &[("host", "a"), ("host", "a")]));
        assert!(refused(Version::HTTP_10, &[("host", "a"), ("host", "b")]));
        assert!(!refused(Version::HTTP_11, &[("host", "")]));
        assert!(!refused(Version::HTTP_10, &[]));
        assert!(!refused(Version::HTTP_2, &[]));
    }

    #[test]
    fn a_body_is_chunked_or_has_a_length() {
        for coding in ["gzip, chunked", "chunked, chunked", "identity", "chunked;a=b", ""] {
            assert!(refused(Version::HTTP_11, &[("host", "a"), ("transfer-encoding", coding)]), "{coding}");
        }
        assert!(refused(
            Version::HTTP_11,
            &[("host", "a"), ("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")]
        ));
        assert!(!refused(Version::HTTP_11, &[("host", "a"), ("transfer-encoding", "Chunked")]));
    }
}
