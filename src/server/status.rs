//! The one table from the service's kinds of error to what goes over the wire, for both doors.

use hyper::StatusCode;
use tonic::Code;

use crate::service::ErrorKind;

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
        K::Internal => (H::INTERNAL_SERVER_ERROR, G::Internal, "INTERNAL"),
    }
}
