//! The messages of a call's body, before tonic reads them: as many as the method takes, whole, unpacked, none too large.
//!
//! Tonic would unpack on the I/O thread, with windows of 128 MiB, and takes a second message of a unary call for nothing. What
//! is not packed goes through as it comes, uncopied; a packed message is kept until it is whole and passed on unpacked, so
//! that tonic sees none.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, Bytes, BytesMut};
use hyper::body::{Body, Frame};
use tokio::task::yield_now;
use tonic::Status;

use super::convert;
use crate::{
    server::coding::{Coding, Unpacker},
    service::{Error, ErrorKind},
};

/// Before each message: whether it is packed, and its length in four bytes.
const HEAD_BYTES: usize = 5;

/// The most bytes of an unpacked message that tonic gets, and copies, before the I/O thread does something else.
const PIECE_BYTES: usize = 256 << 10;

/// What the messages of a call may be.
pub(super) struct MessageRules<T> {
    /// How those are packed that say they are.
    pub(super) coding: Option<Coding>,
    /// The most bytes of one, packed or not.
    pub(super) limit: usize,
    /// The method takes one.
    pub(super) single: bool,
    pub(super) unpacker: Unpacker,
    /// Asked for the memory of what is unpacked.
    pub(super) take: T,
}

/// The body for tonic.
pub(super) struct Messages<B, T> {
    body: B,
    rules: MessageRules<T>,
    begun: usize,
    /// The start of the next message's head, where it came in pieces.
    head: BytesMut,
    /// What came and was not looked at.
    came: Bytes,
    /// The bytes of the current message that are still to come.
    rest: usize,
    /// The current message, where it is packed.
    packed: Option<BytesMut>,
    unpacking: Option<Unpacking>,
    /// What goes out next.
    out: VecDeque<Bytes>,
    /// Until the next piece of it goes out.
    pause: Option<Pause>,
}

type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;
type Unpacking = Pin<Box<dyn Future<Output = Result<Bytes, Error>> + Send>>;

impl<B, T> Messages<B, T>
where
    T: Fn(usize) -> Result<(), Error> + Clone + Send + 'static,
{
    pub(super) fn new(body: B, rules: MessageRules<T>) -> Self {
        let (head, came, out) = (BytesMut::new(), Bytes::new(), VecDeque::new());
        Self { body, rules, begun: 0, head, came, rest: 0, packed: None, unpacking: None, out, pause: None }
    }

    /// Looks at what came; gives what may go out at once.
    fn advance(&mut self) -> Result<Option<Bytes>, Error> {
        if self.rest > 0 {
            let part = self.came.split_to(self.rest.min(self.came.len()));
            self.rest -= part.len();
            let Some(packed) = &mut self.packed else { return Ok(Some(part)) };
            packed.extend_from_slice(&part);
            if self.rest == 0 {
                self.unpack();
            }
            return Ok(None);
        }
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&self.came.split_to(missing.min(self.came.len())));
        if self.head.len() < HEAD_BYTES {
            return Ok(None);
        }
        let whole = self.head.split().freeze();
        let mut head = whole.clone();
        let (flag, length) = (head.get_u8(), head.get_u32() as usize);
        self.begin(flag, length)?;
        self.rest = length;
        if flag == 0 {
            return Ok(Some(whole));
        }
        self.packed = Some(BytesMut::new());
        if length == 0 {
            self.unpack();
        }
        Ok(None)
    }

    fn begin(&mut self, flag: u8, length: usize) -> Result<(), Error> {
        let refuse = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        self.begun += 1;
        if self.rules.single && self.begun > 1 {
            return refuse("the method takes one message and a second one came: make a call for each".to_owned());
        }
        match flag {
            0 => {}
            1 if self.rules.coding.is_some() => {}
            1 => return refuse("a message says that it is packed, and no grpc-encoding says how".to_owned()),
            _ => return refuse(format!("a message begins with {flag}: 0 is one as it is, 1 a packed one")),
        }
        let limit = self.rules.limit;
        if length > limit {
            let message = format!(
                "the message has {length} bytes, the limit is {limit} ([limits] max_body_bytes): send less at a time"
            );
            return Err(Error::new(ErrorKind::TooLarge, message));
        }
        Ok(())
    }

    fn unpack(&mut self) {
        let packed = self.packed.take().unwrap_or_default().freeze();
        let MessageRules { coding: Some(coding), limit, .. } = self.rules else { return };
        let (unpacker, take) = (self.rules.unpacker.clone(), self.rules.take.clone());
        self.unpacking = Some(Box::pin(async move { unpacker.unpack(coding, packed, limit, take).await }));
    }

    fn is_between_messages(&self) -> bool {
        self.rest == 0
            && self.head.is_empty()
            && self.came.is_empty()
            && self.unpacking.is_none()
            && self.out.is_empty()
    }
}

/// The head of a message that is not packed. Its length fits: the limit of a body does.
fn plain_head(length: usize) -> Bytes {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    [&[0][..], &length.to_be_bytes()].concat().into()
}

impl<B, T> Body for Messages<B, T>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
    T: Fn(usize) -> Result<(), Error> + Clone + Send + Unpin + 'static,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let refused = |error: Error| Poll::Ready(Some(Err(convert::status(&error))));
        loop {
            if let Some(pause) = &mut this.pause {
                ready!(pause.as_mut().poll(cx));
                this.pause = None;
            }
            if let Some(mut next) = this.out.pop_front() {
                if next.len() > PIECE_BYTES {
                    this.out.push_front(next.split_off(PIECE_BYTES));
                    this.pause = Some(Box::pin(yield_now()));
                }
                return Poll::Ready(Some(Ok(Frame::data(next))));
            }
            if let Some(unpacking) = &mut this.unpacking {
                let unpacked = ready!(unpacking.as_mut().poll(cx));
                this.unpacking = None;
                match unpacked {
                    Ok(message) => this.out.extend([plain_head(message.len()), message]),
                    Err(error) => return refused(error),
                }
            } else if !this.came.is_empty() {
                match this.advance() {
                    Ok(Some(part)) => return Poll::Ready(Some(Ok(Frame::data(part)))),
                    Ok(None) => {}
                    Err(error) => return refused(error),
                }
            } else {
                match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                    Some(Ok(frame)) => match frame.into_data() {
                        Ok(data) => this.came = data,
                        Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                    },
                    Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                    None if this.is_between_messages() => return Poll::Ready(None),
                    None => {
                        // Only once: there is no more.
                        (this.rest, this.packed) = (0, None);
                        this.head.clear();
                        let message = "the body ended before its message was complete";
                        return refused(Error::new(ErrorKind::InvalidArgument, message));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_between_messages() && self.body.is_end_stream()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use http_body_util::{BodyExt as _, StreamBody};
    use tonic::Code;

    use super::*;
    use crate::server::threads::Threads;

    fn message(flag: u8, bytes: &[u8]) -> Vec<u8> {
        [&[flag], &(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
    }

    /// What tonic gets of a body that comes in pieces of `size`.
    async fn read(sent: &[u8], size: usize, coding: Option<Coding>, single: bool) -> Result<Vec<u8>, Status> {
        let frames: Vec<_> = sent.chunks(size).map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece)))).collect();
        let rules =
            MessageRules { coding, limit: 1000, single, unpacker: Unpacker::new(Threads::new()), take: |_| Ok(()) };
        let body = Messages::new(StreamBody::new(tokio_stream::iter(frames)), rules);
        body.collect().await.map(|whole| whole.to_bytes().to_vec())
    }

    #[tokio::test]
    async fn what_is_not_packed_goes_through_in_whatever_pieces_it_comes() {
        let sent = [message(0, b"one"), message(0, b""), message(0, &[7; 900])].concat();
        for size in [1, 2, 3, 7, 100, 10_000] {
            assert_eq!(read(&sent, size, None, false).await.expect("messages"), sent, "{size}");
        }
    }

    #[tokio::test]
    async fn packed_messages_come_out_unpacked_between_others() {
        let text = b"resnetd ".repeat(100);
        for coding in [Coding::Gzip, Coding::Deflate, Coding::Zstd] {
            let packed = message(1, &coding.pack(&text).expect("it is packed"));
            let sent = [message(0, b"before"), packed, message(0, b"after")].concat();
            let whole = [message(0, b"before"), message(0, &text), message(0, b"after")].concat();
            for size in [1, 50, 10_000] {
                assert_eq!(read(&sent, size, Some(coding), false).await.expect("messages"), whole, "{coding:?} {size}");
            }
        }
    }

    #[tokio::test]
    async fn what_breaks_the_rules_is_refused_with_its_kind() {
        let gzip = |bytes: &[u8]| message(1, &Coding::Gzip.pack(bytes).expect("it is packed"));
        let two = message(0, b"a").repeat(2);
        for (sent, coding, code) in [
            (two, None, Code::InvalidArgument),
            (gzip(b"a"), None, Code::InvalidArgument),
            (message(2, b"a"), None, Code::InvalidArgument),
            (message(1, b"no gzip"), Some(Coding::Gzip), Code::InvalidArgument),
            (message(1, b""), Some(Coding::Gzip), Code::InvalidArgument),
            (message(0, b"abc")[..7].to_vec(), None, Code::InvalidArgument),
            (vec![0, 0], None, Code::InvalidArgument),
            (vec![0, 0, 0, 3, 233], None, Code::ResourceExhausted),
            (gzip(&[0; 1001]), Some(Coding::Gzip), Code::ResourceExhausted),
        ] {
            let status = read(&sent, 3, coding, true).await.expect_err("refused");
            assert_eq!(status.code(), code, "{sent:?}: {status}");
            assert!(status.metadata().contains_key("x-error-code"), "{status}");
        }
        assert!(read(&gzip(&[0; 1000]), 3, Some(Coding::Gzip), true).await.is_ok());
    }

    /// Tonic copies what it gets: a whole message at once would hold everybody else up.
    #[tokio::test]
    async fn a_large_unpacked_message_goes_out_in_pieces_with_pauses() {
        let text = b"resnetd ".repeat(1 << 17);
        let sent = message(1, &Coding::Gzip.pack(&text).expect("it is packed"));
        let rules = MessageRules {
            coding: Some(Coding::Gzip),
            limit: text.len(),
            single: true,
            unpacker: Unpacker::new(Threads::new()),
            take: |_| Ok(()),
        };
        let mut body = Messages::new(StreamBody::new(tokio_stream::iter([Ok(Frame::data(sent.into()))])), rules);
        let (mut whole, mut at_once, mut most) = (Vec::new(), 0, 0);
        while let Some(frame) = poll_fn(|cx| {
            let frame = Pin::new(&mut body).poll_frame(cx);
            if frame.is_pending() {
                at_once = 0;
            }
            frame
        })
        .await
        {
            let piece = frame.expect("whole").into_data().expect("data");
            at_once += piece.len();
            most = most.max(at_once);
            whole.extend_from_slice(&piece);
        }
        assert_eq!(whole, message(0, &text));
        assert!(most <= PIECE_BYTES + HEAD_BYTES, "{most}");
    }
}
