//! Names for requests: what the client sent as `x-request-id`, or one made here. Both doors return it and log it.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use hyper::{
    Request,
    header::{HeaderName, HeaderValue},
};
use tower_http::request_id;

/// The header, and the gRPC metadata key, that carries a request's name.
pub(super) const REQUEST_ID: &str = "x-request-id";

/// The same for those that want a header's name.
pub(super) const REQUEST_ID_NAME: HeaderName = HeaderName::from_static(REQUEST_ID);

/// Longer names of a client's choice are replaced: they go into every line of the log.
const MAX_LEN: usize = 128;

/// A request's name: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    /// The name as a header value; shares its memory.
    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// The name that a layer took or made.
    pub(super) fn from_header(named: Option<HeaderValue>) -> Self {
        Self(named.unwrap_or_else(|| HeaderValue::from_static("-")))
    }

    /// The name as text.
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Makes names that no other process makes: 64 random bits, then a counter. No system call per request.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        Self { process: uuid::Uuid::new_v4().as_u64_pair().1, next: AtomicU64::new(1) }
    }

    /// The client's name for the request, or a new one where it sent none or a malformed one.
    pub(super) fn take_or_make(&self, sent: Option<&HeaderValue>) -> RequestId {
        match sent {
            Some(value) if is_valid(value.as_bytes()) => RequestId(value.clone()),
            _ => RequestId(self.make()),
        }
    }

    fn make(&self) -> HeaderValue {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let name =
            hex(self.process).into_iter().chain([b'-']).chain(hex(count).into_iter().skip(4)).collect::<Vec<u8>>();
        HeaderValue::try_from(name).unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

/// Makes names for tower-http's layer.
#[derive(Clone)]
pub(super) struct MakeId(pub(super) Arc<RequestIds>);

impl request_id::MakeRequestId for MakeId {
    fn make_request_id<B>(&mut self, _: &Request<B>) -> Option<request_id::RequestId> {
        Some(request_id::RequestId::new(self.0.make()))
    }
}

/// Takes away a name that would spoil the log, so that the request gets another.
pub(super) fn forget_malformed<B>(mut request: Request<B>) -> Request<B> {
    if request.headers().get(REQUEST_ID_NAME).is_some_and(|name| !is_valid(name.as_bytes())) {
        request.headers_mut().remove(REQUEST_ID_NAME);
    }
    request
}

fn is_valid(name: &[u8]) -> bool {
    (1..=MAX_LEN).contains(&name.len()) && name.iter().all(u8::is_ascii_graphic)
}

fn hex(value: u64) -> [u8; 16] {
    std::array::from_fn(|at| b"0123456789abcdef"[(value >> (60 - 4 * at)) as usize & 15])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_names_are_valid_and_differ() {
        let ids = RequestIds::new();
        let names: Vec<_> = (0..3).map(|_| ids.take_or_make(None)).collect();
        assert!(names.iter().all(|name| is_valid(name.as_str().as_bytes())));
        assert_ne!(names[0].as_str(), names[1].as_str());
        assert_ne!(
            RequestIds::new().take_or_make(None).as_str(),
            names[0].as_str(),
            "two processes make different names"
        );
    }

    #[test]
    fn the_clients_name_is_kept_unless_it_would_spoil_the_log() {
        let ids = RequestIds::new();
        let kept = |sent: &str| ids.take_or_make(HeaderValue::try_from(sent).ok().as_ref()).as_str() == sent;
        assert!(kept("order-7"));
        assert!(kept(&"a".repeat(128)));
        assert!(!kept(&"a".repeat(129)));
        assert!(!kept(""));
        assert!(!kept("two words"));
    }
}
