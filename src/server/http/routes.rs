//! The whole URL map: one map a protocol, and an answer for what is on none of them.

use std::sync::Arc;

use axum::Router;

use super::{
    description::RouteEntry, docs, door::HttpDoor, health, metrics, page, platforms, route::Routes, stats, v1, v2,
};
use crate::server::platforms::Platforms;

/// Every route, and what is said of it.
///
/// * `platforms`: the dialects that are on
fn routes(platforms: &Platforms) -> Routes {
    let own = Routes::default()
        .get("/livez", health::live, health::live_described())
        .get("/readyz", health::ready, health::ready_described())
        .get("/metrics", metrics::scrape, metrics::described())
        .get("/v1/stats", stats::stats, stats::described());
    v1::routes().and(v2::routes()).and(platforms::routes(platforms)).and(own).and(docs::routes()).and(page::routes())
}

/// What is said of all routes, those of every dialect included: the same whatever is on.
pub(super) fn described() -> Vec<RouteEntry> {
    routes(&Platforms::all_fixed()).into_parts().1
}

/// The paths of all routes that are on, each once.
pub(super) fn paths(platforms: &Platforms) -> Vec<String> {
    let (_, entries) = routes(platforms).into_parts();
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path).collect();
    paths.dedup();
    paths
}

/// The routes that are on, as they answer.
pub(super) fn router(door: Arc<HttpDoor>) -> Router {
    let (router, _) = routes(&door.options().platforms).into_parts();
    router.fallback(platforms::elsewhere).with_state(door)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::http::route_of::{route_of, short_name};

    #[test]
    fn every_route_is_found_by_its_paths_and_has_a_name() {
        let paths = paths(&Platforms::all_fixed());
        assert!(paths.len() > 30, "{}", paths.len());
        for route in &paths {
            let path: String = route
                .split('{')
                .map(|piece| piece.split_once('}').map_or(piece.to_owned(), |(_, rest)| format!("x1{rest}")))
                .collect();
            assert_eq!(route_of(paths.iter().map(String::as_str), &path), Some(&**route), "{path}");
            assert!(!short_name(route).contains(['{', '}']) && !short_name(route).is_empty(), "{route}");
        }
        for verb in ["regress", "label", "explain"] {
            assert!(paths.iter().any(|route| short_name(route) == verb), "{verb}");
        }
    }
}
