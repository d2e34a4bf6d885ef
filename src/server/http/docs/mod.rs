//! The description of the API for programs, `/openapi.json`, and for people: Swagger UI, out of the binary, at `/docs`.
//!
//! The page loads nothing from elsewhere, and its content security policy holds it to that.

mod assets;

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::Uri,
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
    packed::{guard, plain},
    route::Routes,
};
use assets::{ASSETS, PAGE};

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
    plain(door.description(), "application/json")
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
    let mut page = plain(Bytes::from_static(PAGE.as_bytes()), "text/html; charset=utf-8");
    guard(&mut page, POLICY);
    Ok(page)
}

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
    match known.filter(|_| door.options().docs) {
        Some(file) => file.answer(&door, request.headers()).await,
        None => Err(nowhere(State(door), request.uri().clone()).await),
    }
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
    .or_unchanged()
    .refuses_because(RefusalStatus::NotFound, "There is no such file, or `[server] docs` is off.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_packed_file_unpacks_to_what_the_page_needs() {
        for asset in ASSETS.iter().filter(|asset| asset.name.starts_with("swagger")) {
            let bytes = asset.unpacked();
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
