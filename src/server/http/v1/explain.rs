//! `POST /v1/models/{model}:explain`: pictures in, which places of them speak for a class out; as numbers, or drawn.

use std::sync::Arc;

use axum::{extract::Request, response::Response};

use super::{
    accept::preferred,
    asked_classes::ExplainOptions,
    classify::{TakenUpload, take_with, with_hint},
    explained::ExplainForm,
    options::RequestOptions,
    path::ModelPath,
};
use crate::{
    server::http::{call::HttpCall, door::HttpDoor, error::Failure},
    service::{Arrival, Error, ErrorKind, ErrorSubject, ExplainRequest, ExplainView, VersionPick},
    telemetry::Protocol,
};

/// Answers with the maps of every picture of the body; counts the request by its outcome, as a classification.
pub(super) async fn explain(
    door: &Arc<HttpDoor>,
    call: &HttpCall,
    path: &ModelPath,
    request: Request,
) -> Result<Response, Failure> {
    // As for a classification: the metrics get no name that is none, and the client is told below.
    let (model, version) = (path.model().unwrap_or_default(), path.version().unwrap_or(VersionPick::Number(0)));
    let arrival =
        door.service().arrive(Protocol::Http, model, version, &call.asker, call.arrived).in_trace(call.recorded());
    let outcome = answer(door, call, path, &arrival, request).await;
    arrival.finish(outcome.as_ref().err().map(Failure::code));
    outcome
}

async fn answer(
    door: &HttpDoor,
    call: &HttpCall,
    path: &ModelPath,
    arrival: &Arrival<'_>,
    request: Request,
) -> Result<Response, Failure> {
    path.model()?;
    path.version()?;
    let classes = || arrival.target().ok().map(|target| target.model().classes());
    let asked = RequestOptions { explain: Some(ExplainOptions::default()), ..RequestOptions::default() };
    let taken = take_with(door, call, request, asked, classes).await?;
    let TakenUpload { headers, priority, mut options, charge, upload } = taken;
    let deadline = options.timeout.map(|timeout| call.arrived + timeout);
    let target = arrival.warmed(deadline).await?;
    let form = preferred(&headers, ExplainForm::named, ExplainForm::Json);
    if form != ExplainForm::Json && upload.images.len() > 1 {
        return Err(one_picture(form, upload.images.len()).into());
    }
    let ExplainOptions { classes, view, crops } = options.explain.take().unwrap_or_default();
    let request = ExplainRequest {
        target,
        pictures: upload.images,
        classes: classes.0,
        top_k: options.classes.top_k,
        crops,
        view: match (form, view) {
            (ExplainForm::Json, _) => ExplainView::Numbers,
            (_, ExplainView::Numbers) => ExplainView::Crop,
            (_, view) => view,
        },
        deadline,
        priority,
        client: call.client,
        charge,
        trace: call.trace(),
    };
    let mut explained = door.service().explain(request).await;
    let is_of_the_picture = |error: &Error| matches!(error.subject, Some(ErrorSubject::Image(_)));
    if upload.is_form && explained.as_ref().err().is_some_and(is_of_the_picture) {
        explained = explained.map_err(|error| with_hint(error, &options));
    }
    let explained = explained?;
    let written = door.threads().run_if(form.is_long(&explained), move || form.write(&explained));
    Ok(written.await??)
}

fn one_picture(form: ExplainForm, pictures: usize) -> Error {
    let form = form.media_type();
    let message = format!("{form} holds one picture and {pictures} came: send one, or accept application/json");
    Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Images)
}
