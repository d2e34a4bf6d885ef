//! Which protocol a request of the HTTP port speaks: calls of gRPC and gRPC-Web go to the services of the gRPC door, everything else to
//! the routes.
//!
//! The content type decides, one look at a header; what every other request has costs nothing here. A call is answered in gRPC's form,
//! and its connection is treated as HTTP's own are: its place, its framing, the client that leaves, the body that is not read.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, HttpBody},
    http::{
        HeaderMap, HeaderValue, Request,
        header::{CONTENT_TYPE, ORIGIN},
    },
    response::Response,
};
use bytes::Bytes;
use futures_util::future::{BoxFuture, Either};
use hyper::{
    body::{Frame, Incoming, SizeHint},
    service::Service,
};
use tokio_util::sync::CancellationToken;
use tower::{Layer as _, ServiceExt as _, service_fn, util::Oneshot};
use tower_http::cors::CorsLayer;

use super::{
    call::{MAX_HEAD_BYTES, OfConnection, head_bytes, no_place},
    framing,
    peer::Peer,
    reading::{BodyState, closing, take_turn},
};
use crate::{
    server::{
        activity::Activity,
        calls::{AnswerCalls, CallOrigin},
        client_address::ClientAddress,
        places::Place,
    },
    service::{Error, ErrorKind, Payer},
    tls::ClientName,
};

/// What calls of gRPC begin with, gRPC-Web included.
const GRPC: &[u8] = b"application/grpc";

/// The methods that a connection without a place of its own is answered.
const PROBES: [&str; 4] = [
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/Watch",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerReady",
];

/// The services for calls, and which pages may read their answers.
#[derive(Clone)]
pub(super) struct CallsOfPort {
    pub(super) answer: AnswerCalls,
    pub(super) cors: Option<CorsLayer>,
}

/// Answers the requests of one connection.
pub(super) struct OnePort<H> {
    /// The routes.
    pub(super) http: H,
    pub(super) calls: CallsOfPort,
    pub(super) peer: Peer,
    pub(super) activity: Activity,
    pub(super) place: Place,
    pub(super) payer: Payer,
    pub(super) leaving: CancellationToken,
    pub(super) address: ClientAddress,
    pub(super) client_name: Option<ClientName>,
}

impl<H> Service<Request<Incoming>> for OnePort<H>
where
    H: tower::Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<Oneshot<H, Request<Incoming>>, BoxFuture<'static, Result<Response, Infallible>>>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let connection = OfConnection {
            peer: self.peer.clone(),
            in_work: self.activity.begin(request.version()),
            place: self.place.clone(),
            payer: self.payer.clone(),
            address: self.address,
            client_name: self.client_name.clone(),
        };
        if is_call(request.headers()) {
            return Either::Right(Box::pin(self.calls.clone().answered(connection, self.leaving.clone(), request)));
        }
        // One entry: each is an allocation, and beyond three their table grows.
        request.extensions_mut().insert(connection);
        Either::Left(self.http.clone().oneshot(request))
    }
}

fn is_call(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    content_type.and_then(|value| value.get(..GRPC.len())).is_some_and(|start| start.eq_ignore_ascii_case(GRPC))
}

impl CallsOfPort {
    /// Answers a call; pages of other origins may read it where HTTP's own answers may be read.
    async fn answered(
        self,
        connection: OfConnection,
        leaving: CancellationToken,
        request: Request<Incoming>,
    ) -> Result<Response, Infallible> {
        let is_of_a_page = request.headers().contains_key(ORIGIN);
        let Self { answer, cors } = self;
        let inner = service_fn(move |request| call(answer.clone(), connection.clone(), leaving.clone(), request));
        match cors.filter(|_| is_of_a_page) {
            Some(cors) => cors.layer(inner).oneshot(request).await,
            None => inner.oneshot(request).await,
        }
    }
}

async fn call(
    calls: AnswerCalls,
    OfConnection { peer, in_work, place, payer, address, client_name }: OfConnection,
    leaving: CancellationToken,
    request: Request<Incoming>,
) -> Result<Response, Infallible> {
    let version = request.version();
    let framed = framing::check(&request);
    // Where the next request begins is not to be relied on otherwise.
    let goes_on = framed.is_ok();
    let admitted = framed.and_then(|()| {
        if head_bytes(&request) > MAX_HEAD_BYTES {
            let message = format!("the head of the call has more than {MAX_HEAD_BYTES} bytes: send less metadata");
            Err(Error::new(ErrorKind::TooLarge, message))
        } else if !PROBES.contains(&request.uri().path()) && !place.is_full() {
            Err(no_place())
        } else {
            Ok(())
        }
    });
    let state = Arc::new(BodyState::of(request.body()));
    let request = request.map(|body| tonic::body::Body::new(Watched { body, state: state.clone() }));
    let origin = CallOrigin { payer, leaving, in_work: in_work.clone(), address, client_name };
    tokio::select! {
        biased;
        answer = calls(request, origin, admitted) => {
            let goes_on = goes_on && !in_work.is_last();
            let answer = state.end(Some(&peer), version, goes_on, answer.map(Body::new));
            take_turn(version).await;
            Ok(answer)
        }
        // What is returned reaches nobody and ends the connection.
        () = state.left(Some(&peer), version) => Ok(closing(Response::default())),
    }
}

/// A body that says when it was read to its end.
struct Watched {
    body: Incoming,
    state: Arc<BodyState>,
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if frame.is_none() || self.body.is_end_stream() {
            self.state.note_read();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_tells_calls_from_everything_else() {
        let of = |value: &'static str| HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
        for call in ["application/grpc", "Application/GRPC+proto", "application/grpc-web-text", "application/grpc+json"]
        {
            assert!(is_call(&of(call)), "{call}");
        }
        for other in ["image/jpeg", "application/json", "application/grp", "application/octet-stream", ""] {
            assert!(!is_call(&of(other)), "{other}");
        }
        assert!(!is_call(&HeaderMap::new()));
    }
}
