//! A connection's socket under hyper: it closes so that the client can still read the answer, and gives the parser's own
//! refusals our form.
//!
//! A body that is too large is refused from its length, before it is read. Closing the socket with bytes of it unread makes
//! the kernel reset the connection, and the client, still writing, would see the reset instead of the 413. So the
//! writing side is closed first, and what still comes is thrown away until the client is done or a limit is reached.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

use super::{
    bare::{BareRefusal, Refusals},
    leftover::{IDLE, LONGEST},
    peer::Peer,
};
use crate::server::wire::Wire;

/// What is thrown away at a time.
const SCRATCH_BYTES: usize = 16 << 10;

/// A stream that lingers where its [`Peer`] was told so.
pub(super) struct Socket {
    peer: Peer,
    refusals: Arc<Refusals>,
    /// A refusal in our form that is on its way instead of the parser's, and how much of it was sent.
    refusal: Option<(Vec<u8>, usize)>,
    lingering: Option<Lingering>,
}

struct Lingering {
    idle: Pin<Box<Sleep>>,
    until: Instant,
}

impl Socket {
    /// The socket for hyper, and what its requests know of their client.
    pub(super) fn new(stream: Wire, refusals: Arc<Refusals>) -> (Self, Peer) {
        let peer = Peer::new(stream);
        (Self { peer: peer.clone(), refusals, refusal: None, lingering: None }, peer)
    }

    /// Writes what hyper gives, and notes whether all of it went out.
    fn write(
        &self,
        bytes: usize,
        write: impl FnOnce(Pin<&mut Wire>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(&mut *self.peer.stream()));
        let is_whole = matches!(written, Poll::Ready(Ok(written)) if written == bytes);
        self.peer.note_between_answers(is_whole);
        written
    }

    /// Sends our form in place of a refusal of the parser's that is the whole of what hyper writes, its last words.
    fn poll_refuse(&mut self, cx: &mut Context<'_>, bare: &BareRefusal<'_>, bytes: usize) -> Poll<io::Result<usize>> {
        let Self { peer, refusals, refusal, .. } = self;
        let (form, sent) = refusal.get_or_insert_with(|| (refusals.form(bare), 0));
        while let Some(rest) = form.get(*sent..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut *peer.stream()).poll_write(cx, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => *sent += written,
            }
        }
        // What the client sent is not read to its end.
        peer.linger();
        Poll::Ready(Ok(bytes))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.peer.stream()).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match BareRefusal::at_end(buf) {
            None => self.write(buf.len(), |stream| stream.poll_write(cx, buf)),
            Some((0, bare)) => self.poll_refuse(cx, &bare, buf.len()),
            // First what was answered before.
            Some((start, _)) => {
                let before = buf.get(..start).unwrap_or(buf);
                self.write(buf.len(), |stream| stream.poll_write(cx, before))
            }
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match bufs {
            [only] => self.poll_write(cx, only),
            _ => {
                let bytes = bufs.iter().map(|buf| buf.len()).sum();
                self.write(bytes, |stream| stream.poll_write_vectored(cx, bufs))
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.peer.stream()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { peer, lingering, .. } = &mut *self;
        if lingering.is_none() {
            ready!(Pin::new(&mut *peer.stream()).poll_shutdown(cx))?;
            if !peer.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        let Lingering { idle, until } =
            lingering.get_or_insert_with(|| Lingering { idle: Box::pin(sleep(IDLE)), until: Instant::now() + LONGEST });
        let mut scratch = [0; SCRATCH_BYTES];
        loop {
            if idle.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *peer.stream()).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
            let now = Instant::now();
            if now > *until {
                return Poll::Ready(Ok(()));
            }
            idle.as_mut().reset((now + IDLE).into());
        }
    }
}
