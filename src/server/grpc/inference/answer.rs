//! One request to infer, alone or in a stream: from its message to its answer.

use std::{sync::Arc, time::Instant};

use super::convert;
use crate::{
    server::{
        grpc::{call::GrpcCall, convert::in_field, proto::inference as proto},
        status::wire_status,
        threads::{Threads, is_long},
        v2,
    },
    service::{Arrival, Charge, Error, ErrorSubject, Request, Service, VersionPick},
    telemetry::Protocol,
};

/// What every request is answered with.
#[derive(Clone)]
pub(super) struct Inferring {
    pub(super) service: Service,
    pub(super) threads: Threads,
}

impl Inferring {
    /// Answers a request and counts it by its outcome.
    ///
    /// * `arrived`: when it came
    /// * `deadline`: the call's
    /// * `charge`: for the memory that it takes
    pub(super) async fn answer(
        &self,
        message: proto::ModelInferRequest,
        call: &GrpcCall,
        arrived: Instant,
        deadline: Result<Option<Instant>, Error>,
        charge: Result<Arc<Charge>, Error>,
    ) -> Result<proto::ModelInferResponse, Error> {
        let version = v2::pick(&message.model_version);
        // A version that is no number is none of a model's, as 0 is none; the client is told below.
        let picked = version.as_ref().map_or(VersionPick::Number(0), |version| VersionPick::from(*version));
        let arrival = self
            .service
            .arrive(Protocol::Grpc, &message.model_name, picked, &call.asker, arrived)
            .in_trace(call.recorded());
        let outcome = match (version, deadline, charge) {
            (Ok(_), Ok(deadline), Ok(charge)) => self.work(message, call, arrived, deadline, charge, &arrival).await,
            (Err(error), _, _) => Err(error.about(ErrorSubject::Field("model_version"))),
            (_, Err(error), _) | (_, _, Err(error)) => Err(error),
        };
        let outcome = outcome.map_err(|error| in_field(error, "inputs[0]"));
        arrival.finish(outcome.as_ref().err().map(|error| wire_status(error.kind).2));
        outcome
    }

    async fn work(
        &self,
        message: proto::ModelInferRequest,
        call: &GrpcCall,
        arrived: Instant,
        deadline: Option<Instant>,
        charge: Arc<Charge>,
        arrival: &Arrival<'_>,
    ) -> Result<proto::ModelInferResponse, Error> {
        let target = arrival.warmed(convert::schedule(&message).deadline(arrived, deadline)).await?;
        let labels = target.model().info.labels.clone();
        let (is_work, id) = (convert::is_work(&message), message.id.clone());
        let inference = {
            let (service, target, charge) = (self.service.clone(), target.clone(), charge.clone());
            let work = move || convert::take_apart(message, &service, &target, &charge);
            self.threads.run_if(is_work, work).await??
        };
        let convert::TakenApart { items, requested, schedule, wants_final } = inference;
        let request = Request {
            items,
            target,
            wanted: requested.wanted(),
            deadline: schedule.deadline(arrived, deadline),
            priority: schedule.priority(),
            client: call.client,
            charge,
            trace: call.trace(),
        };
        let answer = self.service.answer(request).await?;
        let (model, version) = (answer.model.clone(), answer.version);
        let written = self.threads.run_if(is_long(&answer), move || {
            let tensors = requested.tensors(answer, &labels);
            convert::response(&model, version, id, &tensors, wants_final)
        });
        written.await
    }
}
