//! `inference.GRPCInferenceService`: the Open Inference Protocol over gRPC.

mod answer;
mod convert;
mod describe;
mod stream;

use std::collections::HashMap;

use prost::Message;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};

use super::{
    call::GrpcCall,
    convert::{status, status_as},
    deadline::deadline,
    outcome::finish,
    proto::inference::{self as proto, grpc_inference_service_server},
};
use crate::{
    server::{audited::AuditedManager, request_log::SlowRequests, shared::Shared, threads::Threads, v2},
    service::{Error, ErrorKind, Readiness, Service, Target},
};
use answer::Inferring;

/// The service of `proto/inference/grpc_service.proto`.
pub(super) struct InferenceService {
    service: Service,
    threads: Threads,
    slow: SlowRequests,
    stream_concurrency: usize,
    shared: Shared,
}

impl InferenceService {
    pub(super) fn new(shared: &Shared) -> Self {
        Self {
            service: shared.service.clone(),
            threads: shared.threads.clone(),
            slow: shared.slow.clone(),
            stream_concurrency: shared.options.stream_concurrency,
            shared: shared.clone(),
        }
    }

    fn inferring(&self) -> Inferring {
        Inferring { service: self.service.clone(), threads: self.threads.clone() }
    }

    /// Answers a question about a model.
    fn tell<Q, A: Message>(
        &self,
        request: &Request<Q>,
        what: &str,
        model: &str,
        answer: impl FnOnce() -> Result<A, Error>,
    ) -> Result<Response<A>, Status> {
        let call = GrpcCall::of(request)?;
        let log = call.log(&self.slow);
        // Statistics of all models name none.
        let may = if model.is_empty() { Ok(()) } else { call.asker.check_model(model) };
        finish(log, what, model, &call.charge, may.and_then(|()| answer()))
    }

    /// Whoever brings models and takes them away, for a call with these parameters.
    ///
    /// # Errors
    /// `UNIMPLEMENTED` where this is not the management address, and for what is not taken.
    fn manager(
        &self,
        call: &GrpcCall,
        parameters: &HashMap<String, proto::ModelRepositoryParameter>,
    ) -> Result<AuditedManager, Status> {
        let unimplemented = |error: &Error| status_as(error, Code::Unimplemented);
        let manager = self.shared.manager(call.who()).map_err(|error| unimplemented(&error))?;
        v2::check_load(parameters.keys().map(String::as_str))
            .map_err(|message| unimplemented(&Error::new(ErrorKind::InvalidArgument, message)))?;
        Ok(manager)
    }

    fn target(&self, name: &str, version: &str) -> Result<Target, Error> {
        self.service.target(name, v2::pick(version)?)
    }
}

#[tonic::async_trait]
impl grpc_inference_service_server::GrpcInferenceService for InferenceService {
    type ModelStreamInferStream = ReceiverStream<Result<proto::ModelStreamInferResponse, Status>>;

    async fn server_live(
        &self,
        _: Request<proto::ServerLiveRequest>,
    ) -> Result<Response<proto::ServerLiveResponse>, Status> {
        Ok(Response::new(proto::ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<proto::ServerReadyRequest>,
    ) -> Result<Response<proto::ServerReadyResponse>, Status> {
        let ready = self.service.readiness() == Readiness::Ready;
        Ok(Response::new(proto::ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<proto::ModelReadyRequest>,
    ) -> Result<Response<proto::ModelReadyResponse>, Status> {
        let proto::ModelReadyRequest { name, version } = request.get_ref();
        self.tell(&request, "ModelReady", name, || {
            let version = v2::pick(version)?;
            let answers = self.service.answers(name, version).is_ok();
            let ready = answers && self.service.readiness() != Readiness::Draining;
            Ok(proto::ModelReadyResponse { ready })
        })
    }

    async fn server_metadata(
        &self,
        _: Request<proto::ServerMetadataRequest>,
    ) -> Result<Response<proto::ServerMetadataResponse>, Status> {
        Ok(Response::new(proto::ServerMetadataResponse {
            name: v2::NAME.to_owned(),
            version: v2::VERSION.to_owned(),
            extensions: v2::EXTENSIONS.map(str::to_owned).into(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<proto::ModelMetadataRequest>,
    ) -> Result<Response<proto::ModelMetadataResponse>, Status> {
        let proto::ModelMetadataRequest { name, version } = request.get_ref();
        self.tell(&request, "ModelMetadata", name, || {
            let target = self.target(name, version)?;
            Ok(describe::metadata(v2::ModelMetadata::of(&self.service, &target)?))
        })
    }

    async fn model_infer(
        &self,
        request: Request<proto::ModelInferRequest>,
    ) -> Result<Response<proto::ModelInferResponse>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let deadline = deadline(request.metadata(), call.arrived);
        let request = request.into_inner();
        let model = request.model_name.clone();
        let result = self.inferring().answer(request, &call, call.arrived, deadline, Ok(call.charge.clone())).await;
        finish(log, "ModelInfer", &model, &call.charge, result)
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<proto::ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let call = GrpcCall::of(&request)?;
        let deadline = deadline(request.metadata(), call.arrived).map_err(|error| status(&error))?;
        let answers = stream::start(stream::InferStream {
            inferring: self.inferring(),
            requests: request.into_inner(),
            call,
            deadline,
            concurrency: self.stream_concurrency.max(1),
            slow: self.slow.clone(),
        });
        Ok(Response::new(answers))
    }

    async fn model_config(
        &self,
        request: Request<proto::ModelConfigRequest>,
    ) -> Result<Response<proto::ModelConfigResponse>, Status> {
        let proto::ModelConfigRequest { name, version } = request.get_ref();
        self.tell(&request, "ModelConfig", name, || {
            let config = describe::config(v2::ModelConfig::of(&self.target(name, version)?));
            Ok(proto::ModelConfigResponse { config: Some(config) })
        })
    }

    async fn model_statistics(
        &self,
        request: Request<proto::ModelStatisticsRequest>,
    ) -> Result<Response<proto::ModelStatisticsResponse>, Status> {
        let proto::ModelStatisticsRequest { name, version } = request.get_ref();
        self.tell(&request, "ModelStatistics", name, || {
            let named = Some(&**name).filter(|name| !name.is_empty());
            let versions = self.service.statistics(named, v2::pick(version)?)?;
            let model_stats = versions.into_iter().map(describe::statistics).collect();
            Ok(proto::ModelStatisticsResponse { model_stats })
        })
    }

    async fn repository_index(
        &self,
        request: Request<proto::RepositoryIndexRequest>,
    ) -> Result<Response<proto::RepositoryIndexResponse>, Status> {
        let models = v2::index(&self.service, request.get_ref().ready).into_iter().map(describe::entry).collect();
        Ok(Response::new(proto::RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<proto::RepositoryModelLoadRequest>,
    ) -> Result<Response<proto::RepositoryModelLoadResponse>, Status> {
        let proto::RepositoryModelLoadRequest { model_name, parameters, .. } = request.get_ref();
        let manager = self.manager(GrpcCall::before(&request)?, parameters)?;
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let loaded = manager.load(model_name).await.map(|()| proto::RepositoryModelLoadResponse {});
        finish(log, "RepositoryModelLoad", model_name, &call.charge, loaded)
    }

    async fn repository_model_unload(
        &self,
        request: Request<proto::RepositoryModelUnloadRequest>,
    ) -> Result<Response<proto::RepositoryModelUnloadResponse>, Status> {
        let proto::RepositoryModelUnloadRequest { model_name, parameters, .. } = request.get_ref();
        let manager = self.manager(GrpcCall::before(&request)?, parameters)?;
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let unloaded = manager.unload(model_name).await.map(|()| proto::RepositoryModelUnloadResponse {});
        finish(log, "RepositoryModelUnload", model_name, &call.charge, unloaded)
    }
}
