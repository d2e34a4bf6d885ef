//! What can be known of a model: whether it is ready, its tensors, its configuration.

use std::sync::Arc;

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::path::NamedVersion;
use crate::{
    server::{
        http::{door::HttpDoor, error::Failure, health, reply},
        v2::{ModelConfig, ModelMetadata},
    },
    service::{Error, Readiness, Target},
};

/// Whether a model answers.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelReady<'a> {
    name: &'a str,
    ready: bool,
}

/// `GET /v2/models/{model}[/versions/{version}]`.
pub(super) async fn metadata(State(door): State<Arc<HttpDoor>>, path: NamedVersion) -> Result<Response, Failure> {
    let target = target(&door, &path)?;
    Ok(reply::json(StatusCode::OK, &ModelMetadata::of(door.service(), &target)?, 1024))
}

/// `GET …/ready`: 200 where it answers, if need be once it was loaded, and the process means to stay.
pub(super) async fn ready(State(door): State<Arc<HttpDoor>>, path: NamedVersion) -> Result<Response, Failure> {
    let name = door.service().answers(path.model()?, path.version()?)?;
    if door.service().readiness() == Readiness::Draining {
        health::check(Readiness::Draining)?;
    }
    Ok(reply::json(StatusCode::OK, &ModelReady { name: &name, ready: true }, 64))
}

/// `GET …/config`.
pub(super) async fn config(State(door): State<Arc<HttpDoor>>, path: NamedVersion) -> Result<Response, Failure> {
    let target = target(&door, &path)?;
    Ok(reply::json(StatusCode::OK, &ModelConfig::of(&target), 1024))
}

fn target(door: &HttpDoor, path: &NamedVersion) -> Result<Target, Error> {
    door.service().target(path.model()?, path.version()?)
}
