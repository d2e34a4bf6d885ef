//! The page: `GET /` for browsers. It tries models on pictures, shows what they saw, the models themselves and the running server.
//!
//! What is here is served and nothing else: the page is a client like any other and uses the public routes only. It loads nothing from
//! elsewhere, and its content security policy holds it to that. `docs/page.md` says what it can do.

mod assets;

use std::sync::Arc;

use axum::{
    extract::{Path, Request, State},
    http::{
        HeaderMap,
        header::{ACCEPT, CONTENT_SECURITY_POLICY, HeaderValue, VARY},
    },
    response::Response,
};
use serde_json::json;
use utoipa::openapi::{
    ObjectBuilder, Required, Type,
    path::{ParameterBuilder, ParameterIn},
};

use super::{
    description::{AnswerHeader, Described, RefusalStatus, Tag, content, text},
    door::HttpDoor,
    error::Failure,
    nearest::nowhere,
    packed::guard,
    route::Routes,
    v1,
};
use assets::{ASSETS, PAGE};

/// Everything from here and nothing from elsewhere. Pictures that people chose have `blob:` URLs, and so have drawings of networks.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// `/`, and the files of the page.
pub(super) fn routes() -> Routes {
    Routes::default().get("/", root, root_described()).get("/page/{asset}", asset, asset_described())
}

/// `GET /`: the page for browsers; for programs, that the server lives.
async fn root(State(door): State<Arc<HttpDoor>>, headers: HeaderMap) -> Result<Response, Failure> {
    let is_on = door.options().page;
    let mut answer = if is_on && wants_html(&headers) {
        let mut page = PAGE.answer(&door, &headers).await?;
        guard(&mut page, POLICY);
        page
    } else {
        v1::alive()
    };
    if is_on {
        answer.headers_mut().insert(VARY, HeaderValue::from_static("accept, accept-encoding"));
    }
    Ok(answer)
}

fn root_described() -> Described {
    v1::alive_described()
        .or_gives(
            "text/html",
            content(text(
                "A page for a browser, for those that accept `text/html` by its name; unless `[server] page` is off.",
            ))
            .build(),
        )
        .tells(AnswerHeader::ContentEncoding)
        .or_unchanged()
}

/// `GET /page/{asset}`.
async fn asset(
    State(door): State<Arc<HttpDoor>>,
    name: Option<Path<String>>,
    request: Request,
) -> Result<Response, Failure> {
    let known = name.and_then(|Path(name)| ASSETS.iter().find(|asset| asset.name == name));
    match known.filter(|_| door.options().page) {
        Some(file) => {
            let mut answer = file.answer(&door, request.headers()).await?;
            // A drawing that is opened by itself is a document too.
            answer.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            Ok(answer)
        }
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
        .example(Some(json!("style.css")))
        .build();
    let kinds = ["text/css", "text/javascript", "image/svg+xml"];
    let contents = kinds.map(|kind| (kind, content(text("A file of the page.")).build()));
    Described::new(
        Tag::Server,
        "pageAsset",
        "What the page is made of",
        "Scripts, style sheets and the icon of the page at `/`.",
    )
    .parameter(name)
    .answers_with("The file.", contents, &[AnswerHeader::ContentEncoding])
    .or_unchanged()
    .refuses_because(RefusalStatus::NotFound, "There is no such file, or `[server] page` is off.")
}

/// Whether `text/html` is asked for by its name, as browsers do, and JSON is not asked for more. Whoever takes anything (`*/*`, or no
/// header) is a program and was answered in JSON before there was a page.
fn wants_html(headers: &HeaderMap) -> bool {
    let weight_of = |wanted: &str| {
        let accepted = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let weights = accepted.flat_map(|value| value.split(',')).filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(wanted));
            let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse::<f32>().ok());
            is_it.then(|| weight.unwrap_or(1.0))
        });
        weights.fold(0.0, f32::max)
    };
    let html = weight_of("text/html");
    html > 0.0 && html >= weight_of("application/json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_get_the_page_and_programs_do_not() {
        let wants =
            |value: &'static str| wants_html(&HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(value))]));
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8";
        for value in [browser, "text/html", "TEXT/HTML; q=0.5", "application/json;q=0.4, text/html;q=0.5"] {
            assert!(wants(value), "{value}");
        }
        for value in ["*/*", "", "text/*", "application/json", "application/json, text/html;q=0.9", "text/html;q=0"] {
            assert!(!wants(value), "{value}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
