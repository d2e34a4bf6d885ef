//! The gRPC door: `resnetd.v1.Classifier`, `inference.GRPCInferenceService`, `tensorflow.serving.PredictionService` and
//! `ModelService`, health and reflection over HTTP/2 without TLS.
//!
//! Tonic's routes on our own connections, so that both doors live and leave alike. What every call has is done here once:
//! its id, its arrival, unpacking and packing its messages, and the form of a refusal that tonic makes.
//!
//! Knows the service. Must not know the stages behind it, or the other door.

mod call;
mod charged;
mod classifier;
mod codec;
mod contents;
mod convert;
mod deadline;
mod health;
mod inference;
mod messages;
mod outcome;
mod packing;
mod prediction;
pub mod proto;
mod refusal;
mod stream;
mod tensor_proto;
mod varint;

use std::{collections::HashSet, convert::Infallible, sync::Arc, time::Instant};

use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap, Request, Response,
    body::{Frame, Incoming},
    header::HeaderName,
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use tokio::net::{TcpListener, TcpStream};
use tonic::{Status, body::Body, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb;
use tower::Service as _;

use super::{
    activity::InWork,
    connections::{self, Connecting, Life},
    error::ServeError,
    request_id::{REQUEST_ID, RequestId},
    request_log::RequestLog,
    shared::{DoorOptions, Shared},
    threads::{in_place, is_large},
    unread::Unread,
};
use crate::{
    service::{Error, Shown},
    telemetry::{Protocol, TraceParent},
};
use call::{GrpcCall, Taken};
use charged::ChargedBody;
use messages::{MessageRules, Messages};
use packing::Packer;
use proto::{
    classifier_server::ClassifierServer,
    inference::grpc_inference_service_server::GrpcInferenceServiceServer,
    tensorflow::serving::{
        model_service_server::ModelServiceServer, prediction_service_server::PredictionServiceServer,
    },
};
use refusal::{error_code, mend_headers};

/// The descriptors of every file under `proto/`, for reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The largest message of the health and reflection services: a name and little else.
const MAX_NAME_MESSAGE: usize = 16 << 10;

/// The methods whose calls count as requests to classify.
const CLASSIFYING: [&str; 6] = [
    "/resnetd.v1.Classifier/Classify",
    "/resnetd.v1.Classifier/ClassifyStream",
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelStreamInfer",
    "/tensorflow.serving.PredictionService/Predict",
    "/tensorflow.serving.PredictionService/Classify",
];

/// The gRPC services over one [`Service`](crate::service::Service).
pub(super) struct GrpcDoor {
    shared: Shared,
    routes: Routes,
    /// The methods that take a stream of messages.
    streaming: HashSet<String>,
}

impl GrpcDoor {
    pub(super) fn new(shared: Shared) -> Result<Self, ServeError> {
        // A message is the files and a few numbers: the limit of the body holds for it as well.
        let max_message = shared.service.limits().max_body_bytes;
        let classifier =
            ClassifierServer::new(classifier::Classifier::new(&shared)).max_decoding_message_size(max_message);
        let inference = GrpcInferenceServiceServer::new(inference::InferenceService::new(&shared))
            .max_decoding_message_size(max_message);
        let prediction = PredictionServiceServer::new(prediction::PredictionService::new(&shared))
            .max_decoding_message_size(max_message);
        let models =
            ModelServiceServer::new(prediction::ModelService::new(&shared)).max_decoding_message_size(MAX_NAME_MESSAGE);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = Routes::new(classifier)
            .add_service(inference)
            .add_service(prediction)
            .add_service(models)
            .add_service(
                HealthServer::new(health::Health::new(shared.service.clone()))
                    .max_decoding_message_size(MAX_NAME_MESSAGE),
            )
            .add_service(reflection().build_v1()?.max_decoding_message_size(MAX_NAME_MESSAGE))
            .add_service(reflection().build_v1alpha()?.max_decoding_message_size(MAX_NAME_MESSAGE))
            .prepare();
        let descriptors =
            [DESCRIPTORS, pb::v1::FILE_DESCRIPTOR_SET, pb::v1alpha::FILE_DESCRIPTOR_SET].map(streaming_methods);
        let streaming = descriptors.into_iter().collect::<Result<Vec<_>, _>>()?.concat().into_iter().collect();
        Ok(Self { shared, routes, streaming })
    }

    /// Serves connections until `life` ends.
    pub(super) async fn accept(self, listener: TcpListener, life: Life) {
        let builder = connection_builder(&self.shared.options);
        let door = Arc::new(self);
        let connect = |stream: TcpStream, Connecting { leaving, cut, activity, .. }: Connecting| {
            let door = door.clone();
            let payer = door.shared.service.payer(cut);
            let answer = service_fn(move |request: Request<Incoming>| {
                let id = door.shared.ids.take_or_make(request.headers().get(REQUEST_ID));
                let parent = request.headers().get("traceparent").and_then(|header| header.to_str().ok());
                let parent = parent.and_then(TraceParent::parse);
                let arrived = Instant::now();
                let call = payer.open_charge().map(|charge| {
                    let leaving = leaving.clone();
                    GrpcCall { id: id.clone(), charge, parent, arrived, leaving }
                });
                answer(door.clone(), request, id, call, activity.begin())
            });
            builder.serve_connection(TokioIo::new(stream), answer)
        };
        connections::accept(listener, life, connect).await;
    }
}

fn connection_builder(options: &DoorOptions) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .max_concurrent_streams(options.max_concurrent_streams);
    builder
}

/// The methods of a set of descriptors that take a stream of messages, as paths.
fn streaming_methods(descriptors: &[u8]) -> Result<Vec<String>, ServeError> {
    let set = FileDescriptorSet::decode(descriptors).map_err(tonic_reflection::server::Error::from)?;
    let methods = set.file.iter().flat_map(|file| {
        file.service.iter().flat_map(move |service| {
            let streaming = service.method.iter().filter(|method| method.client_streaming());
            streaming.map(move |method| format!("/{}.{}/{}", file.package(), service.name(), method.name()))
        })
    });
    Ok(methods.collect())
}

/// Answers one call. `in_work` and what the call takes live as long as its answer, which may be a stream, or never be read.
async fn answer(
    door: Arc<GrpcDoor>,
    request: Request<Incoming>,
    id: RequestId,
    call: Result<GrpcCall, Error>,
    in_work: InWork,
) -> Result<Response<Body>, Infallible> {
    let arrived = Instant::now();
    let path = request.uri().path().to_owned();
    let mut packer = Packer::of(request.headers());
    let taken = Taken::default();
    let mut charge = None;
    let mut response = match call {
        Ok(call) => {
            charge = Some(call.charge.clone());
            door.call(request, call, taken.clone()).await?
        }
        Err(refused) => convert::status(&refused).into_http(),
    };
    let is_single = door.is_single(&path);
    if let Some(charge) = &charge {
        if is_single {
            charge.give_back_bytes();
        }
        charge.wait_for_reader();
    }
    let headers = response.headers_mut();
    mend_headers(headers, &path);
    if !taken.is() && headers.contains_key(GRPC_STATUS) {
        door.note_refusal(&path, headers, &id, arrived);
    }
    if let Some(packer) = packer.as_ref().filter(|_| !headers.contains_key(GRPC_STATUS)) {
        packer.announce(headers);
    }
    headers.insert(REQUEST_ID, id.header());
    let unread = charge.clone().filter(|_| is_single);
    Ok(response.map(|body| {
        let body = body.map_frame(move |frame| {
            let _ = &in_work;
            match frame.into_data() {
                Ok(data) => {
                    // That of a call waits in HTTP/2 for windows, as long as the trailers do; those of a stream make room.
                    if let Some(charge) = charge.as_ref().filter(|_| !is_single) {
                        charge.answer_went(data.len());
                    }
                    Frame::data(match &mut packer {
                        Some(packer) => in_place(is_large(&data), || packer.pack(data)),
                        None => data,
                    })
                }
                Err(frame) => match frame.into_trailers() {
                    Ok(mut trailers) => {
                        mend_headers(&mut trailers, &path);
                        Frame::trailers(trailers)
                    }
                    Err(frame) => frame,
                },
            }
        });
        match unread {
            Some(charge) => Body::new(Unread::new(body, charge)),
            None => Body::new(body),
        }
    }))
}

impl GrpcDoor {
    /// What tonic's services answer, if it is a call.
    async fn call(
        &self,
        mut request: Request<Incoming>,
        call: GrpcCall,
        taken: Taken,
    ) -> Result<Response<Body>, Infallible> {
        if let Some(refusal) = refusal::no_call(&request) {
            return Ok(refusal);
        }
        let coding = match packing::take_coding(request.headers_mut()) {
            Ok(coding) => coding,
            Err(refused) => return Ok(refused.into_http()),
        };
        let charge = call.charge.clone();
        let rules = MessageRules {
            coding,
            limit: self.shared.service.limits().max_body_bytes,
            single: self.is_single(request.uri().path()),
            unpacker: self.shared.unpacker.clone(),
            take: move |bytes| charge.add(bytes),
        };
        let mut request =
            request.map(|body| Body::new(Messages::new(ChargedBody { body, charge: call.charge.clone() }, rules)));
        request.extensions_mut().insert(call);
        request.extensions_mut().insert(taken);
        self.routes.clone().call(request).await
    }

    /// Whether a method takes one message.
    fn is_single(&self, path: &str) -> bool {
        !self.streaming.contains(path)
    }

    /// Logs and counts a call that was refused before a handler of ours took it.
    fn note_refusal(&self, path: &str, headers: &HeaderMap, id: &RequestId, arrived: Instant) {
        let (code, status) = (error_code(headers), Status::from_header_map(headers));
        let log = RequestLog::start("grpc", id, &self.shared.slow).since(arrived).at_its_clients_pace();
        log.finish(Shown(path), code, None, status.as_ref().map_or("", Status::message));
        if CLASSIFYING.contains(&path) {
            self.shared.service.arrive(Protocol::Grpc, "", None, arrived).finish(Some(code));
        }
    }
}
