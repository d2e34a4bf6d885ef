//! The probes: is the process alive, and may traffic come.

use std::{sync::Arc, time::Duration};

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::{
    description::{Described, RefusalStatus, Tag},
    door::HttpDoor,
    error::Failure,
    reply,
};
use crate::service::{Error, ErrorKind, Readiness};

/// How the server is.
#[derive(Serialize, ToSchema)]
#[schema(as = Status)]
pub(super) struct StatusDocument {
    /// One word: `live`, `ready` or `alive`, by the route.
    pub(super) status: &'static str,
}

/// `GET /livez`: the process answers, so it lives.
pub(super) async fn live() -> Response {
    reply::json(StatusCode::OK, &StatusDocument { status: "live" }, 32)
}

pub(super) fn live_described() -> Described {
    Described::new(
        Tag::Server,
        "live",
        "Does the process live",
        "For a liveness probe: 200 as long as the process answers at all, also while models load and while it drains.",
    )
    .answers::<StatusDocument>("It lives.", json!({ "status": "live" }))
}

/// `GET /readyz`: 200 while models answer and the process means to stay.
pub(super) async fn ready(State(door): State<Arc<HttpDoor>>) -> Result<Response, Failure> {
    check(door.service().readiness())?;
    Ok(reply::json(StatusCode::OK, &StatusDocument { status: "ready" }, 32))
}

pub(super) fn ready_described() -> Described {
    Described::new(
        Tag::Server,
        "ready",
        "May traffic come",
        "For a readiness probe and for load balancers: 200 once the models are warmed up, 503 before that and from the stop \
         signal on. After the stop signal requests are still answered for `[server] drain_delay_ms`.",
    )
    .answers::<StatusDocument>("Send requests.", json!({ "status": "ready" }))
    .refuses_because(RefusalStatus::Unavailable, "Models are loading, none answers any more, or the server is about to stop.")
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
