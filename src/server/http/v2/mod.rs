//! `/v2`: the Open Inference Protocol over HTTP, with Triton's binary tensors, classes, statistics and repository.

mod description;
mod document;
mod header;
mod infer;
mod models;
mod path;
mod raw;
mod repository;
mod server;
mod statistics;
mod values;
mod write;

use super::{description::ModelInPath, route::Routes};

pub use infer::take_inference_apart;

/// The routes of `/v2`.
pub(super) fn routes() -> Routes {
    let mut routes = Routes::default()
        .get("/v2", server::metadata, description::server_metadata())
        .get("/v2/health/live", server::live, description::live())
        .get("/v2/health/ready", server::ready, description::ready())
        .get("/v2/models/stats", statistics::of_all, description::statistics_of_all())
        .post("/v2/repository/index", repository::index, description::index())
        .post("/v2/repository/models/{model}/load", repository::load, description::load())
        .post("/v2/repository/models/{model}/unload", repository::unload, description::unload());
    for place in [ModelInPath::Model, ModelInPath::Version] {
        let model = format!("/v2/models/{}", place.path());
        routes = routes
            .get(&model, models::metadata, description::metadata(place))
            .get(&format!("{model}/ready"), models::ready, description::model_ready(place))
            .get(&format!("{model}/config"), models::config, description::config(place))
            .get(&format!("{model}/stats"), statistics::of_model, description::statistics(place))
            .post(&format!("{model}/infer"), infer::infer, description::infer(place));
    }
    routes
}
