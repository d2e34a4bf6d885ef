//! `GET …/architecture.svg`: a model's network, drawn. Made when it is asked for: it takes less than a look at a picture.

use std::sync::Arc;

use axum::{
    body::Body,
    extract::State,
    http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue},
    response::Response,
};

use super::path::ModelPath;
use crate::{
    drawing::Drawing,
    server::http::{
        description::{Described, ModelInPath, RefusalStatus, Tag, content, text},
        door::HttpDoor,
        error::Failure,
    },
    service::{Error, ErrorKind},
};

/// A drawing opened by itself is a document: it may do nothing but be seen.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'";

/// The drawing of a version that answers.
pub(super) async fn drawn(State(door): State<Arc<HttpDoor>>, path: ModelPath) -> Result<Response, Failure> {
    let target = door.service().target(path.model()?, path.version()?)?;
    let model = target.model();
    let Some(inspection) = &model.info.inspection else {
        let message = format!(
            "the graph of model `{}` could not be inspected, so there is nothing to draw: the log says why",
            model.name
        );
        return Err(Error::new(ErrorKind::NotFound, message).into());
    };
    let title = format!("{}, version {}", model.name, model.version);
    let (preparation, labels) = (&model.info.preparation, &model.info.labels);
    let svg = Drawing { title: &title, inspection, preparation, labels }.svg();
    let mut answer = Response::new(Body::from(svg));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("image/svg+xml"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    Ok(answer)
}

/// What a client author reads of it.
pub(super) fn described(place: ModelInPath) -> Described {
    let svg = content(text("SVG, for light and dark pages.")).build();
    Described::of_model(
        place,
        Tag::Own,
        "modelArchitecture",
        "A model's network, drawn",
        "Stem, stages and modules as the paper draws them, what each part weighs, what is unusual; of what is no ResNet the operators. For a browser, or `<img src>`.",
    )
    .answers_with("The drawing.", [("image/svg+xml", svg)], &[])
    .refuses_because(
        RefusalStatus::NotFound,
        "There is no such model or version, it does not answer yet or any more, or its graph could not be inspected.",
    )
}
