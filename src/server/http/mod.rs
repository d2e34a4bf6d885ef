//! The HTTP door: HTTP/1 requests in, JSON out.
//!
//! `router` has the whole URL map. A handler returns a response or a [`Failure`](error::Failure); this file puts the request's id on
//! both and writes the log. Plain hyper: on the way of an image there is no layer that does nothing for it.
//!
//! Knows the service. Must not know the stages behind it, or the other door.

mod body;
mod classify;
mod error;
mod health;
mod json;
mod linger;
mod metrics;
mod models;
mod options;
mod router;
mod tfserving;
mod upload;

use std::{convert::Infallible, sync::Arc};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode,
    body::Incoming,
    header::{CONNECTION, CONTENT_TYPE, HeaderValue},
    http::request::Parts,
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use super::{
    Options, Shared,
    connections::{self, Life},
    request_id::REQUEST_ID,
    request_log::RequestLog,
};
use crate::service::Service;
use linger::{Linger, LingeringStream};

/// The largest head of a request: line and headers.
const MAX_HEAD_BYTES: usize = 32 << 10;

/// An answer: always whole, never streamed.
type Answer = Response<Full<Bytes>>;

/// What every handler sees.
pub(super) struct Door {
    shared: Shared,
}

impl Door {
    pub(super) fn new(shared: Shared) -> Self {
        Self { shared }
    }

    fn service(&self) -> &Service {
        &self.shared.service
    }

    fn options(&self) -> &Options {
        &self.shared.options
    }

    /// Serves connections until `life` ends.
    pub(super) async fn accept(self, listener: TcpListener, life: Life) {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(self.options().idle_timeout)
            .max_header_size(MAX_HEAD_BYTES);
        let door = Arc::new(self);
        let connect = |stream: TcpStream, _| {
            let door = door.clone();
            let linger = Linger::default();
            let stream = LingeringStream::new(stream, linger.clone());
            let answer = service_fn(move |request| answer(door.clone(), request, linger.clone()));
            builder.serve_connection(TokioIo::new(stream), answer)
        };
        connections::accept(listener, life, connect).await;
    }
}

/// A request's head, and what the connection has to know.
struct Head {
    parts: Parts,
    linger: Linger,
}

/// Answers one request. Dropped when the client leaves, and with it all that was under way for it.
async fn answer(door: Arc<Door>, request: Request<Incoming>, linger: Linger) -> Result<Answer, Infallible> {
    let id = door.shared.ids.take_or_make(request.headers().get(REQUEST_ID));
    let log = RequestLog::start("http", &id, door.options().slow_request);
    let (parts, body) = request.into_parts();
    let head = Head { parts, linger };
    let mut failed = None;
    let mut answer = router::dispatch(&door, &head, body, log.started()).await.unwrap_or_else(|failure| {
        let answer = failure.answer(&id);
        failed = Some(failure);
        answer
    });
    answer.headers_mut().insert(REQUEST_ID, id.header());
    if head.linger.is_set() {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }

    let what = format_args!("{} {}", head.parts.method, head.parts.uri.path());
    let status = answer.status();
    let message = failed.as_ref().map_or("", error::Failure::message);
    log.finish(what, status.as_str(), failed.as_ref().and_then(error::Failure::kind), message);
    Ok(answer)
}

/// `value` as a JSON answer.
fn json_answer(status: StatusCode, value: &impl serde::Serialize, capacity: usize) -> Answer {
    let mut body = Vec::with_capacity(capacity);
    // Writing to memory what has string keys and no foreign `Serialize` cannot fail; if it does, the client gets no half document.
    let status = match serde_json::to_writer(&mut body, value) {
        Ok(()) => status,
        Err(error) => {
            tracing::error!(%error, "cannot write an answer as JSON");
            body.clear();
            StatusCode::INTERNAL_SERVER_ERROR
        }
    };
    let mut answer = Response::new(Full::new(Bytes::from(body)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}
