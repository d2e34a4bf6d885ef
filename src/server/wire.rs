//! A connection under hyper, with or without TLS, and what a request may ask of it while hyper reads nothing.
//!
//! Knows neither requests nor protocols.

use std::{
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;

use super::entrance::Link;

/// A connection that was let in.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(Link),
    // A kilobyte of state.
    Tls(Box<TlsStream<Link>>),
}

/// How the stream of what a client sends goes on.
pub(super) enum Next {
    Bytes,
    End,
    Broken,
}

impl Wire {
    /// What comes next, and it is still there for whoever reads.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        match self {
            Self::Plain(stream) => poll_peek(stream, cx),
            Self::Tls(stream) => poll_next_under_tls(stream, cx),
        }
    }

    /// Writes as much as fits at once.
    ///
    /// # Errors
    /// If the connection is broken; not where the client reads nothing.
    pub(super) fn try_say(&mut self, words: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => match stream.try_write(words) {
                Ok(written) if written < words.len() => Err(io::ErrorKind::WriteZero.into()),
                // A client that reads nothing has not left.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                said => said.map(|_| ()),
            },
            Self::Tls(stream) => {
                let (link, session) = stream.get_mut();
                session.writer().write_all(words)?;
                while session.wants_write() {
                    match session.write_tls(&mut AtOnce(link)) {
                        // The rest goes out with what hyper writes next.
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                        written => written?,
                    };
                }
                Ok(())
            }
        }
    }

    /// Whether the system knows that nobody is at the other end.
    pub(super) fn is_broken(&self) -> bool {
        match self {
            Self::Plain(link) => link.is_broken(),
            Self::Tls(stream) => stream.get_ref().0.is_broken(),
        }
    }
}

fn poll_peek(link: &mut Link, cx: &mut Context<'_>) -> Poll<Next> {
    Poll::Ready(match ready!(link.poll_peek(cx)) {
        Ok(None) => Next::End,
        Ok(Some(_)) => Next::Bytes,
        Err(_) => Next::Broken,
    })
}

/// Records are taken in until they say something: a farewell is one like any other from outside. What they carry stays in the session, where
/// a read looks first.
fn poll_next_under_tls(stream: &mut TlsStream<Link>, cx: &mut Context<'_>) -> Poll<Next> {
    let (link, session) = stream.get_mut();
    loop {
        match session.process_new_packets() {
            Err(_) => return Poll::Ready(Next::Broken),
            Ok(state) if state.plaintext_bytes_to_read() > 0 => return Poll::Ready(Next::Bytes),
            Ok(state) if state.peer_has_closed() => return Poll::Ready(Next::End),
            Ok(_) => {}
        }
        match ready!(poll_peek(link, cx)) {
            Next::Bytes => {}
            over => return Poll::Ready(over),
        }
        match session.read_tls(&mut AtOnce(link)) {
            Ok(0) => return Poll::Ready(Next::End),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Next::Broken),
            Ok(_) | Err(_) => {}
        }
    }
}

/// A socket for code that does not wait.
struct AtOnce<'a>(&'a Link);

impl Read for AtOnce<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(into)
    }
}

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
