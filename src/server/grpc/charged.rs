//! A call's body whose bytes are charged as they arrive, before a message of them is complete.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tonic::Status;

use super::convert;
use crate::service::Charge;

/// Ends with the refusal when the account of memory is full.
pub(super) struct ChargedBody {
    pub(super) body: Incoming,
    pub(super) charge: Arc<Charge>,
}

impl Body for ChargedBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(|error| Status::from_error(error.into()))?;
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            self.charge.add(bytes).map_err(|error| convert::status(&error))?;
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
