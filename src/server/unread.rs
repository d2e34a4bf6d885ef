//! An answer over HTTP/2 that its client has not read yet: it stays charged until then, and so does its stream.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use crate::service::Charge;

/// So much goes to HTTP/2 at a time, which keeps what a client opens no window for.
const PIECE_BYTES: usize = 16 << 10;

/// The body of an answer, and what it and its stream take. hyper passes a piece on as soon as the client's window has room for a byte
/// of it, and is done with the last one. So the last byte goes alone, behind all others: a client that opens its window for one byte
/// has not read the answer.
pub(super) struct Unread<B> {
    body: B,
    /// What did not fit the last piece.
    rest: Bytes,
    /// Held until the end.
    _charge: Arc<Charge>,
}

impl<B: Body> Unread<B> {
    pub(super) fn new(body: B, charge: Arc<Charge>) -> Self {
        charge.hold_answer(body.size_hint().lower() as usize);
        charge.wait_for_reader();
        Self { body, rest: Bytes::new(), _charge: charge }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Unread<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        if self.rest.is_empty() {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
            match frame.map(|frame| frame.map(Frame::into_data)) {
                Some(Ok(Ok(data))) => self.rest = data,
                Some(Ok(Err(trailers))) => return Poll::Ready(Some(Ok(trailers))),
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
        let piece = self.rest.len().saturating_sub(1).clamp(self.rest.len().min(1), PIECE_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let mut hint = self.body.size_hint();
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + rest);
        }
        hint.set_lower(hint.lower() + rest);
        hint
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use super::*;
    use crate::{
        service::{RequestLimits, Service},
        telemetry::Metrics,
    };

    #[tokio::test]
    async fn an_answer_goes_out_in_pieces_the_last_byte_alone_and_is_charged_until_then() {
        let (service, _) = Service::new(RequestLimits::default(), 1, Metrics::default());
        let charge = service.open_charge().expect("there is room");
        let alone = service.in_flight_bytes();
        let text = b"resnetd ".repeat(5000);
        let mut body = Unread::new(axum::body::Body::from(text.clone()), charge);
        assert_eq!(service.in_flight_bytes(), alone + text.len());
        assert_eq!(body.size_hint().exact(), Some(40_000));
        let (mut whole, mut last) = (Vec::new(), 0);
        while let Some(frame) = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            let piece = frame.expect("no error").into_data().expect("data");
            assert!(piece.len() <= PIECE_BYTES);
            whole.extend_from_slice(&piece);
            last = piece.len();
            assert_eq!(body.is_end_stream(), whole.len() == text.len());
            assert_eq!(body.size_hint().exact(), Some((text.len() - whole.len()) as u64));
        }
        assert!(last == 1 && whole == text);
        drop(body);
        assert_eq!(service.in_flight_bytes(), 0);
    }
}
