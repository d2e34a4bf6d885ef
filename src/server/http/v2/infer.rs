//! `POST …/infer`: a tensor or pictures in, outputs out.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    response::Response,
};
use bytes::Bytes;

use super::{
    document::{self, InferDocument},
    header::{HEADER_LENGTH, json_length},
    path::NamedVersion,
    raw, write,
};
use crate::{
    server::{
        http::{body, call::HttpCall, door::HttpDoor, error::Failure},
        threads::{is_large, is_long},
        v2::{Requested, Schedule},
    },
    service::{self, Arrival, Charge, Error, ErrorKind, Service, Target, VersionPick},
    telemetry::Protocol,
};

/// Answers with the outputs of the model; counts the request by its outcome.
pub(super) async fn infer(
    State(door): State<Arc<HttpDoor>>,
    call: HttpCall,
    path: NamedVersion,
    request: Request,
) -> Result<Response, Failure> {
    // For the metrics, a name that is not UTF-8 is no model's, and a version that is no number is none of a model's, as 0 is
    // none. The client is told below.
    let version = path.version().map_or(VersionPick::Number(0), VersionPick::from);
    let arrival = door
        .service()
        .arrive(Protocol::Http, path.model().unwrap_or_default(), version, &call.asker, call.arrived)
        .in_trace(call.recorded());
    let outcome = answer(&door, &call, &path, &arrival, request).await;
    arrival.finish(outcome.as_ref().err().map(Failure::code));
    outcome
}

async fn answer(
    door: &HttpDoor,
    call: &HttpCall,
    path: &NamedVersion,
    arrival: &Arrival<'_>,
    request: Request,
) -> Result<Response, Failure> {
    let service = door.service();
    let (head, incoming) = request.into_parts();
    path.model()?;
    path.version()?;
    let charge = call.open_charge(service)?;
    // Before anything else is refused: behind a body that nobody has read, the connection could not go on.
    let body = body::read_unpacked(door, &head.headers, incoming, call, &charge).await?;
    arrival.check()?;
    let json_length = json_length(&head.headers)?;
    let deadline = match arrival.must_wait() {
        true => schedule(door, &body, json_length).await?.deadline(call.arrived, None),
        false => None,
    };
    let target = arrival.warmed(deadline).await?;
    let InferDocument { id, schedule, input, requested, binary } = {
        let (service, target, charge) = (service.clone(), target.clone(), charge.clone());
        let is_large = is_large(json_of(&body, json_length));
        door.threads().run_if(is_large, move || read(body, json_length, &service, &target, &charge)).await??
    };
    let items = {
        let (is_work, service, target, charge) = (input.is_work(), service.clone(), target.clone(), charge.clone());
        let work = move || {
            // As long as the thread has the memory, whether or not the client still waits.
            let _charge = charge;
            input.into_items(&service, &target)
        };
        door.threads().run_if(is_work, work).await??
    };
    let model = target.model().info.clone();
    let request = service::Request {
        items,
        target,
        wanted: requested.wanted(),
        deadline: schedule.deadline(call.arrived, None),
        priority: schedule.priority(),
        client: call.client,
        charge,
        trace: call.trace(),
    };
    let answer = service.answer(request).await?;
    let is_long = is_long(&answer);
    let written = move || write::answer(answer, &requested, &model.labels, id.as_deref(), binary);
    Ok(door.threads().run_if(is_long, written).await?)
}

/// How long the request waits for a model that has to be loaded.
async fn schedule(door: &HttpDoor, body: &Bytes, length: Option<usize>) -> Result<Schedule, Error> {
    let json = body.slice_ref(json_of(body, length));
    door.threads().run_if(is_large(&json), move || document::schedule(&json)).await
}

/// The JSON at the start of a body, all of it where no length is given.
fn json_of(body: &Bytes, length: Option<usize>) -> &[u8] {
    &body[..length.unwrap_or(body.len()).min(body.len())]
}

/// Takes a body apart: the JSON at its start, and the binary data behind it; or nothing but binary data.
fn read(
    body: Bytes,
    length: Option<usize>,
    service: &Service,
    target: &Target,
    charge: &Charge,
) -> Result<InferDocument, Error> {
    if length == Some(0) {
        return Ok(InferDocument {
            id: None,
            schedule: Schedule::default(),
            input: raw::input(body, target)?,
            requested: Requested::new(Vec::new(), 0, target)?,
            binary: true,
        });
    }
    let (mut section, length) = (body.clone(), length.unwrap_or(body.len()));
    if length > body.len() {
        let body = body.len();
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("{HEADER_LENGTH} is {length}, and the body has {body} bytes: it is the length of the JSON"),
        ));
    }
    let json = section.split_to(length);
    // What is taken out of it is a copy.
    charge.add(json.len())?;
    document::read(&json, section, service, target, charge)
}

/// Takes a body apart as `/infer` does: how many items are in it, or why it is refused. For the fuzz targets, which have no connection.
///
/// * `json_length`: what the header says of it
pub fn take_inference_apart(
    service: &Service,
    target: &Target,
    json_length: Option<usize>,
    body: Bytes,
) -> Result<usize, String> {
    let charge = service.open_charge().map_err(|error| error.message)?;
    // What a request that waits for its model is looked at for.
    let _ = document::schedule(json_of(&body, json_length));
    let items = read(body, json_length, service, target, &charge)
        .and_then(|InferDocument { input, .. }| input.into_items(service, target));
    items.map(|items| items.len()).map_err(|error| error.message)
}
