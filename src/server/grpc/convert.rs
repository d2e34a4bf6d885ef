//! Between the service's words and the messages of `resnetd.v1`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use hyper::header::{HeaderName, HeaderValue};
use tonic::{Code, Status, metadata::MetadataMap};

use super::{details, proto};
use crate::{
    server::{
        status::wire_status,
        threads::{Threads, is_long},
    },
    service::{
        Answer, Charge, ClassesWanted, ClientId, Error, ErrorKind, ErrorSubject, ModelState, ModelStatus, NamedOutput,
        Prediction, Priority, Request, Shown, Target, TensorInfo, Timing, TraceContext, VersionPick, Wanted,
    },
    tensor::{ColorOrder, Layout},
};

/// The trailing metadata that names an error's kind, where one gRPC code covers several.
pub(super) const ERROR_CODE: HeaderName = HeaderName::from_static("x-error-code");

/// gRPC's own way to say when to try again (proposal A6).
const RETRY_PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A message as a request of the service.
pub(super) fn request(
    message: proto::ClassifyRequest,
    target: Target,
    deadline: Option<Instant>,
    charge: Arc<Charge>,
    client: Option<ClientId>,
    trace: TraceContext,
) -> Request {
    let classes = classes_wanted(message.top_k, message.min_probability);
    Request {
        items: message.images.into_iter().map(|image| target.picture(image)).collect(),
        target,
        wanted: Wanted::outputs(message.outputs).with_classes(Some(classes)),
        deadline,
        priority: priority(message.priority),
        client,
        charge,
        trace,
    }
}

/// Which classes an answer has.
pub(super) fn classes_wanted(top_k: Option<u32>, min_probability: f32) -> ClassesWanted {
    ClassesWanted {
        top_k: top_k.map(|top_k| top_k as usize),
        // Proto's 0 is what was not set: no class is left out.
        min_probability: (min_probability != 0.0).then_some(min_probability),
    }
}

/// Whom a request may overtake. Proto's 0 is what was not set.
pub(super) fn priority(number: u32) -> Priority {
    match number {
        0 => Priority::DEFAULT,
        number => Priority(number),
    }
}

/// Which version a message means. Proto's 0 is no version, but the highest one.
pub(super) fn version(number: u64, label: &str) -> Result<VersionPick<'_>, Error> {
    match (number, label) {
        (0, "") => Ok(VersionPick::Highest),
        (number, "") => Ok(VersionPick::Number(number)),
        (0, label) => Ok(VersionPick::Label(label)),
        (number, label) => {
            let message = format!("version {number} and version_label `{}` exclude each other; send one", Shown(label));
            Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("version_label")))
        }
    }
}

/// The service's answer as a message; a long one is made on one of `threads`.
pub(super) async fn response(answer: Answer, threads: &Threads) -> Result<proto::ClassifyResponse, Error> {
    threads.run_if(is_long(&answer), move || message(answer)).await
}

/// Where the time went, as a message.
pub(super) fn timing(timing: &Timing) -> proto::Timing {
    let Timing { preprocess_ms, queue_ms, inference_ms, total_ms } = *timing;
    proto::Timing { preprocess_ms, queue_ms, inference_ms, total_ms }
}

fn message(answer: Answer) -> proto::ClassifyResponse {
    proto::ClassifyResponse {
        model: answer.model.to_string(),
        version: answer.version,
        architecture: answer.architecture.to_string(),
        predictions: answer
            .predictions
            .into_iter()
            .enumerate()
            .map(|(image, classes)| {
                let by = answer.answered_by.get(image).map(ToString::to_string);
                prediction(classes, by.unwrap_or_default())
            })
            .collect(),
        timing: Some(timing(&answer.timing)),
        batch_size: answer.batch_size as u32,
        cached: answer.cached,
        outputs: answer.outputs.into_iter().map(output).collect(),
    }
}

/// The classes of one image as a message.
pub(super) fn prediction(classes: Vec<Prediction>, answered_by: String) -> proto::Prediction {
    let class = |class: Prediction| proto::Class {
        index: class.index as u32,
        label: class.label.to_string(),
        probability: class.probability,
    };
    proto::Prediction { classes: classes.into_iter().map(class).collect(), answered_by }
}

fn output(output: NamedOutput) -> proto::OutputValues {
    let NamedOutput { name, shape, values } = output;
    let shape = shape.map(|size| i64::try_from(size).unwrap_or(i64::MAX));
    proto::OutputValues { name: name.to_string(), shape: shape.to_vec(), values }
}

/// A refusal as the status of a call, with its kind and the time to try again in the metadata.
pub(super) fn status(error: &Error) -> Status {
    status_as(error, wire_status(error.kind).1)
}

/// The same for a refusal for which the protocol has a code of its own.
pub(super) fn status_as(error: &Error, code: Code) -> Status {
    let (_, _, name) = wire_status(error.kind);
    let headers = hyper::HeaderMap::from_iter([(ERROR_CODE, HeaderValue::from_static(name))]);
    let mut status = details::status(error, code, MetadataMap::from_headers(headers));
    if let Some(delay) = error.retry_after {
        status.metadata_mut().insert(RETRY_PUSHBACK, milliseconds(delay).into());
    }
    status
}

/// An error about images, of a protocol that has them in another field than ours.
pub(super) fn in_field(mut error: Error, field: &'static str) -> Error {
    if matches!(error.subject, Some(ErrorSubject::Image(_) | ErrorSubject::Images)) {
        error.subject = Some(ErrorSubject::Field(field));
    }
    error
}

/// A refusal as the item of a stream.
pub(super) fn error_item(error: Error) -> proto::Error {
    use proto::error::Code;
    let code = match error.kind {
        ErrorKind::InvalidArgument => Code::InvalidArgument,
        ErrorKind::UnsupportedFormat => Code::UnsupportedFormat,
        ErrorKind::TooLarge => Code::TooLarge,
        ErrorKind::NotFound => Code::NotFound,
        ErrorKind::Overloaded => Code::Overloaded,
        ErrorKind::DeadlineExceeded => Code::DeadlineExceeded,
        ErrorKind::Unavailable => Code::Unavailable,
        ErrorKind::Unauthenticated => Code::Unauthenticated,
        ErrorKind::PermissionDenied => Code::PermissionDenied,
        ErrorKind::LimitReached => Code::ResourceExhausted,
        ErrorKind::Internal => Code::Internal,
    };
    proto::Error {
        code: code.into(),
        retry_after_ms: error.retry_after.map_or(0, milliseconds),
        message: error.message,
    }
}

/// A model as a message; its labels only on demand, there can be thousands.
pub(super) fn model(model: &ModelStatus, with_labels: bool) -> proto::Model {
    use proto::model::State;
    let (state, reason) = match &model.state {
        ModelState::Loading => (State::Loading, String::new()),
        ModelState::Available => (State::Available, model.outdated.clone().unwrap_or_default()),
        ModelState::Failed(reason) => (State::Failed, reason.clone()),
        ModelState::NotLoaded(reason) => (State::NotLoaded, reason.clone()),
    };
    let info = model.info.as_ref().map(|info| proto::ModelInfo {
        architecture: info.architecture.to_string(),
        input: Some(tensor(&info.input)),
        output: Some(tensor(&info.output)),
        layout: match info.layout {
            Layout::Nchw => "nchw".to_owned(),
            Layout::Nhwc => "nhwc".to_owned(),
        },
        color: match info.color {
            ColorOrder::Rgb => "rgb".to_owned(),
            ColorOrder::Bgr => "bgr".to_owned(),
            ColorOrder::Gray => "gray".to_owned(),
        },
        classes: info.labels.len() as u32,
        labels: if with_labels { info.labels.iter().map(|label| label.to_string()).collect() } else { Vec::new() },
        max_batch_size: info.max_batch_size as u32,
        instances: info.instances as u32,
        provider: info.provider.clone(),
        precision: info.precision.clone(),
        untrained: info.untrained,
        features: info.features.as_ref().map_or(0, |features| *features as u32),
    });
    proto::Model { name: model.name.to_string(), version: model.version, state: state.into(), reason, info }
}

fn tensor(tensor: &TensorInfo) -> proto::Tensor {
    proto::Tensor { name: tensor.name.clone(), shape: tensor.shape.clone() }
}

fn milliseconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    #[test]
    fn a_status_tells_overload_from_size_and_says_when_to_come_back() {
        let overloaded = status(&Error::new(ErrorKind::Overloaded, "full").retry_after(Duration::from_millis(250)));
        let too_large = status(&Error::new(ErrorKind::TooLarge, "big"));
        assert_eq!([overloaded.code(), too_large.code()], [Code::ResourceExhausted; 2]);
        assert_eq!(overloaded.metadata().get("x-error-code").expect("a kind"), "OVERLOADED");
        assert_eq!(overloaded.metadata().get("grpc-retry-pushback-ms").expect("a delay"), "250");
        assert_eq!(too_large.metadata().get("x-error-code").expect("a kind"), "TOO_LARGE");
        assert!(too_large.metadata().get("grpc-retry-pushback-ms").is_none());
    }
}
