//! What is left of a body over HTTP/2 that is refused before it was read: it is read on and thrown away.
//!
//! A stream whose body is dropped is reset, and although the answer was sent before, there are clients (curl 7.88) that throw
//! it away then. HTTP/1 has its `socket` for this.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::{runtime::Handle, time::timeout};

use crate::service::Charge;

/// A client that sends nothing for so long is done.
pub(super) const IDLE: Duration = Duration::from_secs(2);

/// A client that sends for so long after the answer will not read it.
pub(super) const LONGEST: Duration = Duration::from_secs(30);

/// A body whose rest is thrown away where it is dropped before its end.
pub(super) struct Leftover(Option<Incoming>, Option<Arc<Charge>>);

impl Leftover {
    /// * `charge`: what the request takes, as long as its body comes
    pub(super) fn new(body: Incoming, charge: Option<Arc<Charge>>) -> Self {
        Self(Some(body), charge)
    }
}

impl Body for Leftover {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.0 {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

impl Drop for Leftover {
    fn drop(&mut self) {
        let rest = self.0.take().filter(|body| !body.is_end_stream());
        if let (Some(rest), Ok(runtime)) = (rest, Handle::try_current()) {
            // It ends by itself, and with its connection: the body of a stream that is gone is an error.
            runtime.spawn(throw_away(rest, self.1.take()));
        }
    }
}

async fn throw_away(mut rest: Incoming, charge: Option<Arc<Charge>>) {
    let until = Instant::now() + LONGEST;
    // Where others need the memory, a client may miss why it was refused.
    while Instant::now() < until && !charge.as_ref().is_some_and(|charge| charge.is_given_up()) {
        match timeout(IDLE, rest.frame()).await {
            Ok(Some(Ok(_))) => {}
            Ok(Some(Err(_)) | None) | Err(_) => return,
        }
    }
}
