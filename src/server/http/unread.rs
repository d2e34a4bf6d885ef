//! An answer over HTTP/2 that its client has not read yet: the memory of its stream stays charged until then.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{Error, body::Body};
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

use crate::service::Charge;

/// The body of an answer, and what its stream takes.
pub(super) struct Unread {
    body: Body,
    #[expect(dead_code, reason = "held until the answer is read, or given up")]
    charge: Arc<Charge>,
}

impl Unread {
    pub(super) fn new(body: Body, charge: Arc<Charge>) -> Self {
        charge.wait_for_reader();
        Self { body, charge }
    }
}

impl hyper::body::Body for Unread {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
