//! `resnetd.v1.Classifier`: one call, or a stream of them, and what is served.

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::{call::GrpcCall, convert, deadline::deadline, explain, outcome::finish, proto, several, stream};
use crate::{
    server::{request_log::SlowRequests, several::MOST_MODELS, shared::Shared, status::wire_status, threads::Threads},
    service::{Service, VersionPick},
    telemetry::Protocol,
};

/// The service of `proto/resnetd/v1/classifier.proto`.
pub(super) struct Classifier {
    service: Service,
    threads: Threads,
    slow: SlowRequests,
    stream_concurrency: usize,
}

impl Classifier {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            service: shared.service.clone(),
            threads: shared.threads.clone(),
            slow: shared.slow.clone(),
            stream_concurrency: shared.options.stream_concurrency,
        }
    }
}

#[tonic::async_trait]
impl proto::classifier_server::Classifier for Classifier {
    type ClassifyStreamStream = ReceiverStream<Result<proto::ClassifyStreamResponse, Status>>;

    async fn classify(
        &self,
        request: Request<proto::ClassifyRequest>,
    ) -> Result<Response<proto::ClassifyResponse>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let deadline = deadline(request.metadata(), call.arrived);
        let request = request.into_inner();
        let (model, label) = (request.model.clone(), request.version_label.clone());
        let version = convert::version(request.version, &label);
        let picked = version.as_ref().map_or(VersionPick::Highest, |version| *version);
        let arrival =
            self.service.arrive(Protocol::Grpc, &model, picked, &call.asker, call.arrived).in_trace(call.recorded());
        let warmed = async || {
            let deadline = deadline?;
            version?;
            Ok((arrival.warmed(deadline).await?, deadline))
        };
        let result = match warmed().await {
            Ok((target, deadline)) => {
                let request =
                    convert::request(request, target, deadline, call.charge.clone(), call.client, call.trace());
                match self.service.answer(request).await {
                    Ok(answer) => convert::response(answer, &self.threads).await,
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(error),
        };
        arrival.finish(result.as_ref().err().map(|error| wire_status(error.kind).2));
        finish(log, "Classify", &model, &call.charge, result)
    }

    async fn classify_stream(
        &self,
        request: Request<Streaming<proto::ClassifyStreamRequest>>,
    ) -> Result<Response<Self::ClassifyStreamStream>, Status> {
        let call = GrpcCall::of(&request)?;
        let deadline = deadline(request.metadata(), call.arrived).map_err(|error| convert::status(&error))?;
        let answers = stream::start(stream::Stream {
            service: self.service.clone(),
            threads: self.threads.clone(),
            requests: request.into_inner(),
            call,
            deadline,
            concurrency: self.stream_concurrency.max(1),
            slow: self.slow.clone(),
        });
        Ok(Response::new(answers))
    }

    async fn classify_several(
        &self,
        request: Request<proto::ClassifySeveralRequest>,
    ) -> Result<Response<proto::ClassifySeveralResponse>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let deadline = deadline(request.metadata(), call.arrived);
        let request = request.into_inner();
        let names: Vec<_> = request.models.iter().take(MOST_MODELS).map(|model| &*model.model).collect();
        let names = names.join(",");
        let result = several::classify(&self.service, &self.threads, request, deadline, &call).await;
        finish(log, "ClassifySeveral", &names, &call.charge, result)
    }

    async fn explain(
        &self,
        request: Request<proto::ExplainRequest>,
    ) -> Result<Response<proto::ExplainResponse>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let deadline = deadline(request.metadata(), call.arrived);
        let request = request.into_inner();
        let (model, label) = (request.model.clone(), request.version_label.clone());
        let version = convert::version(request.version, &label);
        let picked = version.as_ref().map_or(VersionPick::Highest, |version| *version);
        let arrival =
            self.service.arrive(Protocol::Grpc, &model, picked, &call.asker, call.arrived).in_trace(call.recorded());
        let explained = async || {
            let deadline = deadline?;
            version?;
            let target = arrival.warmed(deadline).await?;
            self.service.explain(explain::request(request, target, deadline, &call)?).await
        };
        let result = explained().await.map(explain::response);
        arrival.finish(result.as_ref().err().map(|error| wire_status(error.kind).2));
        finish(log, "Explain", &model, &call.charge, result)
    }

    async fn list_models(
        &self,
        _: Request<proto::ListModelsRequest>,
    ) -> Result<Response<proto::ListModelsResponse>, Status> {
        let models = self.service.list().iter().map(|model| convert::model(model, false)).collect();
        Ok(Response::new(proto::ListModelsResponse { models }))
    }

    async fn get_model(&self, request: Request<proto::GetModelRequest>) -> Result<Response<proto::Model>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let request = request.into_inner();
        let version = convert::version(request.version, &request.version_label);
        let found = call
            .asker
            .check_model(&request.name)
            .and(version)
            .and_then(|version| self.service.find(&request.name, version));
        finish(log, "GetModel", &request.name, &call.charge, found.map(|model| convert::model(&model, true)))
    }
}
