//! The server itself: what it speaks, whether it lives and is ready.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::server::{
    http::{door::HttpDoor, error::Failure, health, reply},
    v2,
};

/// What the server is.
#[derive(Serialize, ToSchema)]
pub(super) struct ServerMetadata {
    name: &'static str,
    version: &'static str,
    /// What is spoken beyond the protocol's core, by Triton's names.
    extensions: &'static [&'static str],
}

#[derive(Serialize, ToSchema)]
pub(super) struct Live {
    live: bool,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Ready {
    ready: bool,
}

/// `GET /v2`.
pub(super) async fn metadata() -> Response {
    let metadata = ServerMetadata { name: v2::NAME, version: v2::VERSION, extensions: &v2::EXTENSIONS };
    reply::json(StatusCode::OK, &metadata, 256)
}

/// `GET /v2/health/live`: the process answers, so it lives.
pub(super) async fn live() -> Response {
    reply::json(StatusCode::OK, &Live { live: true }, 32)
}

/// `GET /v2/health/ready`: 200 while models answer and the process means to stay.
pub(super) async fn ready(State(door): State<Arc<HttpDoor>>) -> Result<Response, Failure> {
    health::check(door.service().readiness())?;
    Ok(reply::json(StatusCode::OK, &Ready { ready: true }, 32))
}
