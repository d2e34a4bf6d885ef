//! Closing a connection so that the client can still read the answer.
//!
//! A body that is too large is refused from its length, before it is read. Closing the socket with bytes of it unread makes
//! the kernel reset the connection, and the client, still writing, would see the reset instead of the 413. So the
//! writing side is closed first, and what still comes is thrown away until the client is done or a limit is reached.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

/// A client that has not noticed the answer after this time has not been reading.
const LIMIT: Duration = Duration::from_secs(2);

/// Set where a body was left unread: the connection then lingers before it closes.
#[derive(Clone, Debug, Default)]
pub(super) struct Linger(Arc<AtomicBool>);

impl Linger {
    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A TCP stream whose shutdown throws away what still comes, if [`Linger`] was set.
pub(super) struct LingeringStream {
    stream: TcpStream,
    linger: Linger,
    until: Option<Pin<Box<Sleep>>>,
}

impl LingeringStream {
    pub(super) fn new(stream: TcpStream, linger: Linger) -> Self {
        Self { stream, linger, until: None }
    }
}

impl AsyncRead for LingeringStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for LingeringStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            if !self.linger.is_set() {
                return Poll::Ready(Ok(()));
            }
        }
        let Self { stream, until, .. } = &mut *self;
        let until = until.get_or_insert_with(|| Box::pin(sleep(LIMIT)));
        let mut scratch = [0; 16 << 10];
        loop {
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut *stream).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(Ok(())),
            }
        }
    }
}
