//! The span of a request at a door: what both doors say of it, and what they tell the caller of its trace.

use std::time::Instant;

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

use super::shared::DoorOptions;
use crate::telemetry::{OpenSpan, TraceParent};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Where an answer says which span is its own, so that the caller can ask for it: W3C's draft of the way back.
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// The caller's place in its trace, if it has one.
pub(super) fn parent(headers: &HeaderMap) -> Option<TraceParent> {
    headers.get(TRACEPARENT).and_then(|header| header.to_str().ok()).and_then(TraceParent::parse)
}

/// The span of a request, if it is recorded. Probes and scrapes are not: they come every few seconds and say nothing.
///
/// * `path`: of the URL, or the gRPC method
pub(super) fn begin(
    options: &DoorOptions,
    path: &str,
    headers: &HeaderMap,
    parent: Option<TraceParent>,
    arrived: Instant,
) -> Option<OpenSpan> {
    if is_probe(path) {
        return None;
    }
    options.tracer.begin(parent, || headers.get(TRACESTATE)?.to_str().ok(), arrived)
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics" | "/ping" | "/v2/health/live" | "/v2/health/ready")
        || path.starts_with("/grpc.")
}

/// Tells the caller where its request is recorded.
pub(super) fn tell(span: &OpenSpan, headers: &mut HeaderMap) {
    if let Ok(place) = HeaderValue::try_from(span.request().place().to_string()) {
        headers.insert(TRACERESPONSE, place);
    }
}

/// A request of HTTP has its answer.
///
/// * `route`: what is found at the path, and what that is called: a span's name is one of few, whatever clients ask for
/// * `refusal`: what the answer says, where it is one
pub(super) fn end_http(
    span: OpenSpan,
    method: &str,
    (path, route): (&str, Option<(&str, &str)>),
    status: u16,
    refusal: Option<&str>,
) {
    // A method may be any word.
    let known = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"].into_iter().find(|known| *known == method);
    let method = known.unwrap_or("HTTP");
    let name = route.map_or_else(|| method.to_owned(), |(_, name)| format!("{method} {name}"));
    let span = match route {
        Some((route, _)) => span.with("http.route", route.to_owned()),
        None => span,
    };
    let span = span
        .named(name)
        .with("http.request.method", known.unwrap_or("_OTHER"))
        .with("url.path", path.to_owned())
        .with("http.response.status_code", i64::from(status));
    end(span, status >= 500, refusal);
}

/// A call of gRPC has its answer.
///
/// * `code`: the number on the wire
pub(super) fn end_grpc(span: OpenSpan, is_known: bool, path: &str, code: i64, refusal: Option<&str>) {
    let method = path.trim_start_matches('/');
    let name = if is_known { method.to_owned() } else { "unknown method".to_owned() };
    let span = span.named(name).with("rpc.system", "grpc").with("rpc.method", method.to_owned());
    let span = span.with("rpc.grpc.status_code", code);
    // As OpenTelemetry has it for servers: UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS.
    end(span, matches!(code, 2 | 4 | 12 | 13 | 14 | 15), refusal);
}

fn end(span: OpenSpan, is_failure: bool, refusal: Option<&str>) {
    let refusal = refusal.filter(|refusal| !refusal.is_empty());
    if is_failure {
        return span.fail(refusal.unwrap_or("the request failed").to_owned());
    }
    match refusal {
        Some(refusal) => span.with("resnetd.refusal", refusal.to_owned()).end(),
        None => span.end(),
    }
}
