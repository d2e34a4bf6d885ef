//! A call's body whose bytes are charged as they arrive, before a message of them is complete.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tonic::Status;
use tower::BoxError;

use super::convert;
use crate::service::Charge;

/// Ends with the refusal when the account of memory is full, and when what the call takes was needed for others.
pub(super) struct ChargedBody<B> {
    pub(super) body: B,
    pub(super) charge: Arc<Charge>,
}

impl<B> Body for ChargedBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            return self.charge.poll_given_up(cx).map(|error| Some(Err(convert::status(&error))));
        };
        let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
        if let Err(error) = self.charge.came(bytes) {
            return Poll::Ready(Some(Err(convert::status(&error))));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Status::from_error(error.into()))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
