//! The whole URL map: one router a protocol, and an answer for what is on none of them.

use std::sync::Arc;

use axum::{Router, routing::get};

use super::{
    door::HttpDoor,
    health, metrics,
    nearest::nowhere,
    route::{Routes, read},
    v1, v2,
};

/// Every route.
pub(super) fn router(door: Arc<HttpDoor>) -> Router {
    let probes = Routes::default()
        .route("/livez", read(get(health::live)))
        .route("/readyz", read(get(health::ready)))
        .route("/metrics", read(get(metrics::scrape)));
    probes.into_router().merge(v1::router()).merge(v2::router()).fallback(nowhere).with_state(door)
}
