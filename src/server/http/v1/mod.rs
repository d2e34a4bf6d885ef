//! `/v1`: our own routes, in the URL grammar of TensorFlow Serving and KServe.

mod accept;
mod architecture;
mod asked;
mod asked_classes;
mod classify;
mod description;
mod explain;
mod explained;
mod form;
mod images;
mod json;
mod manage;
mod models;
mod names;
mod options;
mod path;
mod predict;
mod priority;
mod rows;
mod several;
mod shape;
mod tensor;
mod tfserving;
mod upload;
mod verb;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE},
    response::Response,
};
use bytes::Bytes;

use super::{
    call::HttpCall, description::ModelInPath, door::HttpDoor, error::Failure, nearest::nowhere, route::Routes,
};
use crate::{
    server::threads::Threads,
    service::{Error, ErrorKind, Service, Shown},
};
use options::RequestOptions;
use verb::Verb;

pub(super) use classify::classify;
pub(super) use description::{alive_described, gives_classes, takes_pictures};
pub use explained::{explained_as_json, explained_as_png};
pub(super) use models::alive;
pub(super) use path::ModelPath;
pub use predict::take_prediction_apart;
pub(super) use shape::{AnswerShape, TorchServeDocument};

/// The routes of `/v1`. A verb stands behind the last name, `{model}:classify`, where the router cannot see it.
pub(super) fn routes() -> Routes {
    let mut routes = Routes::default().get("/v1/models", models::list, description::list());
    for place in [ModelInPath::Model, ModelInPath::Version, ModelInPath::Label] {
        let path = format!("/v1/models/{}", place.path());
        let verbs = Verb::of(place).iter().map(|verb| (verb.name(), verb.described(place)));
        routes = routes
            .with_verbs(&path, named, description::status(place), verbs)
            .get(&format!("{path}/metadata"), models::metadata, description::metadata(place))
            .get(&format!("{path}/architecture.svg"), architecture::drawn, architecture::described(place));
        // Behind a label they would stand as `labels/{label}/labels`.
        if place != ModelInPath::Label {
            routes = routes.get(&format!("{path}/labels"), models::labels, description::labels(place));
        }
    }
    routes.of_another("/v1/models/{model},{other}:classify", description::classify_several())
}

/// What is behind a name depends on its verb: without one, the model's status.
async fn named(
    State(door): State<Arc<HttpDoor>>,
    method: Method,
    call: HttpCall,
    path: ModelPath,
    request: Request,
) -> Result<Response, Failure> {
    match (path.verb.as_deref().map(|verb| Verb::named(verb, path.place())), method) {
        (None, Method::GET | Method::HEAD) => models::status(&door, &path),
        (None, method) => Err(Failure::method(&method, Failure::GET)),
        (Some(None), _) => Err(nowhere(State(door), request.uri().clone()).await),
        (Some(Some(verb)), Method::POST) => match verb {
            Verb::Classify if several::are_meant(&door, &path) => several::classify(&door, &call, &path, request).await,
            Verb::Classify => classify(&door, &call, &path, request, AnswerShape::Classify).await,
            Verb::Predict => predict::predict(&door, &call, &path, request).await,
            Verb::Explain => explain::explain(&door, &call, &path, request).await,
            Verb::Regress => Err(no_regression(&path)?.into()),
            Verb::Load => manage::load(&door, &call, &path).await,
            Verb::Unload => manage::unload(&door, &call, &path).await,
            Verb::Label => manage::label(&door, &call, &path, request).await,
        },
        (Some(Some(_)), method) => Err(Failure::method(&method, Failure::POST)),
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
