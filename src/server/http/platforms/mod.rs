//! What hosting platforms and other servers' clients expect: thin routes over `:classify`, each off unless its dialect is on.
//!
//! SageMaker and TorchServe have fixed routes. Vertex AI's two are given by the platform, so they are looked at where no route of
//! ours was found: none can stand in another's way, and a predict route that is ours (`/v1/models/NAME:predict`) stays ours.

mod default_model;
mod description;

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, StatusCode},
    response::Response,
};

use super::{
    call::HttpCall,
    door::HttpDoor,
    error::Failure,
    health::{self, StatusDocument},
    nearest::nowhere,
    reply,
    route::Routes,
    v1::{AnswerShape, ModelPath, classify},
};
use crate::server::platforms::Platforms;

/// The routes of the dialects that are on.
pub(super) fn routes(platforms: &Platforms) -> Routes {
    let mut routes = Routes::default();
    if platforms.sagemaker || platforms.torchserve {
        routes = routes.get("/ping", ping, description::ping());
    }
    if platforms.sagemaker {
        routes = routes.post("/invocations", invocations, description::invocations());
    }
    if platforms.torchserve {
        // `curl -T`, as TorchServe's documentation has it, sends PUT.
        for (path, has_version) in [("/predictions/{model}", false), ("/predictions/{model}/{version}", true)] {
            let [post, put] = description::predictions(has_version);
            routes = routes.post_or_put(path, predictions, post, put);
        }
    }
    routes
}

/// What is on no route: Vertex AI's own, or nothing.
pub(super) async fn elsewhere(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    request: Request,
) -> Result<Response, Failure> {
    let path = request.uri().path();
    match &door.options().platforms.vertex {
        Some(vertex) if path == vertex.predict => match *request.method() {
            Method::POST => vertex_predict(&door, &call, request).await,
            ref other => Err(Failure::method(other, Failure::POST)),
        },
        Some(vertex) if path == vertex.health => match *request.method() {
            Method::GET | Method::HEAD => ping(State(door)).await,
            ref other => Err(Failure::method(other, Failure::GET)),
        },
        _ => Err(nowhere(State(door), request.uri().clone()).await),
    }
}

/// `GET /ping`: 200 while models answer and the process means to stay, in TorchServe's words. SageMaker looks at the status alone.
async fn ping(State(door): State<Arc<HttpDoor>>) -> Result<Response, Failure> {
    health::check(door.service().readiness())?;
    Ok(reply::json(StatusCode::OK, &StatusDocument { status: "Healthy" }, 32))
}

/// `POST /invocations`: SageMaker's, answered as `:classify` answers.
async fn invocations(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Failure> {
    let path = ModelPath::named(&default_model::of_invocation(&door, &headers)?);
    classify(&door, &call, &path, request, AnswerShape::Classify).await
}

/// `POST /predictions/{model}[/{version}]`: TorchServe's.
async fn predictions(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    path: ModelPath,
    request: Request,
) -> Result<Response, Failure> {
    if path.verb.is_some() {
        return Err(nowhere(State(door), request.uri().clone()).await);
    }
    classify(&door, &call, &path.with_torchserve_version(), request, AnswerShape::TorchServe).await
}

async fn vertex_predict(door: &Arc<HttpDoor>, call: &HttpCall, request: Request) -> Result<Response, Failure> {
    let path = ModelPath::named(&default_model::of(door)?);
    classify(door, call, &path, request, AnswerShape::Vertex).await
}
