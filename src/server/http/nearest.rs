//! An answer for what is on no route.

use std::sync::Arc;

use axum::{extract::State, http::Uri};

use super::{door::HttpDoor, error::Failure};
use crate::service::{Error, ErrorKind};

/// Of a path that is on no route, so much is compared with those that are, and repeated in the answer.
const MAX_COMPARED: usize = 200;

/// A model's name up to this length stands in the nearest route.
const MAX_NAMED: usize = 60;

/// There is nothing at the path of the request.
pub(super) async fn nowhere(State(door): State<Arc<HttpDoor>>, uri: Uri) -> Failure {
    Error::new(ErrorKind::NotFound, no_route(door.paths(), uri.path())).into()
}

/// Says that there is nothing at `path`, and what is most like it. Both the look and the answer are bounded: the path is the
/// client's, and may be as long as a head.
///
/// * `known`: the paths of all routes
fn no_route(known: &[String], path: &str) -> String {
    let shown: String = path.chars().take(MAX_COMPARED).collect();
    let more = if shown.len() < path.len() { "…" } else { "" };
    // The model's name is the client's own and says nothing about the route.
    let mut segments: Vec<&str> = shown.split('/').collect();
    let place = segments.iter().position(|segment| *segment == "models").map_or(segments.len(), |models| models + 1);
    let mut model = None;
    let unnamed;
    if let Some(segment) = segments.get_mut(place).filter(|segment| !segment.is_empty()) {
        let name = segment.rsplit_once(':').map_or(*segment, |(name, _)| name);
        model = Some(name);
        unnamed = segment.replacen(name, "{model}", 1);
        *segment = &unnamed;
    }
    let compared = segments.join("/");
    // The other protocol's names are near by chance only.
    let is_v2 = |path: &str| path.starts_with("/v2");
    // The root is near to every short path, and nobody is sent to what is always refused.
    let is_refused = |known: &str| {
        [":regress", ":load", ":unload", ":label"].iter().any(|verb| known.ends_with(verb))
            || known.contains("repository/models")
    };
    let is_use = |known: &str| known != "/" && !is_refused(known);
    let known = known.iter().filter(|known| is_v2(known) == is_v2(&compared) && is_use(known));
    let nearest =
        known.map(String::as_str).min_by_key(|known| strsim::levenshtein(known, &compared)).unwrap_or_default();
    let nearest = match model {
        Some(model) if model.len() <= MAX_NAMED => nearest.replacen("{model}", model, 1),
        _ => nearest.to_owned(),
    };
    format!("there is nothing at `{shown}{more}`; the nearest route is `{nearest}`")
}

#[cfg(test)]
mod tests {

    fn no_route(path: &str) -> String {
        let known = [
            "/",
            "/livez",
            "/readyz",
            "/metrics",
            "/v1/models",
            "/v1/models/{model}",
            "/v1/models/{model}:classify",
            "/v1/models/{model}/labels",
            "/v1/models/{model}/labels/{label}:classify",
            "/v2/health/live",
            "/v2/models/{model}/infer",
        ];
        super::no_route(&known.map(str::to_owned), path)
    }

    #[test]
    fn a_wrong_path_is_answered_with_the_nearest_route() {
        assert!(no_route("/v1/models/cat:clasify").ends_with("`/v1/models/cat:classify`"));
        assert!(no_route("/models/cat:classify").ends_with("`/v1/models/cat:classify`"));
        assert!(no_route("/v1/model").ends_with("`/v1/models`"));
        assert!(no_route("/v2/models/cat/infers").ends_with("`/v2/models/cat/infer`"));
        assert!(
            no_route("/v2/health").starts_with("there is nothing at `/v2/health`; the nearest route is `/v2/health/")
        );
        assert!(no_route("/healthz").ends_with("`/readyz`") || no_route("/healthz").ends_with("`/livez`"));
    }

    #[test]
    fn a_long_path_is_looked_at_and_repeated_no_further_than_needed() {
        let message = no_route(&format!("/v1/models/{}/zzz", "a".repeat(30_000)));
        assert!(message.len() < 600, "{} bytes", message.len());
        assert!(message.contains("/v1/models/{model}"), "{message}");
    }

    #[test]
    fn the_models_name_does_not_decide_the_nearest_route() {
        let name = "livez-and-readyz-and-metrics-in-one-long-name";
        let message = no_route(&format!("/v1/models/{name}/label"));
        assert!(message.ends_with(&format!("`/v1/models/{name}/labels`")), "{message}");
    }
}
