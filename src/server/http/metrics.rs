//! `GET /metrics` for Prometheus.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue},
    response::Response,
};

use super::{
    description::{Described, Tag, content, text},
    door::HttpDoor,
};

/// Prometheus' text format, which OpenMetrics is not quite.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What Prometheus asks for first, and all that has exemplars.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything, at once.
pub(super) async fn scrape(State(door): State<Arc<HttpDoor>>, headers: HeaderMap) -> Response {
    let (text, format) = match wants_open_metrics(&headers) {
        true => (door.service().open_metrics_text(), OPEN_METRICS),
        false => (door.service().metrics_text(), TEXT_FORMAT),
    };
    let mut answer = Response::new(Body::from(text));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format));
    answer
}

/// Whether a scraper likes OpenMetrics at least as much as plain text. Whoever does not name it gets plain text.
fn wants_open_metrics(headers: &HeaderMap) -> bool {
    let listed = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let (mut open, mut plain) = (0.0_f32, 0.0_f32);
    for entry in listed.flat_map(|list| list.split(',')) {
        let mut parts = entry.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let weight = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok()).unwrap_or(1.0);
        if name.eq_ignore_ascii_case("application/openmetrics-text") {
            open = open.max(weight);
        } else if name.eq_ignore_ascii_case("text/plain") {
            plain = plain.max(weight);
        }
    }
    open > 0.0 && open >= plain
}

pub(super) fn described() -> Described {
    let example = "# HELP resnetd_in_flight_requests Requests that are being worked on.\n# TYPE resnetd_in_flight_requests gauge\nresnetd_in_flight_requests 0\n";
    let plain = content(text("Families and samples.")).example(Some(example.into())).build();
    let open = content(text("The same as OpenMetrics, with exemplars.")).build();
    Described::new(
        Tag::Server,
        "metrics",
        "Metrics for Prometheus",
        "Text format 0.0.4, or OpenMetrics where `Accept` names it. `resnetd_load_ratio` is the signal to scale on: 0 idle, 1 saturated.",
    )
    .answers_with("All metrics at this moment.", [("text/plain", plain), ("application/openmetrics-text", open)], &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_metrics_is_for_whom_names_it() {
        let wants = |accept: &'static str| {
            wants_open_metrics(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]))
        };
        // As Prometheus 2.42 asks.
        assert!(wants(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
        assert!(!wants("text/plain, application/openmetrics-text;q=0.5"));
        assert!(!wants("*/*"));
        assert!(!wants("application/openmetrics-text;q=0"));
        assert!(!wants_open_metrics(&HeaderMap::new()));
    }
}
