//! The one table from the service's kinds of error to what goes over the wire, and when to try again, for both doors.

use std::time::Duration;

use hyper::StatusCode;
use tonic::Code;

use crate::service::{Error, ErrorKind};

/// An error kind's HTTP status, gRPC code and name.
pub(super) fn wire_status(kind: ErrorKind) -> (StatusCode, Code, &'static str) {
    use {Code as G, ErrorKind as K, StatusCode as H};
    match kind {
        K::InvalidArgument => (H::BAD_REQUEST, G::InvalidArgument, "INVALID_ARGUMENT"),
        K::UnsupportedFormat => (H::UNSUPPORTED_MEDIA_TYPE, G::InvalidArgument, "UNSUPPORTED_FORMAT"),
        K::TooLarge => (H::PAYLOAD_TOO_LARGE, G::ResourceExhausted, "TOO_LARGE"),
        K::NotFound => (H::NOT_FOUND, G::NotFound, "NOT_FOUND"),
        K::Overloaded => (H::TOO_MANY_REQUESTS, G::ResourceExhausted, "OVERLOADED"),
        K::DeadlineExceeded => (H::GATEWAY_TIMEOUT, G::DeadlineExceeded, "DEADLINE_EXCEEDED"),
        K::Unavailable => (H::SERVICE_UNAVAILABLE, G::Unavailable, "UNAVAILABLE"),
        K::Unauthenticated => (H::UNAUTHORIZED, G::Unauthenticated, "UNAUTHENTICATED"),
        K::PermissionDenied => (H::FORBIDDEN, G::PermissionDenied, "PERMISSION_DENIED"),
        K::LimitReached => (H::TOO_MANY_REQUESTS, G::ResourceExhausted, "RESOURCE_EXHAUSTED"),
        K::Internal => (H::INTERNAL_SERVER_ERROR, G::Internal, "INTERNAL"),
    }
}

/// When trying again makes sense, where it does: whole seconds, at least one, since 0 would ask for a storm.
pub(super) fn retry_after(error: &Error) -> Option<Duration> {
    let retries = matches!(error.kind, ErrorKind::Overloaded | ErrorKind::LimitReached | ErrorKind::Unavailable);
    let seconds = error.retry_after.unwrap_or_default().as_secs_f64().ceil().max(1.0) as u64;
    retries.then(|| Duration::from_secs(seconds))
}
