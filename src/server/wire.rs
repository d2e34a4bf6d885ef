//! A connection under hyper, with or without TLS, and what a request may ask of it while hyper reads nothing.
//!
//! Knows neither requests nor protocols.

use std::{
    io::{self, IoSlice, Read, Write},
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::server::TlsStream;

/// A connection that was let in.
#[derive(Debug)]
pub(super) enum Wire {
    Plain(TcpStream),
    // A kilobyte of state.
    Tls(Box<TlsStream<TcpStream>>),
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
                let (tcp, session) = stream.get_mut();
                session.writer().write_all(words)?;
                while session.wants_write() {
                    match session.write_tls(&mut AtOnce(tcp)) {
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
        let tcp = match self {
            Self::Plain(stream) => stream,
            Self::Tls(stream) => stream.get_ref().0,
        };
        !matches!(tcp.take_error(), Ok(None))
    }
}

fn poll_peek(stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<Next> {
    let mut byte = [0];
    let peeked = ready!(Pin::new(stream).poll_peek(cx, &mut ReadBuf::new(&mut byte)));
    Poll::Ready(match peeked {
        Ok(0) => Next::End,
        Ok(_) => Next::Bytes,
        Err(_) => Next::Broken,
    })
}

/// Records are taken in until they say something: a farewell is one like any other from outside. What they carry stays in the session, where
/// a read looks first.
fn poll_next_under_tls(stream: &mut TlsStream<TcpStream>, cx: &mut Context<'_>) -> Poll<Next> {
    let (tcp, session) = stream.get_mut();
    loop {
        match session.process_new_packets() {
            Err(_) => return Poll::Ready(Next::Broken),
            Ok(state) if state.plaintext_bytes_to_read() > 0 => return Poll::Ready(Next::Bytes),
            Ok(state) if state.peer_has_closed() => return Poll::Ready(Next::End),
            Ok(_) => {}
        }
        match ready!(poll_peek(tcp, cx)) {
            Next::Bytes => {}
            over => return Poll::Ready(over),
        }
        match session.read_tls(&mut AtOnce(tcp)) {
            Ok(0) => return Poll::Ready(Next::End),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Poll::Ready(Next::Broken),
            Ok(_) | Err(_) => {}
        }
    }
}

/// A socket for code that does not wait.
struct AtOnce<'a>(&'a TcpStream);

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
