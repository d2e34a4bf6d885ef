//! The whole URL map: one router a protocol, and an answer for what is on none of them.

use std::sync::Arc;

use axum::{Router, routing::get};

use super::{
    door::HttpDoor,
    health, metrics, platforms,
    route::{Routes, read},
    v1, v2,
};

/// Every route.
pub(super) fn router(door: Arc<HttpDoor>) -> Router {
    let probes = Routes::default()
        .route("/livez", read(get(health::live)))
        .route("/readyz", read(get(health::ready)))
        .route("/metrics", read(get(metrics::scrape)));
    let platforms = platforms::router(&door.options().platforms);
    let routes = probes.into_router().merge(v1::router()).merge(v2::router()).merge(platforms);
    routes.fallback(platforms::elsewhere).with_state(door)
}
