//! `:load`, `:unload` and `:label`: what operators ask, at the management address only.

use std::sync::Arc;

use axum::{extract::Request, http::StatusCode, response::Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{models, path::ModelPath};
use crate::{
    server::http::{body, call::HttpCall, door::HttpDoor, error::Failure, object::JsonObject, reply},
    service::{Error, ErrorKind, LabelTarget, Shown},
};

/// Where a label is to point.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LabelRequest)]
pub(super) struct LabelBody {
    /// Its name.
    label: String,
    /// A version that is served.
    version: Option<u64>,
    /// Another label, which points there now. Neither this nor `version`: the label is taken away.
    same_as: Option<String>,
}

/// Where a label points from now on.
#[derive(Serialize, ToSchema)]
#[schema(as = LabelAnswer)]
pub(super) struct LabelDocument<'a> {
    name: &'a str,
    label: &'a str,
    /// `null` where it was taken away.
    version: Option<u64>,
}

/// A model that is served no more.
#[derive(Serialize, ToSchema)]
#[schema(as = UnloadAnswer)]
pub(super) struct UnloadDocument<'a> {
    name: &'a str,
    unloaded: bool,
}

/// `POST …:load`: serves what is in the model's folder now; answered once it does, with its status.
pub(super) async fn load(door: &Arc<HttpDoor>, call: &HttpCall, path: &ModelPath) -> Result<Response, Failure> {
    let name = path.model()?;
    call.manager(door)?.load(name).await?;
    models::status(door, path)
}

/// `POST …:unload`.
pub(super) async fn unload(door: &Arc<HttpDoor>, call: &HttpCall, path: &ModelPath) -> Result<Response, Failure> {
    let name = path.model()?;
    call.manager(door)?.unload(name).await?;
    Ok(reply::json(StatusCode::OK, &UnloadDocument { name, unloaded: true }, 128))
}

/// `POST …:label`.
pub(super) async fn label(
    door: &Arc<HttpDoor>,
    call: &HttpCall,
    path: &ModelPath,
    request: Request,
) -> Result<Response, Failure> {
    let manager = call.manager(door)?;
    let name = path.model()?;
    let (head, incoming) = request.into_parts();
    let charge = call.open_charge(door.service())?;
    let body = body::read_unpacked(door, &head.headers, incoming, call, &charge).await?;
    let refused = |message: String| Error::new(ErrorKind::InvalidArgument, message);
    let JsonObject(LabelBody { label, version, same_as }) = serde_json::from_slice(&body).map_err(|error| {
        let error = error.to_string();
        refused(format!("the JSON cannot be read: {}; send {{\"label\": \"stable\", \"version\": 3}}", Shown(&error)))
    })?;
    let target = match (version, same_as) {
        (Some(_), Some(_)) => return Err(refused("version and same_as exclude each other: send one".to_owned()).into()),
        (Some(version), None) => LabelTarget::Version(version),
        (None, Some(other)) => LabelTarget::SameAs(other),
        (None, None) => LabelTarget::Nothing,
    };
    let version = manager.label(name, &label, target).await?;
    Ok(reply::json(StatusCode::OK, &LabelDocument { name, label: &label, version }, 128))
}
