//! The probes: is the process alive, and may traffic come.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;

use super::{Answer, Door, error::Failure, json_answer};
use crate::service::{Error, ErrorKind, Readiness};

/// `GET /livez`: the process answers, so it lives.
pub(super) fn live() -> Answer {
    json_answer(StatusCode::OK, &json!({ "status": "live" }), 32)
}

/// `GET /readyz`: 200 while models answer and the process means to stay.
pub(super) fn ready(door: &Door) -> Result<Answer, Failure> {
    let message = match door.service().readiness() {
        Readiness::Ready => return Ok(json_answer(StatusCode::OK, &json!({ "status": "ready" }), 32)),
        Readiness::Loading => "loading: the models are not warmed up yet",
        Readiness::Draining => "draining: this server is about to stop, use another one",
    };
    Err(Error::new(ErrorKind::Unavailable, message).retry_after(Duration::from_secs(1)).into())
}
