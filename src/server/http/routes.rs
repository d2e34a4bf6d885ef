//! The whole URL map: one map a protocol, and an answer for what is on none of them.

use std::sync::Arc;

use axum::Router;

use super::{docs, door::HttpDoor, health, metrics, nearest::nowhere, route::Routes, v1, v2};

/// Every route, and what is said of it.
pub(super) fn routes() -> Routes {
    let own = Routes::default()
        .get("/livez", health::live, health::live_described())
        .get("/readyz", health::ready, health::ready_described())
        .get("/metrics", metrics::scrape, metrics::described());
    v1::routes().and(v2::routes()).and(own).and(docs::routes())
}

/// The paths of all routes, each once.
pub(super) fn paths() -> Vec<String> {
    let (_, entries) = routes().into_parts();
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path).collect();
    paths.dedup();
    paths
}

/// The same as it answers.
pub(super) fn router(door: Arc<HttpDoor>) -> Router {
    let (router, _) = routes().into_parts();
    router.fallback(nowhere).with_state(door)
}
