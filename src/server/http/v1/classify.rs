//! `POST /v1/models/{model}:classify`: images in, the most probable classes out. The hot path of the HTTP door.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    accept::AnswerForm,
    asked::Encoding,
    form,
    images::{AnsweredImages, ImageEntry},
    options::{BadOption, RequestOptions},
    path::ModelPath,
    priority,
    shape::{AnswerShape, TorchServeDocument, vertex},
    tensor, tfserving,
    upload::{Dialect, Upload},
};
use crate::{
    server::{
        http::{body, call::HttpCall, door::HttpDoor, error::Failure, reply, timing},
        threads::is_long,
    },
    service::{
        self, Answer, Arrival, Charge, ClassesWanted, Error, ErrorKind, Priority, Target, Timing, VersionPick, Wanted,
    },
    telemetry::Protocol,
};

/// Answers with the top-k classes of every image of the body, in the shape of the client's dialect; counts the request by
/// its outcome.
///
/// * `shape`: of the answer, where the request itself is in no dialect
pub(in crate::server::http) async fn classify(
    door: &Arc<HttpDoor>,
    call: &HttpCall,
    path: &ModelPath,
    request: Request,
    shape: AnswerShape,
) -> Result<Response, Failure> {
    // For the metrics, a name that is not UTF-8 is no model's, and a version that is no number is none of a model's, as 0 is
    // none. The client is told below.
    let (model, version) = (path.model().unwrap_or_default(), path.version().unwrap_or(VersionPick::Number(0)));
    let arrival =
        door.service().arrive(Protocol::Http, model, version, &call.asker, call.arrived).in_trace(call.recorded());
    let outcome = answer(door, call, path, &arrival, request, shape).await;
    arrival.finish(outcome.as_ref().err().map(Failure::code));
    outcome
}

async fn answer(
    door: &HttpDoor,
    call: &HttpCall,
    path: &ModelPath,
    arrival: &Arrival<'_>,
    request: Request,
    shape: AnswerShape,
) -> Result<Response, Failure> {
    let service = door.service();
    path.model()?;
    path.version()?;
    // The range of `top_k` is the model's, where there is one.
    let classes = || arrival.target().ok().map(|target| target.model().classes());
    let TakenUpload { headers, priority, mut options, charge, upload } = take(door, call, request, classes).await?;
    let deadline = options.timeout.map(|timeout| call.arrived + timeout);
    let target = arrival.warmed(deadline).await?;
    if options.ensemble.is_some() {
        return Err(one_model(&target).into());
    }
    let form = answer_form(&headers, &options, &upload, shape)?;
    let outputs = std::mem::take(&mut options.outputs).of(&target)?;
    // What is one output has no place for classes.
    let wanted = Wanted::outputs(outputs).with_classes((form == AnswerForm::Json).then_some(options.classes));
    if form != AnswerForm::Json && wanted.outputs.len() != 1 {
        return Err(one_output(form, wanted.outputs.len()).into());
    }
    let request = service::Request {
        items: upload.images.into_iter().map(|image| target.picture(image)).collect(),
        target,
        wanted,
        deadline,
        priority,
        client: call.client,
        charge,
        trace: call.trace(),
    };
    let mut classified = service.answer(request).await;
    if upload.is_form {
        classified = classified.map_err(|error| with_hint(error, &options));
    }
    let classified = classified?;

    let written = Written { shape, dialect: upload.dialect, form, encoding: options.encoding };
    let written = door.threads().run_if(is_long(&classified), move || written.write(&classified));
    Ok(written.await?)
}

/// A request that has come whole.
pub(super) struct TakenUpload {
    pub(super) headers: HeaderMap,
    pub(super) priority: Priority,
    pub(super) options: RequestOptions,
    /// The memory that it takes.
    pub(super) charge: Arc<Charge>,
    pub(super) upload: Upload,
}

/// Reads options, body and pictures of a request.
///
/// * `classes`: how many the model has, where there is one
pub(super) async fn take(
    door: &HttpDoor,
    call: &HttpCall,
    request: Request,
    classes: impl Fn() -> Option<usize>,
) -> Result<TakenUpload, Failure> {
    take_with(door, call, request, RequestOptions::default(), classes).await
}

/// The same.
///
/// * `options`: what may be asked, before anything is
pub(super) async fn take_with(
    door: &HttpDoor,
    call: &HttpCall,
    request: Request,
    options: RequestOptions,
    classes: impl Fn() -> Option<usize>,
) -> Result<TakenUpload, Failure> {
    let service = door.service();
    let (head, incoming) = request.into_parts();
    let priority = priority::asked(&head.headers)?;
    let refuse = |bad: BadOption| bad.into_error(classes());

    let mut options = options.with_query(head.uri.query()).map_err(refuse)?;
    let charge = call.open_charge(service)?;
    let body = body::read_unpacked(door, &head.headers, incoming, call, &charge).await?;
    if body.is_empty() {
        let message = "the body is empty: send the bytes of an image file, a form with `image` parts, or JSON";
        return Err(Error::new(ErrorKind::InvalidArgument, message).into());
    }
    let most = service.limits().max_images_per_request;
    let upload = form::parse(&head.headers, body, &mut options, most, &charge, door.threads()).await.map_err(refuse)?;
    Ok(TakenUpload { headers: head.headers, priority, options, charge, upload })
}

fn one_model(target: &Target) -> Error {
    let message = format!(
        "`ensemble` is of several models and only `{}` is asked: name more of them, `/v1/models/a,b:classify`",
        target.model().name
    );
    Error::new(ErrorKind::InvalidArgument, message)
}

/// How outputs are to be sent; JSON for who asks for none, whatever else it would accept.
fn answer_form(
    headers: &HeaderMap,
    options: &RequestOptions,
    upload: &Upload,
    shape: AnswerShape,
) -> Result<AnswerForm, Error> {
    if options.outputs.is_empty() {
        return Ok(AnswerForm::Json);
    }
    let place = match (upload.dialect, shape) {
        (Dialect::TensorFlowServing, _) => {
            Err("the answer to `examples` has classes and nothing else: send `instances` for `outputs`")
        }
        (_, AnswerShape::TorchServe) => {
            Err("TorchServe's answer has classes and nothing else: ask `/v1/models/…:classify` for `outputs`")
        }
        _ => Ok(()),
    };
    place.map_err(|message| Error::new(ErrorKind::InvalidArgument, message))?;
    Ok(AnswerForm::accepted(headers))
}

fn one_output(form: AnswerForm, outputs: usize) -> Error {
    let form = form.content_type();
    let form = form.to_str().unwrap_or_default();
    let message =
        format!("{form} holds one output and {outputs} are asked for: ask for one, or accept application/json");
    Error::new(ErrorKind::InvalidArgument, message)
}

/// How an answer is written.
#[derive(Clone, Copy)]
struct Written {
    shape: AnswerShape,
    dialect: Dialect,
    form: AnswerForm,
    encoding: Encoding,
}

impl Written {
    fn write(self, classified: &Answer) -> Response {
        let Self { shape, dialect, form, encoding } = self;
        let values = classified.outputs.iter().map(|output| output.values.len()).sum::<usize>();
        let size = 256 + 96 * classified.predictions.iter().map(Vec::len).sum::<usize>() + 12 * values;
        let mut answer = match (dialect, &*classified.outputs) {
            (Dialect::Own, [output]) if form != AnswerForm::Json => tensor::write(classified, output, form),
            (Dialect::Own, _) => match shape {
                AnswerShape::Classify => reply::json(StatusCode::OK, &document(classified, encoding), size),
                AnswerShape::Vertex => reply::json(StatusCode::OK, &vertex(classified, encoding), size),
                AnswerShape::TorchServe => reply::json(StatusCode::OK, &TorchServeDocument(classified), size),
            },
            (Dialect::TensorFlowServing, _) => reply::json(StatusCode::OK, &tfserving::results(classified), size),
        };
        timing::tell(&classified.timing, &mut answer);
        answer
    }
}

/// What is no picture and came under the type of a form was sent with `curl -d @FILE`, most likely.
pub(super) fn with_hint(error: Error, options: &RequestOptions) -> Error {
    let is_about_the_picture = match error.kind {
        ErrorKind::UnsupportedFormat => true,
        ErrorKind::InvalidArgument => options.classes == ClassesWanted::default(),
        _ => false,
    };
    if !is_about_the_picture {
        return error;
    }
    let hint = "its type is that of a form, under which `curl -d` takes the line ends out of files: use --data-binary";
    Error { message: format!("{}; {hint}", error.message), ..error }
}

/// The classes of every picture of the request.
#[derive(Serialize, ToSchema)]
#[schema(as = Classification)]
pub(super) struct ClassifyDocument<'a> {
    /// The model that answered.
    model: &'a str,
    /// Its version.
    version: u64,
    /// What its graph was recognized as; `unknown` for what is no ResNet.
    architecture: &'a str,
    /// An entry a picture, in the order of the request.
    #[schema(value_type = Vec<ImageEntry<'a>>)]
    predictions: AnsweredImages<'a>,
    timing_ms: TimingMs,
    /// The most pictures that were in one run of the network with one of these, those of other requests included; 0 where `cached`.
    batch_size: usize,
    /// `true` where nothing was run for this answer: what the network says of every picture was kept from an earlier one. Left out
    /// otherwise.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    cached: bool,
}

/// Where the time went, in milliseconds. Of several pictures the longest counts.
#[derive(Serialize, ToSchema)]
#[schema(as = Timing)]
pub(super) struct TimingMs {
    /// Decoding, resizing and cropping.
    preprocess: f64,
    /// Waiting for a batch.
    queue: f64,
    /// The network's run.
    inference: f64,
    /// From the request's head to the answer.
    total: f64,
}

impl TimingMs {
    pub(super) fn of(timing: &Timing) -> Self {
        Self {
            preprocess: to_microseconds(timing.preprocess_ms),
            queue: to_microseconds(timing.queue_ms),
            inference: to_microseconds(timing.inference_ms),
            total: to_microseconds(timing.total_ms),
        }
    }
}

pub(super) fn document(answer: &Answer, encoding: Encoding) -> ClassifyDocument<'_> {
    ClassifyDocument {
        model: &answer.model,
        version: answer.version,
        architecture: &answer.architecture,
        predictions: AnsweredImages { answer, encoding },
        timing_ms: TimingMs::of(&answer.timing),
        batch_size: answer.batch_size,
        cached: answer.cached,
    }
}

/// Milliseconds, rounded to a microsecond: more digits are noise.
fn to_microseconds(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Prediction;

    #[test]
    fn the_answer_has_the_shape_of_the_contract() {
        let answer = Answer {
            model: "resnet50".into(),
            version: 1,
            architecture: "resnet50".into(),
            predictions: vec![vec![Prediction { index: 281, label: "tabby".into(), probability: 0.83 }]],
            outputs: Vec::new(),
            timing: Timing { preprocess_ms: 2.9, queue_ms: 0.40049, inference_ms: 49.1, total_ms: 52.6 },
            batch_size: 4,
            cached: false,
            answered_by: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&document(&answer, Encoding::Numbers)).expect("JSON"),
            r#"{"model":"resnet50","version":1,"architecture":"resnet50","predictions":[{"classes":[{"index":281,"label":"tabby","probability":0.83}]}],"timing_ms":{"preprocess":2.9,"queue":0.4,"inference":49.1,"total":52.6},"batch_size":4}"#
        );
    }
}
