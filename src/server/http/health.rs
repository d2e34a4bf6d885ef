//! The probes: is the process alive, and may traffic come.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use serde_json::json;

use super::{door::HttpDoor, error::Failure, reply};
use crate::service::{Error, ErrorKind, Readiness};

/// `GET /livez`: the process answers, so it lives.
pub(super) async fn live() -> Response {
    reply::json(StatusCode::OK, &json!({ "status": "live" }), 32)
}

/// `GET /readyz`: 200 while models answer and the process means to stay.
pub(super) async fn ready(State(door): State<Arc<HttpDoor>>) -> Result<Response, Failure> {
    check(door.service().readiness())?;
    Ok(reply::json(StatusCode::OK, &json!({ "status": "ready" }), 32))
}

/// Why traffic should not come.
pub(super) fn check(readiness: Readiness) -> Result<(), Failure> {
    let message = match readiness {
        Readiness::Ready => return Ok(()),
        Readiness::Loading => "loading: the models are not warmed up yet",
        Readiness::Broken => "broken: no model answers any more, and the log says why; restart this server",
        Readiness::Draining => "draining: this server is about to stop, use another one",
    };
    Err(Error::new(ErrorKind::Unavailable, message).retry_after(Duration::from_secs(1)).into())
}
