//! What every request has: its id, its line of log, the form of its refusal.

use std::{
    any::Any,
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    body::{Body, HttpBody},
    extract::FromRequestParts,
    http::{
        Method, Request, StatusCode, Uri, Version,
        header::{HeaderValue, X_CONTENT_TYPE_OPTIONS},
        request::Parts,
    },
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use hyper::body::Incoming;
use tower::{BoxError, Layer as _, Service as Answers, ServiceExt as _, service_fn};
use tower_http::request_id;
use tracing::Span;

use super::{
    cross_origin::cors,
    door::HttpDoor,
    error::Failure,
    framing,
    leftover::Leftover,
    peer::Peer,
    reading::{BodyState, closing, take_turn},
    route_of::short_name,
};
use crate::{
    server::{
        activity::InWork,
        audited::{AuditedManager, Who},
        client_address::ClientAddress,
        door_span,
        gate::{Attempt, Entered},
        load_report,
        needs::Needs,
        places::Place,
        request_id::RequestId,
        request_log::RequestLog,
        shared::{DoorOptions, Shared},
        unread::Unread,
    },
    service::{Asker, Charge, ClientId, Error, ErrorKind, Payer, Service, Shown, TraceContext},
    telemetry::{OpenSpan, TraceId, TraceParent, TracedRequest, trace_id},
    tls::ClientName,
};

/// The largest head of a request: line and headers.
pub(super) const MAX_HEAD_BYTES: usize = 32 << 10;

/// What a request has from its connection.
#[derive(Clone)]
pub(super) struct OfConnection {
    pub(super) peer: Peer,
    /// The connection is not idle while this lives.
    pub(super) in_work: InWork,
    pub(super) place: Place,
    /// Its part of the memory.
    pub(super) payer: Payer,
    /// Where it comes from.
    pub(super) address: ClientAddress,
    /// Who the client is, where it had to show a certificate.
    pub(super) client_name: Option<ClientName>,
}

/// What a handler knows of its request beside method, path and body.
#[derive(Clone, Debug)]
pub(super) struct HttpCall {
    id: RequestId,
    /// When the head of the request was there.
    pub(super) arrived: Instant,
    parent: Option<TraceParent>,
    /// Where the request's way is recorded, if it is.
    traced: Option<Arc<TracedRequest>>,
    payer: Option<Payer>,
    /// Whose it is, where clients take turns.
    pub(super) client: Option<ClientId>,
    /// Whose key it showed, and what decides between versions of a model.
    pub(super) asker: Asker,
    /// Who asks, where clients have to show certificates.
    pub(super) client_name: Option<ClientName>,
    /// Where its connection comes from.
    address: Option<ClientAddress>,
    body: Arc<BodyState>,
}

impl HttpCall {
    fn of(request: &Request<Incoming>, connection: Option<&OfConnection>, shared: &Shared) -> Self {
        let extensions = request.extensions();
        let named = extensions.get::<request_id::RequestId>().map(|id| id.header_value().clone());
        Self {
            id: RequestId::from_header(named),
            arrived: Instant::now(),
            parent: door_span::parent(request.headers()),
            traced: None,
            payer: connection.map(|connection| connection.payer.clone()),
            client: None,
            asker: Asker {
                keys: shared.service.split_keys(|name| request.headers().get(name).map(|value| value.as_bytes())),
                caller: None,
            },
            client_name: connection.and_then(|connection| connection.client_name.clone()),
            address: connection.map(|connection| connection.address),
            body: Arc::new(BodyState::of(request.body())),
        }
    }

    /// What the request brings through the gate; whose it is follows from that.
    ///
    /// * `may_wait`: it has not waited yet
    fn enter(&mut self, request: &Request<Incoming>, shared: &Shared, may_wait: bool) -> Entered {
        let needs = || Needs::of_http(request.method(), request.uri().path(), &shared.options.platforms);
        let attempt = Attempt { takes: true, may_wait };
        let entry = shared.gate.enter(request.headers(), &mut self.asker, needs, attempt);
        let address = self.address.map(|address| address.ip());
        let key = self.asker.key_name().map(|name| &**name);
        self.client = shared.clients.of(request.headers(), address, key);
        entry
    }

    /// Whoever brings models and takes them away.
    ///
    /// # Errors
    /// `NOT_FOUND` where this is not the management address.
    pub(super) fn manager(&self, door: &HttpDoor) -> Result<AuditedManager, Error> {
        let (asker, client_name, id) = (self.asker.clone(), self.client_name.clone(), self.id.clone());
        door.shared.manager(Who { asker, client_name, address: self.address, id })
    }

    /// The body was read to its end.
    pub(super) fn note_body_read(&self) {
        self.body.note_read();
    }

    /// The body is over the limit, too slow or broken: the connection cannot go on behind it.
    pub(super) fn note_body_given_up(&self) {
        self.body.note_given_up();
    }

    /// The charge for its memory, paid by its connection.
    pub(super) fn open_charge(&self, service: &Service) -> Result<Arc<Charge>, Error> {
        match &self.payer {
            Some(payer) => payer.open_charge(),
            None => service.open_charge(),
        }
    }

    /// What the request's lines of log carry.
    pub(super) fn trace(&self) -> TraceContext {
        TraceContext { request_id: self.id.as_str().into(), parent: self.parent, traced: self.traced.clone() }
    }

    /// The trace that it is recorded in.
    pub(super) fn recorded(&self) -> Option<TraceId> {
        self.traced.as_deref().map(TracedRequest::trace_id)
    }
}

/// Refuses a path to a model that the request's key is not for, or to several of which it is not for one. What stands behind a name that
/// has a comma in it is one model where there is such a one.
///
/// # Errors
/// `PERMISSION_DENIED`.
pub(super) fn check_model(parts: &Parts, name: &str) -> Result<(), Error> {
    let Some(call) = parts.extensions.get::<HttpCall>().filter(|call| call.asker.is_bound()) else { return Ok(()) };
    let of_several = |part: &str| part.split_once('@').map_or(part, |(name, _)| name).to_owned();
    match name.contains(',') {
        true => name.split(',').map(of_several).try_for_each(|name| call.asker.check_model(&name)),
        false => call.asker.check_model(name),
    }
}

impl<S: Sync> FromRequestParts<S> for HttpCall {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let missing = || Error::new(ErrorKind::Internal, "a request without a call");
        parts.extensions.get::<Self>().cloned().ok_or_else(|| missing().into())
    }
}

/// `inner`, with a line of log for each request and our form for each refusal, wherever it comes from.
pub(super) fn answered<S, B>(
    door: Arc<HttpDoor>,
    inner: S,
) -> impl Answers<Request<Incoming>, Response = Response, Error = Infallible, Future: Send + 'static>
+ Clone
+ Send
+ Sync
+ 'static
where
    S: Answers<Request<Body>, Response = Response<B>, Future: Send> + Clone + Send + Sync + 'static,
    S::Error: Into<Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    service_fn(move |request| answer(door.clone(), inner.clone(), request))
}

/// Answers one request. Dropped when the client leaves, and with it all that was under way for it.
async fn answer<S, B>(door: Arc<HttpDoor>, mut inner: S, mut request: Request<Incoming>) -> Result<Response, Infallible>
where
    S: Answers<Request<Body>, Response = Response<B>>,
    S::Error: Into<Infallible>,
    B: HttpBody<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let connection = request.extensions_mut().remove::<OfConnection>();
    let mut call = HttpCall::of(&request, connection.as_ref(), &door.shared);
    let mut entered = call.enter(&request, &door.shared, true);
    if let Some(keys) = entered.awaits.take() {
        keys.wait().await;
        entered = call.enter(&request, &door.shared, false);
    }
    let Entered { in_use, refused, .. } = entered;
    let span = door_span::begin(door.options(), request.uri().path(), request.headers(), call.parent, call.arrived);
    call.traced = span.as_ref().map(|span| span.request().clone());
    let peer = connection.as_ref().map(|connection| &connection.peer);
    // Streams of HTTP/2 are many, and take memory until their answers are read. A connection of HTTP/1 has one request at a time.
    let of_http_2 = connection.as_ref().filter(|_| request.version() >= Version::HTTP_2);
    let stream = of_http_2.map(|connection| connection.payer.open_charge_in_any_case());
    let report = load_report::wanted(door.options().load_reports, request.headers());
    let log = RequestLog::start("http", &call.id, &door.shared.slow)
        .of_client(call.client_name.clone())
        .of_key(call.asker.key_name())
        .in_trace(trace_id(call.traced.as_deref(), call.parent));
    let (method, uri, version) = (request.method().clone(), request.uri().clone(), request.version());
    let mut goes_on = true;
    let mut answer = if head_bytes(&request) > MAX_HEAD_BYTES {
        Failure::head_too_large(MAX_HEAD_BYTES).into_response()
    } else if let Err(error) = framing::check(&request) {
        // Where the next request begins is not to be relied on.
        goes_on = false;
        Failure::from(error).into_response()
    } else if let Err(error) = door.shared.check_origin(&method, request.headers()) {
        Failure::from(error).into_response()
    } else if !is_probe(uri.path()) && connection.as_ref().is_some_and(|connection| !connection.place.is_full()) {
        readable(Failure::from(no_place()), door.options(), &request).await
    } else if let Some(refused) = refused {
        readable(Failure::from(refused), door.options(), &request).await
    } else {
        request.extensions_mut().insert(call.clone());
        let request = request.map(|body| match version < Version::HTTP_2 {
            true => Body::new(body),
            false => Body::new(Leftover::new(body, stream.clone())),
        });
        tokio::select! {
            biased;
            answer = inner.call(request) => answer.unwrap_or_else(|never| match never.into() {}).map(Body::new),
            // The log says so when it is dropped; what is returned reaches nobody and ends the connection.
            () = call.body.left(peer, version) => return Ok(closing(Response::default())),
        }
    };

    drop(in_use);
    let failed = take_failure(&mut answer);
    if let Some(failure) = &failed {
        failure.write(&call.id, &mut answer);
    }
    let goes_on = goes_on && !connection.as_ref().is_some_and(|connection| connection.in_work.is_last());
    let answer = call.body.end(peer, version, goes_on, answer);
    let log = if call.body.is_given_up() { log.at_its_clients_pace() } else { log };
    finish(log, &method, &uri, answer.status(), failed.as_ref());
    let mut answer = recorded(span, &door, (&method, &uri), failed.as_ref(), answer);
    if let Some(form) = report {
        load_report::tell(form, &door.service().load_report(), answer.headers_mut());
    }
    // What is no page of ours is to be taken for none, whatever bytes are in it.
    answer.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    take_turn(version).await;
    Ok(match stream {
        Some(charge) => answer.map(|body| Body::new(Unread::new(body, charge))),
        None => answer,
    })
}

/// A refusal that pages of other origins may read where they may read answers: it is made outside of the layer that sees to that.
async fn readable(failure: Failure, options: &DoorOptions, request: &Request<Incoming>) -> Response {
    let Some(cors) = cors(&options.cors_origins) else { return failure.into_response() };
    let mut asked = Request::new(());
    (*asked.method_mut(), *asked.headers_mut()) = (request.method().clone(), request.headers().clone());
    let refuse = service_fn(async |_: Request<()>| Ok::<_, Infallible>(failure.clone().into_response()));
    cors.layer(refuse).oneshot(asked).await.unwrap_or_else(|never| match never {})
}

/// The refusal of an answer: what a handler left there, or what a layer's bare status stands for.
fn take_failure(answer: &mut Response) -> Option<Failure> {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    answer.extensions_mut().remove::<Failure>().or_else(|| Some(Failure::of_status(status)))
}

fn finish(log: RequestLog<'_>, method: &Method, uri: &Uri, status: StatusCode, failed: Option<&Failure>) {
    let (method, path) = (Shown(method.as_str()), Shown(uri.path()));
    let what = format_args!("{method} {path}");
    log.finish(what, status.as_str(), failed.and_then(Failure::kind), failed.map_or("", Failure::message));
}

/// The answer, which tells of its span, where there is one.
fn recorded(
    span: Option<OpenSpan>,
    door: &HttpDoor,
    (method, uri): (&Method, &Uri),
    failed: Option<&Failure>,
    mut answer: Response,
) -> Response {
    if let Some(span) = span {
        door_span::tell(&span, answer.headers_mut());
        let (status, refusal) = (answer.status().as_u16(), failed.map(Failure::message));
        let route = door.route_of(uri.path()).map(|route| (route, short_name(route)));
        door_span::end_http(span, method.as_str(), (uri.path(), route), status, refusal);
    }
    answer
}

/// What a connection without a place of its own is answered.
fn is_probe(path: &str) -> bool {
    matches!(path, "/livez" | "/readyz" | "/metrics" | "/v2/health/live" | "/v2/health/ready")
}

/// What a request on a connection without a place of its own is refused with.
pub(super) fn no_place() -> Error {
    let message = "the server has as many connections as it takes, [server] max_connections; try again soon";
    Error::new(ErrorKind::Unavailable, message).retry_after(Duration::from_secs(1))
}

/// Method, path and headers as they went over the wire, about.
pub(super) fn head_bytes<B>(request: &Request<B>) -> usize {
    const SEPARATORS: usize = 4;
    let path = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + SEPARATORS).sum::<usize>() + path
}

/// The span that everything belongs to that happens for a request; at debug, since it costs something.
pub(super) fn span<B>(request: &Request<B>) -> Span {
    let id = request.extensions().get::<request_id::RequestId>().and_then(|id| id.header_value().to_str().ok());
    tracing::debug_span!("request", protocol = "http", request_id = id)
}

/// A handler panicked: the client is told, the connection and the server go on.
pub(super) fn broken(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("?"), "a request broke");
    Failure::from(Error::new(ErrorKind::Internal, "the request broke; the server's log says why")).into_response()
}
