//! The server itself: what it speaks, whether it lives and is ready, and what its repository holds.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    server::{
        http::{body, call::HttpCall, door::HttpDoor, error::Failure, health, object::JsonObject, reply},
        v2,
    },
    service::{Error, ErrorKind, Shown},
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

/// Which versions are wanted.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RepositoryIndexRequest)]
pub(super) struct IndexRequest {
    /// Those that answer, and no others.
    ready: Option<bool>,
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

/// `POST /v2/repository/index`: every version of every model; with `{"ready": true}` those that answer.
pub(super) async fn index(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    request: Request,
) -> Result<Response, Failure> {
    let (head, incoming) = request.into_parts();
    let charge = call.open_charge(door.service())?;
    let body = body::read_unpacked(&door, &head.headers, incoming, &call, &charge).await?;
    let request = match body.iter().all(u8::is_ascii_whitespace) {
        true => IndexRequest::default(),
        false => {
            let read = serde_json::from_slice::<JsonObject<IndexRequest>>(&body).map_err(|error| {
                let error = error.to_string();
                let message =
                    format!("the JSON cannot be read: {}; send {{\"ready\": true}} or nothing", Shown(&error));
                Error::new(ErrorKind::InvalidArgument, message)
            });
            read?.0
        }
    };
    let index = v2::index(door.service(), request.ready.unwrap_or(false));
    Ok(reply::json(StatusCode::OK, &index, 16 + 128 * index.len()))
}
