//! `/v2`: the Open Inference Protocol over HTTP, with Triton's binary tensors, classes, statistics and repository index.

mod document;
mod header;
mod infer;
mod models;
mod object;
mod path;
mod raw;
mod server;
mod statistics;
mod write;

use std::sync::Arc;

use axum::{
    Router,
    routing::{get, post},
};

use super::{
    door::HttpDoor,
    route::{Routes, read, write as takes_a_body},
};

/// The routes of `/v2`.
pub(super) fn router() -> Router<Arc<HttpDoor>> {
    let mut routes = Routes::default()
        .route("/v2", read(get(server::metadata)))
        .route("/v2/health/live", read(get(server::live)))
        .route("/v2/health/ready", read(get(server::ready)))
        .route("/v2/models/stats", read(get(statistics::of_all)))
        .route("/v2/repository/index", takes_a_body(post(server::index)));
    for model in ["/v2/models/{model}", "/v2/models/{model}/versions/{version}"] {
        routes = routes
            .route(model, read(get(models::metadata)))
            .route(&format!("{model}/ready"), read(get(models::ready)))
            .route(&format!("{model}/config"), read(get(models::config)))
            .route(&format!("{model}/stats"), read(get(statistics::of_model)))
            .route(&format!("{model}/infer"), takes_a_body(post(infer::infer)));
    }
    routes.into_router()
}
