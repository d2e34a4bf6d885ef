//! `/v1`: our own routes, in the URL grammar of TensorFlow Serving and KServe.

mod accept;
mod asked;
mod classify;
mod form;
mod images;
mod json;
mod models;
mod options;
mod path;
mod predict;
mod priority;
mod rows;
mod shape;
mod tensor;
mod tfserving;
mod upload;

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE},
    response::Response,
    routing::{any, get},
};
use bytes::Bytes;

use super::{
    call::HttpCall,
    door::HttpDoor,
    error::Failure,
    nearest::nowhere,
    route::{Routes, read},
};
use crate::{
    server::threads::Threads,
    service::{Error, ErrorKind, Service, Shown},
};
use options::RequestOptions;

pub(super) use classify::classify;
pub(super) use path::ModelPath;
pub(super) use shape::AnswerShape;

/// The routes of `/v1`. A verb stands behind the last name, `{model}:classify`, where the router cannot see it.
pub(super) fn router() -> Router<Arc<HttpDoor>> {
    Routes::default()
        .route("/v1/models", read(get(models::list)))
        .route("/v1/models/{model}", any(named))
        .route("/v1/models/{model}/metadata", read(get(models::metadata)))
        .route("/v1/models/{model}/labels", read(get(models::labels)))
        .route("/v1/models/{model}/versions/{version}", any(named))
        .route("/v1/models/{model}/versions/{version}/metadata", read(get(models::metadata)))
        .route("/v1/models/{model}/versions/{version}/labels", read(get(models::labels)))
        .route("/v1/models/{model}/labels/{label}", any(named))
        .route("/v1/models/{model}/labels/{label}/metadata", read(get(models::metadata)))
        .into_router()
        .route("/", read(get(models::alive)))
}

/// What is behind a name depends on its verb: without one, the model's status.
async fn named(
    State(door): State<Arc<HttpDoor>>,
    method: Method,
    call: HttpCall,
    path: ModelPath,
    request: Request,
) -> Result<Response, Failure> {
    match (path.verb.as_deref(), method) {
        (None, Method::GET | Method::HEAD) => models::status(&door, &path),
        (None, method) => Err(Failure::method(&method, Failure::GET)),
        (Some("classify"), Method::POST) => classify(&door, &call, &path, request, AnswerShape::Classify).await,
        (Some("predict"), Method::POST) => predict::predict(&door, &call, &path, request).await,
        (Some("regress"), Method::POST) => Err(no_regression(&path)?.into()),
        (Some("classify" | "predict" | "regress"), method) => Err(Failure::method(&method, Failure::POST)),
        (Some(_), _) => Err(nowhere(request.uri().clone()).await),
    }
}

/// TensorFlow Serving has a third verb, for models that give one number.
fn no_regression(path: &ModelPath) -> Result<Error, Error> {
    let model = Shown(path.model()?);
    let message = format!("model `{model}` tells classes apart and has no regression: use `:classify` or `:predict`");
    Ok(Error::new(ErrorKind::InvalidArgument, message))
}

/// Takes a body apart as `:classify` does: how many images are in it, or why it is refused. For the fuzz targets, which have
/// no connection.
pub async fn take_apart(service: &Service, content_type: &str, body: Bytes) -> Result<usize, String> {
    let mut headers = HeaderMap::new();
    if let Ok(value) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, value);
    }
    let charge = service.open_charge().map_err(|error| error.message)?;
    let most = service.limits().max_images_per_request;
    let upload = form::parse(&headers, body, &mut RequestOptions::default(), most, &charge, &Threads::new()).await;
    upload.map(|upload| upload.images.len()).map_err(|bad| bad.into_error(None).message)
}
