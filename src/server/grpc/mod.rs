//! The gRPC door: `resnetd.v1.Classifier`, `inference.GRPCInferenceService`, `tensorflow.serving.PredictionService` and
//! `ModelService`, health and reflection over HTTP/2.
//!
//! Tonic's routes on our own connections, so that both doors live and leave alike. What every call has is done here once:
//! its id, its arrival, unpacking and packing its messages, and the form of a refusal that tonic makes.
//!
//! Knows the service. Must not know the stages behind it, or the other door.

mod call;
mod call_end;
mod charged;
mod classifier;
mod codec;
mod contents;
mod convert;
mod deadline;
mod details;
mod explain;
mod health;
mod inference;
mod messages;
mod outcome;
mod packing;
mod prediction;
pub mod proto;
mod refusal;
mod several;
mod stream;
mod tensor_proto;
mod varint;
mod web;

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Instant};

use bytes::Bytes;
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
use tonic::{Status, body::Body, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tonic_reflection::pb;
use tower::{BoxError, Service as _};

use super::{
    calls::{AnswerCalls, CallOrigin},
    connections::{self, Connecting, Life},
    door_span,
    entrance::Entrance,
    error::ServeError,
    gate::{Attempt, Entered},
    load_report,
    needs::Needs,
    request_id::{REQUEST_ID, RequestId},
    request_log::RequestLog,
    shared::{DoorOptions, Shared},
    threads::{in_place, is_large},
    unread::Unread,
    wire::Wire,
};
use crate::{
    service::{Asker, Error, Shown},
    telemetry::Protocol,
    tls::ClientName,
};
use call::{GrpcCall, Taken};
use call_end::CallEnd;
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
const CLASSIFYING: [&str; 8] = [
    "/resnetd.v1.Classifier/Classify",
    "/resnetd.v1.Classifier/ClassifyStream",
    "/resnetd.v1.Classifier/ClassifySeveral",
    "/resnetd.v1.Classifier/Explain",
    "/inference.GRPCInferenceService/ModelInfer",
    "/inference.GRPCInferenceService/ModelStreamInfer",
    "/tensorflow.serving.PredictionService/Predict",
    "/tensorflow.serving.PredictionService/Classify",
];

/// The gRPC services over one [`Service`](crate::service::Service).
pub(super) struct GrpcDoor {
    shared: Shared,
    routes: Routes,
    /// Every method, and whether it takes a stream of messages.
    methods: HashMap<String, bool>,
}

impl GrpcDoor {
    pub(super) fn new(shared: Shared) -> Result<Self, ServeError> {
        // `Messages` has the limit, which goes with the models that are served; tonic's own would stay as it is.
        let classifier =
            ClassifierServer::new(classifier::Classifier::new(&shared)).max_decoding_message_size(usize::MAX);
        let inference = GrpcInferenceServiceServer::new(inference::InferenceService::new(&shared))
            .max_decoding_message_size(usize::MAX);
        let prediction = PredictionServiceServer::new(prediction::PredictionService::new(&shared))
            .max_decoding_message_size(usize::MAX);
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
        let descriptors = [DESCRIPTORS, pb::v1::FILE_DESCRIPTOR_SET, pb::v1alpha::FILE_DESCRIPTOR_SET].map(methods);
        let methods = descriptors.into_iter().collect::<Result<Vec<_>, _>>()?.concat().into_iter().collect();
        Ok(Self { shared, routes, methods })
    }

    /// Serves connections until `life` ends.
    pub(super) async fn accept(self: Arc<Self>, entrance: Entrance, life: Life) {
        let builder = connection_builder(&self.shared.options);
        let door = self;
        let connect = move |stream: Wire, connecting: Connecting| {
            let Connecting { leaving, cut, activity, address, client_name, .. } = connecting;
            let door = door.clone();
            let payer = door.shared.service.payer(cut);
            let answer = service_fn(move |request: Request<Incoming>| {
                let (payer, leaving, in_work) = (payer.clone(), leaving.clone(), activity.begin(request.version()));
                let origin = CallOrigin { payer, leaving, in_work, address, client_name: client_name.clone() };
                let answered = answer(door.clone(), request, origin, Ok(()));
                async { Ok::<_, Infallible>(answered.await) }
            });
            builder.serve_connection(TokioIo::new(stream), answer)
        };
        connections::accept(entrance, life, connect).await;
    }

    /// The same services for calls that come in elsewhere, those of gRPC-Web included.
    pub(super) fn calls(self: &Arc<Self>) -> AnswerCalls {
        let door = self.clone();
        Arc::new(move |request, origin, admitted| {
            let door = door.clone();
            Box::pin(async move {
                match web::form(request.method(), request.headers()) {
                    Some(form) => {
                        let answer = |request| answer(door.clone(), request, origin.clone(), admitted.clone());
                        web::translated(request, form, answer).await
                    }
                    None => answer(door, request, origin, admitted).await,
                }
            })
        })
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

/// The methods of a set of descriptors, as paths, and whether each takes a stream of messages.
fn methods(descriptors: &[u8]) -> Result<Vec<(String, bool)>, ServeError> {
    let set = FileDescriptorSet::decode(descriptors).map_err(tonic_reflection::server::Error::from)?;
    let methods = set.file.iter().flat_map(|file| {
        file.service.iter().flat_map(move |service| {
            service.method.iter().map(move |method| {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                (path, method.client_streaming())
            })
        })
    });
    Ok(methods.collect())
}

/// Answers one call. What it takes, and that its connection is at work, lives as long as its answer, which may be a stream, or never
/// be read.
async fn answer<B>(
    door: Arc<GrpcDoor>,
    request: Request<B>,
    CallOrigin { payer, leaving, in_work, address, client_name }: CallOrigin,
    admitted: Result<(), Error>,
) -> Response<Body>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let arrived = Instant::now();
    let id = door.shared.ids.take_or_make(request.headers().get(REQUEST_ID));
    let parent = door_span::parent(request.headers());
    let span = door_span::begin(&door.shared.options, request.uri().path(), request.headers(), parent, arrived);
    let traced = span.as_ref().map(|span| span.request().clone());
    let path = request.uri().path().to_owned();
    let is_single = door.is_single(&path);
    let admitted = admitted.and_then(|()| door.shared.check_origin(request.method(), request.headers()));
    let keys = door.shared.service.split_keys(|name| request.headers().get(name).map(|value| value.as_bytes()));
    let mut asker = Asker { keys, caller: None };
    let gate = &door.shared.gate;
    let mut enter = |request: &Request<B>, may_wait| {
        let attempt = Attempt { takes: is_single, may_wait };
        gate.enter(request.headers(), &mut asker, || Needs::of_call(&path), attempt)
    };
    let mut entered = enter(&request, true);
    if let Some(keys) = entered.awaits.take() {
        keys.wait().await;
        entered = enter(&request, false);
    }
    let Entered { in_use, refused, .. } = entered;
    let key = asker.key_name().cloned();
    let client = door.shared.clients.of(request.headers(), Some(address.ip()), key.as_deref());
    let call = admitted.and_then(|()| refused.map_or(Ok(()), Err)).and_then(|()| payer.open_charge());
    let call = call.map(|charge| {
        let (id, client_name) = (id.clone(), client_name.clone());
        GrpcCall { id, charge, client, client_name, address, asker, parent, traced, arrived, leaving }
    });
    let report = load_report::wanted(door.shared.options.load_reports, request.headers());
    let reporting = report.map(|_| door.shared.service.clone());
    let mut end = CallEnd::new(span, door.methods.contains_key(&path), reporting);
    let mut packer = Packer::of(request.headers());
    let taken = Taken::default();
    let mut charge = None;
    let mut response = match call {
        Ok(call) => {
            charge = Some(call.charge.clone());
            door.call(request, call, taken.clone()).await
        }
        Err(refused) => convert::status(&refused).into_http(),
    };
    if let Some(charge) = &charge {
        if is_single {
            charge.give_back_bytes();
        }
        charge.wait_for_reader();
    }
    let headers = response.headers_mut();
    mend_headers(headers, &path);
    if !taken.is() && headers.contains_key(GRPC_STATUS) {
        door.note_refusal(&path, headers, &id, (client_name, key.as_ref()), arrived);
    }
    if let Some(packer) = packer.as_ref().filter(|_| !headers.contains_key(GRPC_STATUS)) {
        packer.announce(headers);
    }
    headers.insert(REQUEST_ID, id.header());
    end.tell(headers);
    if headers.contains_key(GRPC_STATUS) {
        end.end(&path, headers);
    }
    let unread = charge.clone().filter(|_| is_single);
    response.map(|body| {
        let body = body.map_frame(move |frame| {
            let _ = (&in_work, &in_use);
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
                        end.end(&path, &mut trailers);
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
    })
}

impl GrpcDoor {
    /// What tonic's services answer, if it is a call.
    async fn call<B>(&self, mut request: Request<B>, call: GrpcCall, taken: Taken) -> Response<Body>
    where
        B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
    {
        if let Some(refusal) = refusal::no_call(&request) {
            return refusal;
        }
        let coding = match packing::take_coding(request.headers_mut()) {
            Ok(coding) => coding,
            Err(refused) => return refused.into_http(),
        };
        let charge = call.charge.clone();
        let rules = MessageRules {
            coding,
            // A message is the files and a few numbers: the limit of the body holds for it as well.
            limit: self.shared.service.max_body_bytes(),
            single: self.is_single(request.uri().path()),
            unpacker: self.shared.unpacker.clone(),
            take: move |bytes| charge.add(bytes),
        };
        let mut request =
            request.map(|body| Body::new(Messages::new(ChargedBody { body, charge: call.charge.clone() }, rules)));
        request.extensions_mut().insert(call);
        request.extensions_mut().insert(taken);
        self.routes.clone().call(request).await.unwrap_or_else(|never| match never {})
    }

    /// Whether a method takes one message.
    fn is_single(&self, path: &str) -> bool {
        self.methods.get(path) != Some(&true)
    }

    /// Logs and counts a call that was refused before a handler of ours took it.
    fn note_refusal(
        &self,
        path: &str,
        headers: &HeaderMap,
        id: &RequestId,
        (client_name, key): (Option<ClientName>, Option<&Arc<str>>),
        arrived: Instant,
    ) {
        let (code, status) = (error_code(headers), Status::from_header_map(headers));
        let log = RequestLog::start("grpc", id, &self.shared.slow).of_client(client_name).of_key(key).since(arrived);
        let log = log.at_its_clients_pace();
        log.finish(Shown(path), code, None, status.as_ref().map_or("", Status::message));
        if CLASSIFYING.contains(&path) {
            self.shared.service.arrive(Protocol::Grpc, "", None, &Asker::default(), arrived).finish(Some(code));
        }
    }
}
