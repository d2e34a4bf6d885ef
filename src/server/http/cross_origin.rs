//! Which pages of other origins may read answers (CORS).

use tower_http::cors::{AllowHeaders, AllowOrigin, Any, CorsLayer};

/// Browsers may read answers from these origins; from none, unless the configuration names some.
pub(super) fn cors(origins: &[String]) -> Option<CorsLayer> {
    let origin = match origins {
        [] => return None,
        [all] if all == "*" => AllowOrigin::any(),
        some => AllowOrigin::list(some.iter().filter_map(|origin| origin.parse().ok())),
    };
    // `*` would leave out `authorization`, by the Fetch standard; a list, what `[limits] fair_by` and `[traffic] key` are set to and the
    // metadata of gRPC-Web. What a page may send it may send: nothing goes by itself, since credentials of a browser are not allowed.
    let headers = AllowHeaders::mirror_request();
    Some(CorsLayer::new().allow_origin(origin).allow_methods(Any).allow_headers(headers).expose_headers(Any))
}
