//! `POST /v1/models/{a},{b}:classify`: the same pictures for several models, decoded once, and what each of them says.

use std::sync::Arc;

use axum::{
    extract::Request,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use futures_util::future::join_all;
use serde::Serialize;
use utoipa::ToSchema;

use super::{
    accept::AnswerForm,
    asked::Encoding,
    classify::{ClassifyDocument, TakenUpload, document, take, with_hint},
    images::ImageEntry,
    names::{NamedModel, named_models},
    options::{Ensemble, RequestOptions},
    path::ModelPath,
    upload::Dialect,
};
use crate::{
    server::{
        http::{
            call::HttpCall,
            description::ModelInPath,
            door::HttpDoor,
            error::{Failure, code},
            reply, timing,
        },
        several::refusal,
        status::wire_status,
        threads::is_long,
    },
    service::{Answer, Arrival, Error, ErrorKind, SeveralAnswers, SeveralRequest, Timing, VersionPick, Wanted},
    telemetry::Protocol,
};

/// Whether a path names several models: it has a comma, and no model has that in its name.
pub(super) fn are_meant(door: &HttpDoor, path: &ModelPath) -> bool {
    path.model().is_ok_and(|name| name.contains(',') && door.service().versions(name).is_err())
}

/// Answers with what each model says. Every model counts as asked once, by how its part of the call ended.
pub(super) async fn classify(
    door: &Arc<HttpDoor>,
    call: &HttpCall,
    path: &ModelPath,
    request: Request,
) -> Result<Response, Failure> {
    let service = door.service();
    let named = match named(door, path) {
        Ok(named) => named,
        Err(error) => {
            let failure = Failure::from(error);
            // Of no model that is known.
            service
                .arrive(Protocol::Http, "", VersionPick::Highest, &call.asker, call.arrived)
                .finish(Some(failure.code()));
            return Err(failure);
        }
    };
    // A version that is none is none of the model's, as 0 is.
    let arrivals: Vec<_> = named
        .iter()
        .map(|model| {
            let version = model.version().unwrap_or(VersionPick::Number(0));
            service.arrive(Protocol::Http, &model.name, version, &call.asker, call.arrived).in_trace(call.recorded())
        })
        .collect();
    let outcome = answer(door, call, &named, &arrivals, request).await;
    for (index, arrival) in arrivals.into_iter().enumerate() {
        arrival.finish(match &outcome {
            Ok((_, codes)) => codes.get(index).copied().flatten(),
            Err(failure) => Some(failure.code()),
        });
    }
    outcome.map(|(response, _)| response)
}

fn named(door: &HttpDoor, path: &ModelPath) -> Result<Vec<NamedModel>, Error> {
    let text = path.model()?;
    if path.place() != ModelInPath::Model {
        let message = "of several models each has its version behind its name: `/v1/models/a@3,b@stable:classify`";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    named_models(text, |name| door.service().versions(name).is_ok())
}

/// The answer, and the code of each model's part of it that is a refusal.
async fn answer(
    door: &HttpDoor,
    call: &HttpCall,
    named: &[NamedModel],
    arrivals: &[Arrival<'_>],
    request: Request,
) -> Result<(Response, Vec<Option<&'static str>>), Failure> {
    for model in named {
        model.version()?;
    }
    let classes = || arrivals.iter().find_map(|arrival| arrival.target().ok()).map(|target| target.model().classes());
    let TakenUpload { headers, priority, options, charge, upload } = take(door, call, request, classes).await?;
    check_form(&headers, &options, upload.dialect)?;
    let deadline = options.timeout.map(|timeout| call.arrived + timeout);
    // Those that have to be loaded are waited for side by side.
    let targets = join_all(arrivals.iter().map(|arrival| arrival.warmed(deadline))).await;
    let mut asked = Vec::with_capacity(named.len());
    for target in targets {
        let one = match target {
            // The call names what there is not: it is a mistake, and none of the others is asked.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::PermissionDenied) => {
                return Err(error.into());
            }
            one => one,
        };
        asked.push(one.and_then(|target| {
            let outputs = options.outputs.clone().of(&target)?;
            Ok((target, Wanted::outputs(outputs).with_classes(Some(options.classes))))
        }));
    }
    let request = SeveralRequest {
        asked,
        pictures: upload.images,
        mean: options.ensemble.map(|Ensemble::Mean| options.classes),
        deadline,
        priority,
        client: call.client,
        charge,
        trace: call.trace(),
    };
    let mut answered = door.service().answer_several(request).await?;
    if upload.is_form {
        let hinted = |answer: Result<Answer, Error>| answer.map_err(|error| with_hint(error, &options));
        answered.answers = answered.answers.into_iter().map(hinted).collect();
    }
    if let Some(error) = refusal(named.first().map_or("", |model| &*model.name), &answered.answers) {
        return Err(error.into());
    }
    let code = |answer: &Result<Answer, Error>| answer.as_ref().err().map(|error| wire_status(error.kind).2);
    let codes = answered.answers.iter().map(code).collect();
    let names: Vec<_> = named.iter().map(|model| model.name.clone()).collect();
    let is_worth_it = answered.answers.iter().flatten().any(is_long);
    let written = door.threads().run_if(is_worth_it, move || write(&names, &answered, options.encoding));
    Ok((written.await?, codes))
}

/// What has one model in it, or no place for its name.
fn check_form(headers: &HeaderMap, options: &RequestOptions, dialect: Dialect) -> Result<(), Error> {
    let message = match dialect {
        Dialect::TensorFlowServing => {
            "the answer to `examples` has no place for several models: send `instances`, a form or a file"
        }
        Dialect::Own if !options.outputs.is_empty() && AnswerForm::accepted(headers) != AnswerForm::Json => {
            "what is one output is of one model: ask them one by one, or accept application/json"
        }
        Dialect::Own => return Ok(()),
    };
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// What every model says, in the order of the call.
#[derive(Serialize, ToSchema)]
#[schema(as = SeveralClassifications)]
pub(super) struct SeveralDocument<'a> {
    models: Vec<ModelEntry<'a>>,
    /// Where `ensemble` was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    ensemble: Option<EnsembleEntry<'a>>,
}

/// A model's answer, as if it were asked alone; or why it has none.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = OneOfSeveral)]
enum ModelEntry<'a> {
    Answered(ClassifyDocument<'a>),
    Refused(RefusedModel<'a>),
}

/// Why one model of several has no answer.
#[derive(Serialize, ToSchema)]
struct RefusedModel<'a> {
    model: &'a str,
    /// What was wrong, and how to mend it. For people: the words may change.
    error: &'a str,
    #[schema(schema_with = code)]
    code: &'static str,
}

/// What all models say together, or why there is no such thing.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = EnsembleOfSeveral)]
enum EnsembleEntry<'a> {
    Mean(EnsembleMean<'a>),
    Refused(RefusedEnsemble<'a>),
}

#[derive(Serialize, ToSchema)]
struct EnsembleMean<'a> {
    /// How it was made: `mean`.
    method: &'static str,
    /// An entry a picture, in the order of the request: the classes with the highest mean of all models' probabilities.
    predictions: Vec<ImageEntry<'a>>,
}

/// A model has no answer, so the models have none together.
#[derive(Serialize, ToSchema)]
struct RefusedEnsemble<'a> {
    error: &'a str,
    #[schema(schema_with = code)]
    code: &'static str,
}

fn write(names: &[String], answered: &SeveralAnswers, encoding: Encoding) -> Response {
    let models = names.iter().zip(&answered.answers).map(|(name, answer)| match answer {
        Ok(answer) => ModelEntry::Answered(document(answer, encoding)),
        Err(error) => {
            ModelEntry::Refused(RefusedModel { model: name, error: &error.message, code: wire_status(error.kind).2 })
        }
    });
    let ensemble = answered.mean.as_ref().map(|mean| match mean {
        Ok(images) => {
            let predictions = images.iter().map(|classes| ImageEntry::of_classes(classes)).collect();
            EnsembleEntry::Mean(EnsembleMean { method: "mean", predictions })
        }
        Err(error) => {
            EnsembleEntry::Refused(RefusedEnsemble { error: &error.message, code: wire_status(error.kind).2 })
        }
    });
    let values = |answer: &Answer| {
        let outputs = answer.outputs.iter().map(|output| output.values.len()).sum::<usize>();
        256 + 96 * answer.predictions.iter().map(Vec::len).sum::<usize>() + 12 * outputs
    };
    let size = answered.answers.iter().flatten().map(values).sum::<usize>();
    let document = SeveralDocument { models: models.collect(), ensemble };
    let mut response = reply::json(StatusCode::OK, &document, 2 * size);
    timing::tell(&longest(&answered.answers), &mut response);
    response
}

/// The longest of each phase.
fn longest(answers: &[Result<Answer, Error>]) -> Timing {
    answers.iter().flatten().fold(Timing::default(), |longest, Answer { timing, .. }| Timing {
        preprocess_ms: longest.preprocess_ms.max(timing.preprocess_ms),
        queue_ms: longest.queue_ms.max(timing.queue_ms),
        inference_ms: longest.inference_ms.max(timing.inference_ms),
        total_ms: longest.total_ms.max(timing.total_ms),
    })
}
