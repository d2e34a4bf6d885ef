//! `ClassifySeveral`: the same images for several models, decoded once for all that prepare them alike, and what each of them says.

use std::time::Instant;

use futures_util::future::join_all;

use super::{call::GrpcCall, convert, proto};
use crate::{
    server::{
        several::{MOST_MODELS, refusal, too_many_models},
        status::wire_status,
        threads::Threads,
    },
    service::{
        Arrival, Error, ErrorKind, ErrorSubject, Prediction, Service, SeveralAnswers, SeveralRequest, VersionPick,
        Wanted,
    },
    telemetry::Protocol,
};

/// Answers a call. Every model counts as asked once, by how its part of the call ended.
pub(super) async fn classify(
    service: &Service,
    threads: &Threads,
    message: proto::ClassifySeveralRequest,
    deadline: Result<Option<Instant>, Error>,
    call: &GrpcCall,
) -> Result<proto::ClassifySeveralResponse, Error> {
    let models = message.models.clone();
    if let Err(error) = check_count(&models) {
        // Of no model that is known.
        let nobody = service.arrive(Protocol::Grpc, "", VersionPick::Highest, &call.asker, call.arrived);
        nobody.finish(Some(wire_status(error.kind).2));
        return Err(error);
    }
    let versions: Vec<_> = models.iter().map(|model| convert::version(model.version, &model.version_label)).collect();
    let arrivals: Vec<_> = models
        .iter()
        .zip(&versions)
        .map(|(model, version)| {
            let picked = version.as_ref().map_or(VersionPick::Highest, |version| *version);
            service.arrive(Protocol::Grpc, &model.model, picked, &call.asker, call.arrived).in_trace(call.recorded())
        })
        .collect();
    let answered = async || {
        let deadline = deadline?;
        versions.into_iter().collect::<Result<Vec<_>, _>>()?;
        answer(service, message, &arrivals, deadline, call).await
    };
    let outcome = answered().await;
    let code = |error: &Error| wire_status(error.kind).2;
    for (index, arrival) in arrivals.into_iter().enumerate() {
        arrival.finish(match &outcome {
            Ok(answered) => answered.answers.get(index).and_then(|answer| answer.as_ref().err()).map(code),
            Err(error) => Some(code(error)),
        });
    }
    response(models, outcome?, threads).await
}

fn check_count(models: &[proto::ModelChoice]) -> Result<(), Error> {
    let refused = |message: &str| Error::new(ErrorKind::InvalidArgument, message.to_owned());
    let error = match models.len() {
        0 => refused("the request names no model: name those that are asked, 8 at most"),
        count if count > MOST_MODELS => too_many_models(count),
        _ if models.iter().any(|model| model.model.is_empty()) => refused("a model has no name: name each"),
        _ => return Ok(()),
    };
    Err(error.about(ErrorSubject::Field("models")))
}

async fn answer(
    service: &Service,
    message: proto::ClassifySeveralRequest,
    arrivals: &[Arrival<'_>],
    deadline: Option<Instant>,
    call: &GrpcCall,
) -> Result<SeveralAnswers, Error> {
    let classes = convert::classes_wanted(message.top_k, message.min_probability);
    // Those that have to be loaded are waited for side by side.
    let targets = join_all(arrivals.iter().map(|arrival| arrival.warmed(deadline))).await;
    let mut asked = Vec::with_capacity(targets.len());
    for target in targets {
        asked.push(match target {
            // The call names what there is not: it is a mistake, and none of the others is asked.
            Err(error) if error.kind == ErrorKind::NotFound => return Err(error),
            one => one.map(|target| (target, Wanted::outputs(message.outputs.clone()).with_classes(Some(classes)))),
        });
    }
    let mean = match message.ensemble {
        0 => None,
        number if number == proto::Ensemble::Mean as i32 => Some(classes),
        number => {
            let message = format!("ensemble is {number}: it must be 0 (none) or 1, ENSEMBLE_MEAN");
            return Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("ensemble")));
        }
    };
    let request = SeveralRequest {
        asked,
        pictures: message.images,
        mean,
        deadline,
        priority: convert::priority(message.priority),
        client: call.client,
        charge: call.charge.clone(),
        trace: call.trace(),
    };
    let answered = service.answer_several(request).await?;
    let first = message.models.first().map_or("", |model| &*model.model);
    match refusal(first, &answered.answers) {
        Some(error) => Err(error),
        None => Ok(answered),
    }
}

async fn response(
    models: Vec<proto::ModelChoice>,
    answered: SeveralAnswers,
    threads: &Threads,
) -> Result<proto::ClassifySeveralResponse, Error> {
    use proto::one_of_several::Result as Said;
    let mut entries = Vec::with_capacity(models.len());
    for (model, answer) in models.into_iter().zip(answered.answers) {
        let (name, said) = match answer {
            Ok(answer) => (answer.model.to_string(), Said::Response(convert::response(answer, threads).await?)),
            Err(error) => (model.model, Said::Error(convert::error_item(error))),
        };
        entries.push(proto::OneOfSeveral { model: name, result: Some(said) });
    }
    let ensemble = answered.mean.map(|mean: Result<Vec<Vec<Prediction>>, Error>| match mean {
        Ok(images) => proto::EnsembleAnswer {
            predictions: images.into_iter().map(|classes| convert::prediction(classes, String::new())).collect(),
            error: None,
        },
        Err(error) => proto::EnsembleAnswer { predictions: Vec::new(), error: Some(convert::error_item(error)) },
    });
    Ok(proto::ClassifySeveralResponse { models: entries, ensemble })
}
