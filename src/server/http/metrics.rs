//! `GET /metrics` for Prometheus.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::header::{CONTENT_TYPE, HeaderValue},
    response::Response,
};

use super::door::HttpDoor;

/// Prometheus' text format, which OpenMetrics is not quite.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Everything, at once.
pub(super) async fn scrape(State(door): State<Arc<HttpDoor>>) -> Response {
    let mut answer = Response::new(Body::from(door.service().metrics_text()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    answer
}
