//! The header `Server-Timing` of an answer, which browsers and proxies read.

use std::fmt::Write as _;

use axum::{
    http::header::{HeaderName, HeaderValue},
    response::Response,
};

use crate::service::Timing;

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Tells in `answer` where the time went.
pub(super) fn tell(timing: &Timing, answer: &mut Response) {
    if let Some(value) = phases(timing) {
        answer.headers_mut().insert(SERVER_TIMING, value);
    }
}

fn phases(timing: &Timing) -> Option<HeaderValue> {
    let mut text = String::with_capacity(96);
    write!(
        text,
        "preprocess;dur={:.3}, queue;dur={:.3}, inference;dur={:.3}, total;dur={:.3}",
        timing.preprocess_ms, timing.queue_ms, timing.inference_ms, timing.total_ms
    )
    .ok()?;
    HeaderValue::try_from(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_is_told_in_milliseconds() {
        let timing = Timing { preprocess_ms: 2.9, queue_ms: 0.40049, inference_ms: 49.1, total_ms: 52.6 };
        let expected = "preprocess;dur=2.900, queue;dur=0.400, inference;dur=49.100, total;dur=52.600";
        assert_eq!(phases(&timing).expect("a header"), expected);
    }
}
