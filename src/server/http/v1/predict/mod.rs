//! `POST /v1/models/{model}:predict`: pictures or tensors in, a row of all classes for each image out, as TensorFlow Serving and
//! KServe have it.

mod document;

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{StatusCode, request},
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    form,
    options::{BadOption, RequestOptions},
    path::ModelPath,
    priority,
};
use crate::{
    server::{
        http::{body, call::HttpCall, door::HttpDoor, error::Failure, reply, timing},
        tfserving::ServingSignature,
        threads::{is_large, is_long},
    },
    service::{
        self, Answer, Arrival, Charge, ClassesWanted, Error, ErrorKind, Item, NamedOutput, Service, Target,
        VersionPick, Wanted,
    },
    telemetry::Protocol,
};
use document::{Order, PredictRequest};

/// Answers with what the network says of each image; counts the request by its outcome.
pub(super) async fn predict(
    door: &Arc<HttpDoor>,
    call: &HttpCall,
    path: &ModelPath,
    request: Request,
) -> Result<Response, Failure> {
    // As for `:classify`.
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
    let service = door.service();
    let (head, incoming) = request.into_parts();
    path.model()?;
    path.version()?;
    let priority = priority::asked(&head.headers)?;
    arrival.check()?;
    let options = options(&head, arrival.target().ok().as_ref())?;
    let deadline = options.timeout.map(|timeout| call.arrived + timeout);
    let charge = call.open_charge(service)?;
    let body = body::read_unpacked(door, &head.headers, incoming, call, &charge).await?;
    let target = arrival.warmed(deadline).await?;
    let (items, signature, order) = if form::is_json(&head.headers, &body) {
        read(door, body, &target, &charge).await?
    } else {
        let files = files(door, &head, body, &target, &charge).await?;
        (files.into_iter().map(|file| target.picture(file)).collect(), ServingSignature::default(), Order::Rows)
    };
    let wanted = Wanted::outputs(vec![signature.output(&target)]);
    let request = service::Request {
        items,
        target,
        wanted,
        deadline,
        priority,
        client: call.client,
        charge,
        trace: call.trace(),
    };
    let answer = service.answer(request).await?;
    Ok(door.threads().run_if(is_long(&answer), move || write(&answer, order)).await?)
}

/// The options of the query: those about classes have no meaning here.
///
/// * `target`: where it answers already
fn options(head: &request::Parts, target: Option<&Target>) -> Result<RequestOptions, Error> {
    let classes = target.map(|target| target.model().classes());
    let options = RequestOptions::from_query(head.uri.query()).map_err(|bad| bad.into_error(classes))?;
    all_classes(&options)?;
    Ok(options)
}

fn all_classes(options: &RequestOptions) -> Result<(), Error> {
    if options.classes == ClassesWanted::default() && options.outputs.is_empty() {
        return Ok(());
    }
    let message = "`:predict` answers with all classes and nothing else: ask `:classify` for some of them or for `outputs`, or leave \
                   `top_k`, `min_probability` and `outputs` out";
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// Takes a JSON body apart.
async fn read(
    door: &HttpDoor,
    body: Bytes,
    target: &Target,
    charge: &Arc<Charge>,
) -> Result<(Vec<Item>, ServingSignature, Order), Error> {
    let (service, target, charge, is_large) = (door.service().clone(), target.clone(), charge.clone(), is_large(&body));
    door.threads().run_if(is_large, move || items(&body, &service, &target, &charge)).await?
}

/// The images of a JSON body.
fn items(
    json: &[u8],
    service: &Service,
    target: &Target,
    charge: &Charge,
) -> Result<(Vec<Item>, ServingSignature, Order), Error> {
    let PredictRequest { order, signature, input } = document::read(json, service, target, charge)?;
    Ok((document::items(input, service, target)?, signature, order))
}

/// Takes a JSON body apart as `:predict` does: how many items are in it, or why it is refused. For the fuzz targets, which have no
/// connection.
pub fn take_prediction_apart(service: &Service, target: &Target, json: &[u8]) -> Result<usize, String> {
    let charge = service.open_charge().map_err(|error| error.message)?;
    let items = items(json, service, target, &charge);
    items.map(|(items, _, _)| items.len()).map_err(|error| error.message)
}

/// The files of a body that is one, or a form with some.
async fn files(
    door: &HttpDoor,
    head: &request::Parts,
    body: Bytes,
    target: &Target,
    charge: &Arc<Charge>,
) -> Result<Vec<Bytes>, Error> {
    if body.is_empty() {
        let message = "the body is empty: send JSON with `instances` or `inputs`, the bytes of an image file, or a form with them";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let (mut options, most) = (RequestOptions::default(), door.service().limits().max_images_per_request);
    let refuse = |bad: BadOption| bad.into_error(Some(target.model().classes()));
    let upload = form::parse(&head.headers, body, &mut options, most, charge, door.threads()).await.map_err(refuse)?;
    all_classes(&options)?;
    Ok(upload.images)
}

/// `predictions` to `instances` and to files, `outputs` to `inputs`; with one output, its name is left out.
#[derive(Serialize, ToSchema)]
#[schema(as = PredictAnswer)]
#[serde(untagged)]
pub(super) enum PredictDocument<'a> {
    Rows(Predictions<'a>),
    Columns(PredictOutputs<'a>),
}

#[derive(Serialize, ToSchema)]
pub(super) struct Predictions<'a> {
    /// A row of numbers for each picture, one for each class.
    #[serde(serialize_with = "write_rows")]
    #[schema(value_type = Vec<Vec<f32>>)]
    predictions: &'a NamedOutput,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Outputs)]
pub(super) struct PredictOutputs<'a> {
    /// A row of numbers for each picture, one for each class.
    #[serde(serialize_with = "write_rows")]
    #[schema(value_type = Vec<Vec<f32>>)]
    outputs: &'a NamedOutput,
}

fn write_rows<S: Serializer>(output: &NamedOutput, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(output.values.chunks_exact(output.shape[1].max(1)))
}

fn write(answer: &Answer, order: Order) -> Response {
    let Some(output) = answer.outputs.first() else {
        return Failure::from(Error::new(ErrorKind::Internal, "an answer without its output")).into_response();
    };
    let document = match order {
        Order::Rows => PredictDocument::Rows(Predictions { predictions: output }),
        Order::Columns => PredictDocument::Columns(PredictOutputs { outputs: output }),
    };
    let mut response = reply::json(StatusCode::OK, &document, 64 + 12 * output.values.len());
    timing::tell(&answer.timing, &mut response);
    response
}
