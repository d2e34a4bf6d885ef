//! The page of all routes.

use bytes::Bytes;
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, LicenseBuilder, OpenApiBuilder, PathItem, PathsBuilder, Server,
    path::HttpMethod,
    security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme},
};

use super::{
    answer_header::AnswerHeader, described::Described, parameter::CommonHeader, refusal::RefusalStatus, shape::schemas,
    tag::Tag,
};
use crate::server::http::error::ErrorDocument;

/// A route of the table: its path as a client writes it, its method, and what is said of it.
pub(in crate::server::http) struct RouteEntry {
    pub(in crate::server::http) path: String,
    pub(in crate::server::http) method: HttpMethod,
    pub(in crate::server::http) described: Described,
}

/// What holds for every route.
const TEXT: &str = "\
Classifies pictures with ResNet models in ONNX Runtime. The same models answer over gRPC, on another port.

**Pictures** are files as they are: JPEG, PNG, WebP, GIF (the first frame), BMP, TIFF, PPM. They are told apart by their bytes, never by the type \
that a client gives them; the model's own preprocessing is done here.

**Refusals** have one form, `ErrorDocument`, whatever the protocol: `error` says what was wrong and how to mend it, `code` is one of few words for programs, \
`request_id` finds the request in the server's log. Trying again makes sense for `OVERLOADED` and `RESOURCE_EXHAUSTED` (429) and `UNAVAILABLE` (503), after \
`retry-after` seconds, and for nothing else. A path that is not here answers 404 with the nearest one, another method 405 with `allow`.

**Every `GET` answers `HEAD`** as well. Paths may end with a slash. HTTP/1.1 and HTTP/2 (agreed on under TLS, else by prior knowledge) share the port. \
Answers are never cut: they have a `content-length`.

**Keys**: where the server has them (`[auth] keys_file`), every route but the probes, the page and this description wants one, as \
`authorization: Bearer KEY` or `x-api-key: KEY`; without one the answer is 401, with one that has not the right or is not for the model 403. The same \
goes for tokens of an OpenID Connect issuer (`[auth.oidc]`), as `authorization: Bearer TOKEN`.

**Times** are in milliseconds where nothing else is said. Every answer has `x-request-id`.";

/// Writes the document, the same bytes for the same routes.
pub(in crate::server::http) fn write(entries: Vec<RouteEntry>) -> Bytes {
    let (mut paths, mut components) = (PathsBuilder::new(), ComponentsBuilder::new());
    components = components.schemas_from_iter(schemas::<ErrorDocument<'_>>());
    for RouteEntry { path, method, described } in entries {
        let (operation, schemas) = described.into_parts();
        components = components.schemas_from_iter(schemas);
        paths = paths.path(path, PathItem::new(method, operation));
    }
    for header in AnswerHeader::ALL {
        components = components.header(header.component(), header.described());
    }
    for header in CommonHeader::ALL {
        components = components.parameter(header.component(), header.described());
    }
    for refusal in RefusalStatus::ALL {
        components = components.response(refusal.component(), refusal.described());
    }
    for (name, scheme) in key_schemes() {
        components = components.security_scheme(name, scheme);
    }
    // Any of them, and none where the server wants none.
    let any: Vec<_> = key_schemes().into_iter().map(|(name, _)| SecurityRequirement::new(name, [""; 0])).collect();
    let optional = [SecurityRequirement::default()].into_iter().chain(any);
    let document = OpenApiBuilder::new()
        .security(Some(optional))
        .info(info())
        .servers(Some([Server::new("/")]))
        .tags(Some(Tag::ALL.map(Tag::described)))
        .paths(paths)
        .components(Some(components.build()))
        .build();
    // Of types with string keys, in memory: it cannot fail, and a test reads it.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

/// How a key is shown.
fn key_schemes() -> [(&'static str, SecurityScheme); 2] {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key, where the server has keys; a token of its issuer, where it has one."));
    let header =
        ApiKeyValue::with_description("x-api-key", "The same key in a header of its own, which is looked at first.");
    [("bearer", SecurityScheme::Http(bearer.build())), ("apiKey", SecurityScheme::ApiKey(ApiKey::Header(header)))]
}

fn info() -> Info {
    let licence = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    InfoBuilder::new()
        .title("resnetd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(TEXT))
        .license(Some(licence))
        .build()
}
