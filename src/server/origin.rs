//! Whether a page in somebody's browser may ask the management address. It has no cookies to steal, but it is reached by whoever sits at an
//! operator's browser: any page can send a POST there without a preflight, and by a name that it lets point to 127.0.0.1 read the answer too.
//!
//! A browser says in `origin` where a page comes from, in every POST; programs say nothing. That the host is the same proves nothing.

use hyper::{HeaderMap, Method, header::ORIGIN};

use crate::service::{Error, ErrorKind, Shown};

/// * `allowed`: origins whose pages may; `*` is not one of them
///
/// # Errors
/// `INVALID_ARGUMENT`, for what is not only looked at and comes from another page.
pub(super) fn check(method: &Method, headers: &HeaderMap, allowed: &[String]) -> Result<(), Error> {
    if method.is_safe() {
        return Ok(());
    }
    let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
    if allowed.iter().any(|allowed| allowed != "*" && allowed.as_bytes() == origin.as_bytes()) {
        return Ok(());
    }
    let origin = String::from_utf8_lossy(origin.as_bytes());
    let message = format!(
        "a page of {:?} asks the management address, where a browser could be made to: leave `origin` out if this is no page, else name it in \
         [server] cors_origins",
        Shown(&origin)
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn may(method: &Method, origin: Option<&'static str>, allowed: &[&str]) -> bool {
        let headers = origin.map(|origin| (ORIGIN, HeaderValue::from_static(origin))).into_iter().collect();
        let allowed: Vec<String> = allowed.iter().map(|&origin| origin.to_owned()).collect();
        check(method, &headers, &allowed).is_ok()
    }

    #[test]
    fn programs_may_and_pages_only_look_unless_they_are_named() {
        let page = Some("http://localhost:8002");
        assert!(may(&Method::POST, None, &[]) && may(&Method::GET, page, &[]) && may(&Method::OPTIONS, page, &[]));
        assert!(!may(&Method::POST, page, &[]) && !may(&Method::DELETE, page, &["http://localhost"]));
        assert!(may(&Method::POST, page, &["https://ops.example.com", "http://localhost:8002"]));
        assert!(!may(&Method::POST, page, &["*"]) && !may(&Method::POST, Some("null"), &["*"]));
        // Not even where all may read: whoever means it names it.
        assert!(!may(&Method::POST, Some("*"), &["*"]));
    }
}
