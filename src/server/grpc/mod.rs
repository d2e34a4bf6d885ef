//! The gRPC door: `resnetd.v1.Classifier`, health and reflection over HTTP/2 without TLS.
//!
//! Tonic's routes on our own connections, so that both doors live and leave alike. What every call has is done here once:
//! its id, its arrival, and the code of a message that is too large.
//!
//! Knows the service. Must not know the stages behind it, or the other door.

mod call;
mod charged;
mod classifier;
mod convert;
mod deadline;
mod health;
pub mod proto;
mod stream;

use std::{convert::Infallible, time::Instant};

use http_body_util::BodyExt as _;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{HeaderName, HeaderValue},
    server::conn::http2,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tonic::{body::Body, service::Routes};
use tonic_health::pb::health_server::HealthServer;
use tower::Service as _;

use super::{
    activity::InWork,
    connections::{self, Connecting, Life},
    error::ServeError,
    request_id::{REQUEST_ID, RequestId},
    shared::{DoorOptions, Shared},
    status::wire_status,
};
use crate::{
    service::{Error, ErrorKind},
    telemetry::TraceParent,
};
use call::GrpcCall;
use charged::ChargedBody;
use proto::classifier_server::ClassifierServer;

/// The descriptors of every file under `proto/`, for reflection.
const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The gRPC services over one [`Service`](crate::service::Service).
pub(super) struct GrpcDoor {
    shared: Shared,
    routes: Routes,
}

impl GrpcDoor {
    pub(super) fn new(shared: Shared) -> Result<Self, ServeError> {
        // A message is the files and a few numbers: the limit of the body holds for it as well.
        let max_message = shared.service.limits().max_body_bytes;
        let classifier =
            ClassifierServer::new(classifier::Classifier::new(&shared)).max_decoding_message_size(max_message);
        let reflection = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let routes = Routes::new(classifier)
            .add_service(HealthServer::new(health::Health::new(shared.service.clone())))
            .add_service(reflection().build_v1()?)
            .add_service(reflection().build_v1alpha()?)
            .prepare();
        Ok(Self { shared, routes })
    }

    /// Serves connections until `life` ends.
    pub(super) async fn accept(self, listener: TcpListener, life: Life) {
        let builder = connection_builder(&self.shared.options);
        let connect = |stream: TcpStream, Connecting { leaving, activity, .. }: Connecting| {
            let (routes, ids, service) = (self.routes.clone(), self.shared.ids.clone(), self.shared.service.clone());
            let answer = service_fn(move |request: Request<Incoming>| {
                let id = ids.take_or_make(request.headers().get(REQUEST_ID));
                let parent = request.headers().get("traceparent").and_then(|header| header.to_str().ok());
                let parent = parent.and_then(TraceParent::parse);
                let arrived = Instant::now();
                let call = service.open_charge().map(|charge| {
                    let leaving = leaving.clone();
                    GrpcCall { id: id.clone(), charge, parent, arrived, leaving }
                });
                answer(routes.clone(), request, id, call, activity.begin())
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

/// Answers one call. `in_work` lives as long as its answer, which may be a stream.
async fn answer(
    mut routes: Routes,
    request: Request<Incoming>,
    id: RequestId,
    call: Result<GrpcCall, Error>,
    in_work: InWork,
) -> Result<Response<Body>, Infallible> {
    let mut response = match call {
        Ok(call) => {
            let mut request = request.map(|body| Body::new(ChargedBody { body, charge: call.charge.clone() }));
            request.extensions_mut().insert(call);
            routes.call(request).await?
        }
        Err(refused) => convert::status(&refused).into_http(),
    };
    let headers = response.headers_mut();
    // Tonic refuses a message over the limit before a handler sees it, with OUT_OF_RANGE; nothing else here says that.
    if headers.get(GRPC_STATUS).is_some_and(|status| status.as_bytes() == b"11") {
        let (_, code, name) = wire_status(ErrorKind::TooLarge);
        headers.insert(GRPC_STATUS, HeaderValue::from(code as i32));
        headers.insert(convert::ERROR_CODE, HeaderValue::from_static(name));
    }
    headers.insert(REQUEST_ID, id.header());
    Ok(response.map(|body| {
        Body::new(body.map_frame(move |frame| {
            let _ = &in_work;
            frame
        }))
    }))
}
