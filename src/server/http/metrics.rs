//! `GET /metrics` for Prometheus, and the measure of a request to classify.

use std::time::Instant;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Response,
    header::{CONTENT_TYPE, HeaderValue},
};

use super::{Answer, Door, error::Failure, router::Target};
use crate::telemetry::Protocol;

/// Prometheus' text format, which OpenMetrics is not quite.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /metrics`: everything, at once.
pub(super) fn scrape(door: &Door) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from(door.service().metrics_text())));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT_FORMAT));
    answer
}

/// Counts a request to classify while `answer` is under way, and by its outcome.
pub(super) async fn measured(
    door: &Door,
    target: Target<'_>,
    arrived: Instant,
    answer: impl Future<Output = Result<Answer, Failure>>,
) -> Result<Answer, Failure> {
    // What is no name belongs to no model, and what is no number to no version, as 0 does; the handler says what is wrong.
    let (model, version) = (target.model().unwrap_or_default(), target.number().unwrap_or(Some(0)));
    let meter = door.service().measure(Protocol::Http, &model, version, arrived);
    let outcome = answer.await;
    meter.finish(outcome.as_ref().err().map(Failure::code));
    outcome
}
