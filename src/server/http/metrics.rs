//! `GET /metrics` for Prometheus.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::header::{CONTENT_TYPE, HeaderValue},
    response::Response,
};

use super::{
    description::{Described, Tag, content, text},
    door::HttpDoor,
};

/// Prometheus' text format, which OpenMetrics is not quite.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything, at once.
pub(super) async fn scrape(State(door): State<Arc<HttpDoor>>) -> Response {
    let mut answer = Response::new(Body::from(door.service().metrics_text()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    answer
}

pub(super) fn described() -> Described {
    let example = "# HELP resnetd_in_flight_requests Requests that are being worked on.\n# TYPE resnetd_in_flight_requests gauge\nresnetd_in_flight_requests 0\n";
    let text = content(text("Families and samples.")).example(Some(example.into())).build();
    Described::new(
        Tag::Server,
        "metrics",
        "Metrics for Prometheus",
        "Text format 0.0.4. `resnetd_load_ratio` is the signal to scale on: 0 idle, 1 saturated.",
    )
    .answers_with("All metrics at this moment.", [("text/plain", text)], &[])
}
