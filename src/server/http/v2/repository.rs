//! Triton's model repository: its index, and at the management address loads and unloads.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    body::Body,
    extract::{Request, State},
    http::StatusCode,
    response::Response,
};
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::path::NamedVersion;
use crate::{
    server::{
        http::{body, call::HttpCall, door::HttpDoor, error::Failure, object::JsonObject, reply},
        v2,
    },
    service::{Error, ErrorKind, Shown},
};

/// Which versions are wanted.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RepositoryIndexRequest)]
pub(super) struct IndexRequest {
    /// Those that answer, and no others.
    ready: Option<bool>,
}

/// How a model is to be loaded or unloaded.
#[derive(Default, Deserialize, ToSchema)]
#[schema(as = RepositoryModelRequest)]
pub(super) struct ModelRequest {
    /// `unload_dependents` changes nothing; `config` and files are not taken.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    parameters: BTreeMap<String, Box<RawValue>>,
}

/// `POST /v2/repository/index`: every version of every model; with `{"ready": true}` those that answer.
pub(super) async fn index(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    request: Request,
) -> Result<Response, Failure> {
    let request = read::<IndexRequest>(&door, &call, request, "send {\"ready\": true} or nothing").await?;
    let index = v2::index(door.service(), request.ready.unwrap_or(false));
    Ok(reply::json(StatusCode::OK, &index, 16 + 128 * index.len()))
}

/// `POST /v2/repository/models/{model}/load`: answered, without a body, once it is served.
pub(super) async fn load(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    path: NamedVersion,
    request: Request,
) -> Result<Response, Failure> {
    let manager = call.manager(&door)?;
    check_parameters(&door, &call, request).await?;
    manager.load(path.model()?).await?;
    Ok(Response::new(Body::empty()))
}

/// `POST /v2/repository/models/{model}/unload`: the same, once it is served no more.
pub(super) async fn unload(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    path: NamedVersion,
    request: Request,
) -> Result<Response, Failure> {
    let manager = call.manager(&door)?;
    check_parameters(&door, &call, request).await?;
    manager.unload(path.model()?).await?;
    Ok(Response::new(Body::empty()))
}

async fn check_parameters(door: &HttpDoor, call: &HttpCall, request: Request) -> Result<(), Failure> {
    let request = read::<ModelRequest>(door, call, request, "send {\"parameters\": {}} or nothing").await?;
    v2::check_load(request.parameters.keys().map(String::as_str)).map_err(Failure::unimplemented)
}

/// The JSON of a request; the default where there is no body.
async fn read<T: Default + for<'d> Deserialize<'d>>(
    door: &HttpDoor,
    call: &HttpCall,
    request: Request,
    remedy: &str,
) -> Result<T, Failure> {
    let (head, incoming) = request.into_parts();
    let charge = call.open_charge(door.service())?;
    let body: Bytes = body::read_unpacked(door, &head.headers, incoming, call, &charge).await?;
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    let read = serde_json::from_slice::<JsonObject<T>>(&body).map_err(|error| {
        let error = error.to_string();
        Error::new(ErrorKind::InvalidArgument, format!("the JSON cannot be read: {}; {remedy}", Shown(&error)))
    });
    Ok(read?.0)
}
