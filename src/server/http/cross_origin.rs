//! Which pages of other origins may read answers (CORS).

use tower_http::cors::{AllowOrigin, Any, CorsLayer};

/// Browsers may read answers from these origins; from none, unless the configuration names some.
pub(super) fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origin = match origins {
        [] => return None,
        [all] if all == "*" => AllowOrigin::any(),
        some => AllowOrigin::list(some.iter().filter_map(|origin| origin.parse().ok())),
    };
    Some(CorsLayer::new().allow_origin(origin).allow_methods(Any).allow_headers(Any).expose_headers(Any))
}
