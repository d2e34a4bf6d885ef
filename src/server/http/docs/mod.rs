//! The description of the API for programs, `/openapi.json`, and for people: Swagger UI, out of the binary, at `/docs`.
//!
//! The page loads nothing from elsewhere, and its content security policy holds it to that.

mod assets;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, Request, State},
    http::{
        HeaderMap, StatusCode, Uri,
        header::{
            CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, VARY,
            X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use bytes::Bytes;
use serde_json::json;
use utoipa::openapi::{
    ObjectBuilder, Required, Type,
    path::{ParameterBuilder, ParameterIn},
    schema::AdditionalProperties,
};

use super::{
    description::{AnswerHeader, Described, RefusalStatus, Tag, content, text},
    door::HttpDoor,
    error::Failure,
    nearest::nowhere,
    route::Routes,
};
use assets::{ASSETS, Asset, PAGE};

/// Everything from here and nothing from elsewhere. Swagger UI writes `style` attributes and shows pictures that are in its sheet.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
     connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The routes of the description.
pub(super) fn routes() -> Routes {
    Routes::default()
        .get("/openapi.json", description, description_described())
        .get("/docs", page, page_described())
        .get("/docs/{asset}", asset, asset_described())
}

/// `GET /openapi.json`.
async fn description(State(door): State<Arc<HttpDoor>>) -> Response {
    answer(door.description(), "application/json")
}

fn description_described() -> Described {
    let document =
        ObjectBuilder::new().schema_type(Type::Object).description(Some("An OpenAPI document, version 3.1."));
    let document = content(document.additional_properties(Some(AdditionalProperties::FreeForm(true)))).build();
    Described::new(
        Tag::Server,
        "openapi",
        "This description",
        "The same bytes in every process of one version; `resnetd openapi` prints them without a server.",
    )
    .answers_with("The document that you read.", [("application/json", document)], &[])
}

/// `GET /docs`.
async fn page(State(door): State<Arc<HttpDoor>>, uri: Uri) -> Result<Response, Failure> {
    if !door.options().docs {
        return Err(nowhere(State(door), uri).await);
    }
    let mut page = answer(Bytes::from_static(PAGE.as_bytes()), "text/html; charset=utf-8");
    page.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    page.headers_mut().insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(page)
}

const REFERRER_POLICY: HeaderName = HeaderName::from_static("referrer-policy");

fn page_described() -> Described {
    let page = content(text("A page for a browser.")).build();
    Described::new(
        Tag::Server,
        "docs",
        "This description for people",
        "Swagger UI, which shows this description and sends requests to this server. It loads nothing from elsewhere.",
    )
    .answers_with("The page.", [("text/html", page)], &[])
    .refuses_because(RefusalStatus::NotFound, "`[server] docs` is off.")
}

/// `GET /docs/{asset}`.
async fn asset(
    State(door): State<Arc<HttpDoor>>,
    name: Option<Path<String>>,
    request: Request,
) -> Result<Response, Failure> {
    let known = name.and_then(|Path(name)| ASSETS.iter().find(|asset| asset.name == name));
    let Some(Asset { media_type, bytes, packed, .. }) = known.filter(|_| door.options().docs) else {
        return Err(nowhere(State(door), request.uri().clone()).await);
    };
    let plain = *packed && !takes_gzip(request.headers());
    let bytes = match plain {
        true => door.threads().run_if(true, || assets::unpacked(bytes)).await?,
        false => Bytes::from_static(bytes),
    };
    let mut answer = answer(bytes, media_type);
    if *packed {
        answer.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
        if !plain {
            answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
    }
    // Another version of the server may have others under the same names.
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    Ok(answer)
}

fn asset_described() -> Described {
    let names = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(ASSETS.iter().map(|asset| asset.name)));
    let name = ParameterBuilder::new()
        .name("asset")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The file's name."))
        .schema(Some(names))
        .example(Some(json!("swagger-ui.css")))
        .build();
    let contents = ["text/css", "text/javascript"].map(|kind| (kind, content(text("A file of the page.")).build()));
    Described::new(
        Tag::Server,
        "docsAsset",
        "What the page for people is made of",
        "Scripts and the style sheet of `/docs`.",
    )
    .parameter(name)
    .answers_with("The file.", contents, &[AnswerHeader::ContentEncoding])
    .refuses_because(RefusalStatus::NotFound, "There is no such file, or `[server] docs` is off.")
}

fn answer(bytes: Bytes, media_type: &'static str) -> Response {
    let mut answer = Response::new(Body::from(bytes));
    *answer.status_mut() = StatusCode::OK;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// Whether a client takes gzip: where it says nothing, it is not taken for granted.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(axum::http::header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    accepted.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|weight| weight.trim().parse() == Ok(0.0));
        matches!(name.trim().to_ascii_lowercase().as_str(), "gzip" | "*") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_that_take_it() {
        let takes = |value: &'static str| {
            takes_gzip(&HeaderMap::from_iter([(axum::http::header::ACCEPT_ENCODING, HeaderValue::from_static(value))]))
        };
        for value in ["gzip", "br, GZIP;q=0.5", "*", "deflate, gzip, br, zstd"] {
            assert!(takes(value), "{value}");
        }
        for value in ["", "br", "identity", "gzip;q=0", "gzip; q=0.0"] {
            assert!(!takes(value), "{value}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn every_packed_file_unpacks_to_what_the_page_needs() {
        for asset in ASSETS.iter().filter(|asset| asset.packed) {
            let bytes = assets::unpacked(asset.bytes);
            let text = std::str::from_utf8(&bytes).expect("text");
            assert!(text.contains("swagger-ui") && text.len() > 10 * asset.bytes.len() / 4, "{}", asset.name);
            // Nothing is loaded from elsewhere, in spite of the policy.
            assert!(!text.contains("sourceMappingURL=http"), "{}", asset.name);
        }
        let named = |line: &str| ASSETS.iter().any(|asset| line.contains(&format!("/docs/{}\"", asset.name)));
        for line in PAGE.lines().filter(|line| line.contains("src=") || line.contains("stylesheet")) {
            assert!(named(line), "{line}");
        }
    }
}
