//! Where connections come in, and what they are: sockets of TCP, or of this machine alone (unix).
//!
//! Knows neither TLS, requests nor protocols.

use std::{
    fmt::{self, Display},
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use rustix::net::{RecvFlags, recv};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use super::client_address::ClientAddress;

/// Where connections come in.
#[derive(Debug)]
pub enum Entrance {
    /// From everywhere that the address is reached from.
    Tcp(TcpListener),
    /// From this machine, by a path in its file system.
    Unix(UnixListener),
}

/// A connection that came in.
#[derive(Debug)]
pub(super) enum Link {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl From<TcpListener> for Entrance {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Entrance {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

impl Entrance {
    /// Where others reach it over the network; `None` for one of this machine alone.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(_) => None,
        }
    }

    /// The next connection, and where it comes from. Cancelled, it has taken none.
    ///
    /// # Errors
    /// What the system says, mostly for want of file descriptors.
    pub(super) async fn accept(&self) -> io::Result<(Link, ClientAddress)> {
        match self {
            Self::Tcp(listener) => listener.accept().await.map(|(stream, address)| (Link::Tcp(stream), address.into())),
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let address = ClientAddress::of_unix(&stream);
                Ok((Link::Unix(stream), address))
            }
        }
    }
}

impl Display for Entrance {
    /// As configurations and clients have it: `127.0.0.1:8000`, `unix:/run/resnetd/http`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(listener) => match listener.local_addr() {
                Ok(address) => address.fmt(f),
                Err(_) => f.write_str("?"),
            },
            Self::Unix(listener) => {
                let address = listener.local_addr().ok();
                let path = address.as_ref().and_then(|address| address.as_pathname());
                write!(f, "unix:{}", path.map_or("?".into(), |path| path.to_string_lossy()))
            }
        }
    }
}

impl Link {
    /// Answers are small and whole: waiting for more of them would only delay. Only TCP does.
    pub(super) fn send_at_once(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.set_nodelay(true),
            Self::Unix(_) => Ok(()),
        }
    }

    /// The first byte of what has come, which stays where it is; `None` at the end.
    pub(super) fn poll_peek(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<u8>>> {
        let mut first = [0];
        let count = match self {
            Self::Tcp(stream) => ready!(Pin::new(stream).poll_peek(cx, &mut ReadBuf::new(&mut first)))?,
            Self::Unix(stream) => loop {
                ready!(stream.poll_read_ready(cx))?;
                let peeked = stream.try_io(Interest::READABLE, || {
                    recv(&*stream, &mut first, RecvFlags::PEEK).map(|(count, _)| count).map_err(io::Error::from)
                });
                match peeked {
                    // It was ready for somebody else; now it is known not to be.
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    peeked => break peeked?,
                }
            },
        };
        Poll::Ready(Ok((count > 0).then_some(first[0])))
    }

    /// Reads what is there; `WouldBlock` where nothing is.
    pub(super) fn try_read(&self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(into),
            Self::Unix(stream) => stream.try_read(into),
        }
    }

    /// Writes what fits; `WouldBlock` where nothing does.
    pub(super) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write(bytes),
            Self::Unix(stream) => stream.try_write(bytes),
        }
    }

    /// Whether the system knows that nobody is at the other end.
    pub(super) fn is_broken(&self) -> bool {
        let error = match self {
            Self::Tcp(stream) => stream.take_error(),
            Self::Unix(stream) => stream.take_error(),
        };
        !matches!(error, Ok(None))
    }
}

impl AsyncRead for Link {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Link {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Sockets keep nothing back.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn pairs() -> [(Link, Link); 2] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let here = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (there, _) = listener.accept().await.unwrap();
        let (this, that) = UnixStream::pair().unwrap();
        [(Link::Tcp(here), Link::Tcp(there)), (Link::Unix(this), Link::Unix(that))]
    }

    #[tokio::test]
    async fn what_is_peeked_at_is_still_there_to_be_read() {
        for (mut here, mut there) in pairs().await {
            let waits = poll_fn(|cx| Poll::Ready(here.poll_peek(cx).is_pending())).await;
            assert!(waits, "nothing has come");
            there.write_all(b"ab").await.unwrap();
            for _ in 0..2 {
                assert_eq!(poll_fn(|cx| here.poll_peek(cx)).await.unwrap(), Some(b'a'));
            }
            let mut both = [0; 2];
            here.read_exact(&mut both).await.unwrap();
            assert_eq!(&both, b"ab");
            drop(there);
            assert_eq!(poll_fn(|cx| here.poll_peek(cx)).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn an_entrance_is_named_as_clients_name_it() {
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap().to_string();
        assert_eq!(Entrance::from(tcp).to_string(), address);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("http");
        let unix = Entrance::from(UnixListener::bind(&path).unwrap());
        assert_eq!(unix.to_string(), format!("unix:{}", path.display()));
        let (_, accepted) = tokio::join!(UnixStream::connect(&path), unix.accept());
        assert!(accepted.unwrap().1.to_string().starts_with("unix:"));
    }
}
