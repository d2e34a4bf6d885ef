//! Requests and answers over connections that are kept: HTTP/1.1 with as many connections as requests are out, HTTP/2 with a fixed
//! number. Connections that the server closed between two requests, as it may at any time, are opened again.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    HeaderMap, Request,
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    http::response,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::{endpoint::Endpoint, reply::NoReply};

type Sending = Request<Full<Bytes>>;

/// How often a request is sent anew because its connection was closed before it took it.
const TRIES: usize = 3;

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Connections {
    endpoint: Endpoint,
    kept: Kept,
}

#[derive(Debug)]
enum Kept {
    /// Those that wait for a request. The last that fell idle is used first.
    Http1(Mutex<Vec<http1::SendRequest<Full<Bytes>>>>),
    /// Each is opened when it is first needed.
    Http2(Vec<tokio::sync::Mutex<Option<http2::SendRequest<Full<Bytes>>>>>),
}

/// A whole answer.
pub(super) struct Received {
    pub(super) head: response::Parts,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Connections {
    pub(super) fn http1(endpoint: Endpoint) -> Self {
        Self { endpoint, kept: Kept::Http1(Mutex::default()) }
    }

    /// * `count`: connections that requests are spread over
    pub(super) fn http2(endpoint: Endpoint, count: usize) -> Self {
        let slots = (0..count.max(1)).map(|_| tokio::sync::Mutex::new(None)).collect();
        Self { endpoint, kept: Kept::Http2(slots) }
    }

    pub(super) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    pub(super) fn is_http1(&self) -> bool {
        matches!(self.kept, Kept::Http1(_))
    }

    /// Sends `request` and waits for the whole answer.
    ///
    /// # Errors
    /// [`NoReply::Broken`].
    pub(super) async fn exchange(&self, mut request: Sending, place: usize) -> Result<Received, NoReply> {
        for last in (0..TRIES).map(|done| done + 1 == TRIES) {
            let sent = match &self.kept {
                Kept::Http1(idle) => self.over_http1(idle, request).await,
                Kept::Http2(slots) => self.over_http2(slots, request, place).await,
            };
            match sent? {
                Ok(received) => return Ok(received),
                Err(error) => match error {
                    Unsent { back: Some(unsent), .. } if !last => request = *unsent,
                    Unsent { text, .. } => return Err(NoReply::Broken(text)),
                },
            }
        }
        Err(NoReply::Broken("every connection was closed before it took the request".to_owned()))
    }

    async fn over_http1(
        &self,
        idle: &Mutex<Vec<http1::SendRequest<Full<Bytes>>>>,
        request: Sending,
    ) -> Result<Result<Received, Unsent>, NoReply> {
        let mut sender = loop {
            let kept = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            match kept {
                // One that was closed meanwhile is never ready.
                Some(mut kept) => {
                    if kept.ready().await.is_ok() {
                        break kept;
                    }
                }
                None => {
                    let stream = self.endpoint.connect().await.map_err(broken)?;
                    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
                    // It ends with the last sender, or with the socket.
                    tokio::spawn(connection);
                    break sender;
                }
            }
        };
        let received = match sender.try_send_request(request).await {
            Ok(answer) => whole(answer).await?,
            Err(error) => return Ok(Err(error.into())),
        };
        if !sender.is_closed() {
            idle.lock().unwrap_or_else(PoisonError::into_inner).push(sender);
        }
        Ok(Ok(received))
    }

    async fn over_http2(
        &self,
        slots: &[tokio::sync::Mutex<Option<http2::SendRequest<Full<Bytes>>>>],
        request: Sending,
        place: usize,
    ) -> Result<Result<Received, Unsent>, NoReply> {
        let Some(slot) = slots.get(place % slots.len().max(1)) else {
            return Err(NoReply::Broken("there is no connection".to_owned()));
        };
        let mut sender = {
            // Whoever comes while the connection is opened waits for it.
            let mut slot = slot.lock().await;
            match &*slot {
                Some(sender) if !sender.is_closed() => sender.clone(),
                _ => {
                    let stream = self.endpoint.connect().await.map_err(broken)?;
                    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
                    let (sender, connection) = handshake.await.map_err(broken)?;
                    tokio::spawn(connection);
                    slot.insert(sender).clone()
                }
            }
        };
        if sender.ready().await.is_err() {
            return Ok(Err(Unsent { text: "the connection was closed".to_owned(), back: Some(Box::new(request)) }));
        }
        match sender.try_send_request(request).await {
            Ok(answer) => Ok(Ok(whole(answer).await?)),
            Err(error) => Ok(Err(error.into())),
        }
    }
}

/// A request without an answer, and the request itself where nothing of it was sent.
struct Unsent {
    text: String,
    back: Option<Box<Sending>>,
}

impl From<TrySendError<Sending>> for Unsent {
    fn from(mut error: TrySendError<Sending>) -> Self {
        let back = error.take_message().map(Box::new);
        Self { text: in_words(&error.into_error()), back }
    }
}

async fn whole(answer: hyper::Response<Incoming>) -> Result<Received, NoReply> {
    let (head, body) = answer.into_parts();
    let body = body.collect().await.map_err(broken)?;
    let trailers = body.trailers().cloned();
    Ok(Received { head, body: body.to_bytes(), trailers })
}

fn broken(error: impl std::error::Error) -> NoReply {
    NoReply::Broken(in_words(&error))
}

/// An error and its causes: hyper's own words alone say little.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        next = cause.source();
    }
    text
}
