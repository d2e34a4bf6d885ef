//! `tensorflow.serving.PredictionService` and `ModelService`: TensorFlow Serving's API over gRPC.

mod describe;
mod examples;
mod spec;
mod tensor;

use std::time::Instant;

use bytes::Bytes;
use prost::Message;
use tonic::{Request, Response, Status};

use super::{
    call::GrpcCall,
    convert::in_field,
    deadline::deadline,
    outcome::finish,
    proto::tensorflow::{DataType, TensorProto, serving as proto},
};
use crate::{
    server::{
        request_log::SlowRequests,
        shared::Shared,
        status::wire_status,
        tfserving::ServingSignature,
        threads::{Threads, is_long},
    },
    service::{
        self, Answer, Arrival, ClassesWanted, Error, ErrorKind, ErrorSubject, Item, NamedOutput, Priority, Service,
        VersionPick, Wanted,
    },
    telemetry::Protocol,
};

/// The service of `proto/tensorflow/serving/prediction_service.proto`.
pub(super) struct PredictionService {
    service: Service,
    threads: Threads,
    slow: SlowRequests,
}

/// What every request has beside its input.
struct Asked<'a> {
    call: &'a GrpcCall,
    spec: &'a proto::ModelSpec,
    deadline: Option<Instant>,
    arrival: &'a Arrival<'a>,
}

impl PredictionService {
    pub(super) fn new(shared: &Shared) -> Self {
        Self { service: shared.service.clone(), threads: shared.threads.clone(), slow: shared.slow.clone() }
    }

    /// Answers a request with `work`, logs it, and counts it by its outcome.
    async fn answered<Q, A: Message>(
        &self,
        request: Request<Q>,
        what: &str,
        spec: impl FnOnce(&mut Q) -> Option<proto::ModelSpec>,
        work: impl AsyncFnOnce(Q, Asked<'_>) -> Result<A, Error>,
    ) -> Result<Response<A>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let deadline = deadline(request.metadata(), call.arrived);
        let mut message = request.into_inner();
        let spec = spec(&mut message).unwrap_or_default();
        let version = spec::version(&spec);
        // A number that is no version's is none of a model's, as 0 is none; the client is told below.
        let picked = version.as_ref().map_or(VersionPick::Number(0), |version| *version);
        let arrival = self
            .service
            .arrive(Protocol::Grpc, &spec.name, picked, &call.asker, call.arrived)
            .in_trace(call.recorded());
        let outcome = match (version, deadline) {
            (Ok(_), Ok(deadline)) => {
                work(message, Asked { call: &call, spec: &spec, deadline, arrival: &arrival }).await
            }
            (Err(error), _) | (_, Err(error)) => Err(error),
        };
        arrival.finish(outcome.as_ref().err().map(|error| wire_status(error.kind).2));
        finish(log, what, &spec.name, &call.charge, outcome)
    }

    async fn predicted(
        &self,
        message: proto::PredictRequest,
        asked: Asked<'_>,
    ) -> Result<proto::PredictResponse, Error> {
        let signature = ServingSignature::to_predict(&asked.spec.signature_name)?;
        let target = asked.arrival.warmed(asked.deadline).await?;
        let mut inputs = message.inputs.into_iter();
        let (Some((name, tensor)), None) = (inputs.next(), inputs.next()) else {
            let (model, own) = (&target.model().name, &target.model().info.input.name);
            let message =
                format!("the request has no input or several, and model `{model}` has one, `{own}`: send that");
            return Err(Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Images));
        };
        let outputs = match message.output_filter {
            // Beside the signature's own, so that who asks by the name in the graph finds it.
            none if none.is_empty() => target.outputs().into_iter().map(str::to_owned).collect(),
            names => names,
        };
        target
            .check_outputs(outputs.iter().map(String::as_str), outputs.len())
            .map_err(|error| error.about(ErrorSubject::Field("output_filter")))?;
        let charge = asked.call.charge.clone();
        let items = {
            let (service, target, is_work) = (self.service.clone(), target.clone(), tensor::is_work(&tensor));
            let work = move || tensor::items(&name, tensor, &service, &target, &charge);
            self.threads.run_if(is_work, work).await??
        };
        let answer = self.answer(items, Wanted::outputs(outputs), &asked).await?;
        let model_spec = Some(spec::answered(&answer.model, answer.version, signature.name()));
        let outputs = self.threads.run_if(is_long(&answer), move || answer.outputs.into_iter().map(output).collect());
        Ok(proto::PredictResponse { model_spec, outputs: outputs.await? })
    }

    async fn classified(
        &self,
        message: proto::ClassificationRequest,
        asked: Asked<'_>,
    ) -> Result<proto::ClassificationResponse, Error> {
        let signature = ServingSignature::to_classify(&asked.spec.signature_name)?;
        let target = asked.arrival.warmed(asked.deadline).await?;
        let examples::Pictures { files, top_k } = examples::pictures(message.input, &self.service, &target)?;
        let items = files.into_iter().map(|file| target.picture(file)).collect();
        let wanted = Wanted::classes(ClassesWanted { top_k, min_probability: None });
        let answer = self.answer(items, wanted, &asked).await?;
        let model_spec = Some(spec::answered(&answer.model, answer.version, signature.name()));
        let result = self.threads.run_if(is_long(&answer), move || classes(answer));
        Ok(proto::ClassificationResponse { result: Some(result.await?), model_spec })
    }

    async fn answer(&self, items: Vec<Item>, wanted: Wanted, asked: &Asked<'_>) -> Result<Answer, Error> {
        let request = service::Request {
            items,
            target: asked.arrival.target()?,
            wanted,
            deadline: asked.deadline,
            priority: Priority::DEFAULT,
            client: asked.call.client,
            charge: asked.call.charge.clone(),
            trace: asked.call.trace(),
        };
        self.service.answer(request).await
    }
}

/// An error with the names that a request to predict has.
fn named(mut error: Error) -> Error {
    if error.subject == Some(ErrorSubject::Field("outputs")) {
        error.subject = Some(ErrorSubject::Field("output_filter"));
    }
    in_field(error, "inputs")
}

/// An output as a message.
fn output(NamedOutput { name, shape, values }: NamedOutput) -> (String, TensorProto) {
    let dims = shape.map(|size| i64::try_from(size).unwrap_or(i64::MAX)).into();
    let numbers: Bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into();
    let tensor = TensorProto {
        dtype: DataType::DtFloat.into(),
        tensor_shape: Some(describe::shape(dims)),
        // Where clients look first; their libraries read either.
        float_val: vec![numbers],
        ..TensorProto::default()
    };
    (name.to_string(), tensor)
}

fn classes(answer: Answer) -> proto::ClassificationResult {
    let class = |class: service::Prediction| proto::Class { label: class.label.to_string(), score: class.probability };
    let image = |classes: Vec<service::Prediction>| proto::Classifications {
        classes: classes.into_iter().map(class).collect(),
    };
    proto::ClassificationResult { classifications: answer.predictions.into_iter().map(image).collect() }
}

#[tonic::async_trait]
impl proto::prediction_service_server::PredictionService for PredictionService {
    async fn classify(
        &self,
        request: Request<proto::ClassificationRequest>,
    ) -> Result<Response<proto::ClassificationResponse>, Status> {
        let spec = |message: &mut proto::ClassificationRequest| message.model_spec.take();
        self.answered(request, "TensorFlowServing/Classify", spec, async |message, asked| {
            self.classified(message, asked).await.map_err(|error| in_field(error, "input"))
        })
        .await
    }

    async fn predict(
        &self,
        request: Request<proto::PredictRequest>,
    ) -> Result<Response<proto::PredictResponse>, Status> {
        let spec = |message: &mut proto::PredictRequest| message.model_spec.take();
        self.answered(request, "Predict", spec, async |message, asked| {
            self.predicted(message, asked).await.map_err(named)
        })
        .await
    }

    async fn get_model_metadata(
        &self,
        request: Request<proto::GetModelMetadataRequest>,
    ) -> Result<Response<proto::GetModelMetadataResponse>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let proto::GetModelMetadataRequest { model_spec, metadata_field } = request.into_inner();
        let spec = model_spec.unwrap_or_default();
        let told = call.asker.check_model(&spec.name).and_then(|()| spec::version(&spec)).and_then(|version| {
            let target = self.service.target(&spec.name, version)?;
            let metadata = describe::metadata(&metadata_field, &target)?;
            let model_spec = Some(spec::answered(&spec.name, target.model().version, ""));
            Ok(proto::GetModelMetadataResponse { model_spec, metadata })
        });
        finish(log, "GetModelMetadata", &spec.name, &call.charge, told)
    }
}

/// The service of `proto/tensorflow/serving/model_service.proto`.
pub(super) struct ModelService {
    service: Service,
    slow: SlowRequests,
}

impl ModelService {
    pub(super) fn new(shared: &Shared) -> Self {
        Self { service: shared.service.clone(), slow: shared.slow.clone() }
    }
}

#[tonic::async_trait]
impl proto::model_service_server::ModelService for ModelService {
    async fn get_model_status(
        &self,
        request: Request<proto::GetModelStatusRequest>,
    ) -> Result<Response<proto::GetModelStatusResponse>, Status> {
        let call = GrpcCall::of(&request)?;
        let log = call.log(&self.slow);
        let spec = request.into_inner().model_spec.unwrap_or_default();
        let versions = call.asker.check_model(&spec.name).and_then(|()| spec::version(&spec));
        let versions = versions.and_then(|version| match version {
            VersionPick::Highest => self.service.versions(&spec.name),
            version => Ok(vec![self.service.find(&spec.name, version)?]),
        });
        let told = versions
            .map(|versions| proto::GetModelStatusResponse { model_version_status: describe::statuses(&versions) });
        finish(log, "GetModelStatus", &spec.name, &call.charge, told)
    }
}
