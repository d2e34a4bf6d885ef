//! The HTTP door: HTTP/1.1 and HTTP/2 in, JSON out; `one_port` takes calls of gRPC aside.
//!
//! `routes` has the whole URL map, made of one map a protocol, each route with its `description`. Around it stands what every route has:
//! the request's id, a span, caught panics, CORS where it is allowed (all tower-http's), and `call`, which writes the log
//! and gives refusals their form. A handler returns a response or a [`Failure`](error::Failure).
//!
//! Knows the service. Must not know the stages behind it, or the other door.

mod bare;
mod base64;
mod body;
mod call;
mod cross_origin;
mod description;
mod docs;
mod door;
mod encoding;
mod error;
mod flat;
mod framing;
mod health;
mod leftover;
mod metrics;
mod nearest;
mod object;
mod one_port;
mod packed;
mod page;
mod peer;
mod platforms;
mod reading;
mod reply;
mod route;
mod route_of;
mod routes;
mod socket;
mod stats;
mod timing;
mod v1;
mod v2;

use std::sync::Arc;

use axum::{http::Request, response::Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use tower::{Layer, ServiceBuilder, ServiceExt as _, util::option_layer};
use tower_http::{
    catch_panic::CatchPanicLayer,
    request_id::{PropagateRequestIdLayer, SetRequestIdLayer},
    trace::TraceLayer,
};

use super::{
    calls::AnswerCalls,
    connections::{self, Connecting, Life},
    entrance::Entrance,
    request_id::{MakeId, REQUEST_ID_NAME, forget_malformed},
    shared::{DoorOptions, Shared},
    wire::Wire,
};
use door::HttpDoor;
pub use v1::{explained_as_json, explained_as_png, take_apart, take_prediction_apart};
pub use v2::take_inference_apart;

use bare::Refusals;
use call::MAX_HEAD_BYTES;
use cross_origin::cors;
use one_port::{CallsOfPort, OnePort};
use socket::Socket;

/// What a connection holds of one request's head, or of its body at a time. Above the largest head, so that one that is a
/// little too long gets our own answer; hyper refuses what does not fit.
const MAX_BUFFER_BYTES: usize = 2 * MAX_HEAD_BYTES;

/// The HTTP door, with the description of its routes.
pub(super) fn door(shared: Shared) -> HttpDoor {
    let paths = routes::paths(&shared.options.platforms);
    HttpDoor::new(shared, describe(), paths)
}

/// The API description, the same bytes in every process of this version.
pub(super) fn describe() -> Bytes {
    description::write(routes::described())
}

impl HttpDoor {
    /// Serves connections until `life` ends.
    ///
    /// * `calls`: answers those of gRPC
    pub(super) async fn accept(self, entrance: Entrance, life: Life, calls: AnswerCalls) {
        let builder = connection_builder(self.options());
        let refusals = Arc::new(Refusals::new(self.shared.ids.clone(), self.shared.slow.clone()));
        let service = self.service().clone();
        let calls = CallsOfPort { answer: calls, cors: cors(&self.options().cors_origins) };
        let http = stack(Arc::new(self));
        let connect = move |stream: Wire, connecting: Connecting| {
            let Connecting { leaving, cut, activity, place, address, client_name } = connecting;
            let (stream, peer) = Socket::new(stream, refusals.clone());
            let payer = service.payer(cut);
            let (http, calls) = (http.clone(), calls.clone());
            let answer = OnePort { http, calls, peer, activity, place, payer, leaving, address, client_name };
            builder.serve_connection(TokioIo::new(stream), answer).into_owned()
        };
        connections::accept(entrance, life, connect).await;
    }
}

fn connection_builder(options: &DoorOptions) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // A client that closed its half waits for its answer; `peer` notices one that left.
    builder.http1().half_close(true);
    builder.http1().timer(TokioTimer::new()).header_read_timeout(options.idle_timeout).max_buf_size(MAX_BUFFER_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HEAD_BYTES as u32)
        .keep_alive_interval(options.keepalive_interval)
        .keep_alive_timeout(options.keepalive_timeout)
        .max_concurrent_streams(options.max_concurrent_streams);
    builder
}

/// The routes, and around them what every route has; the first layer is the outermost. On the way of an image there is
/// nothing that belongs to one route.
fn stack(
    door: Arc<HttpDoor>,
) -> impl tower::Service<Request<Incoming>, Response = Response, Error = std::convert::Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static {
    let ids = MakeId(door.shared.ids.clone());
    let inner = ServiceBuilder::new()
        .layer(CatchPanicLayer::custom(call::broken))
        .layer(option_layer(cors(&door.options().cors_origins)))
        .service(routes::router(door.clone()));
    let answered = call::answered(door, inner);
    let traced = TraceLayer::new_for_http()
        .make_span_with(call::span)
        .on_request(())
        .on_response(())
        .on_body_chunk(())
        .on_eos(())
        .on_failure(())
        .layer(answered)
        .map_response(|response: Response<_>| response.map(axum::body::Body::new));
    ServiceBuilder::new()
        .map_request(forget_malformed)
        .layer(SetRequestIdLayer::new(REQUEST_ID_NAME, ids))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID_NAME))
        .service(traced)
}
