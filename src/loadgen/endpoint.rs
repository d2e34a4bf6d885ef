//! Where the server is: what a URL says, and new connections to it.

use std::{fmt, io, net::SocketAddr, sync::Arc};

use hyper::Uri;
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_util::either::Either;

use crate::tls::{ClientTls, ClientTlsFiles, TlsError};

/// A server's address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    authority: String,
    prefix: String,
    addresses: Vec<SocketAddr>,
    /// Where it speaks TLS: how, and whose certificate is wanted.
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// A new connection.
pub(super) type ClientWire = Either<TcpStream, TlsStream<TcpStream>>;

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("`{0}` is no URL: write it as http://127.0.0.1:8000")]
    NoUrl(String),
    /// It wants TLS, and there is none with these files.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The name leads nowhere.
    #[error("there is no address for `{0}`: {1}")]
    Unknown(String, io::Error),
    /// Nobody listens.
    #[error("no server at {0}: {1}; start one with `resnetd serve`, or name another with --url")]
    NoServer(String, io::Error),
    /// Somebody listens, and there is no TLS between us.
    #[error(
        "no TLS with {0}: {1}; --ca names whoever vouches for its certificate, --cert and --key what it wants to see of us; \
         where it speaks none, write http://"
    )]
    NoHandshake(String, io::Error),
}

impl Endpoint {
    /// Whether a URL wants TLS, without looking its name up.
    ///
    /// # Errors
    /// [`EndpointError::NoUrl`], [`EndpointError::Tls`].
    pub fn judge(url: &str) -> Result<bool, EndpointError> {
        parts(url).map(|parts| parts.has_tls)
    }

    /// Reads a URL and looks its name up.
    ///
    /// * `files`: what TLS is made of, for HTTP/1.1; read where the URL wants it
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub async fn find(url: &str, files: &ClientTlsFiles) -> Result<Self, EndpointError> {
        Self::find_with(url, || ClientTls::read(files)?.config(false)).await
    }

    /// The same.
    ///
    /// * `tls`: how TLS is spoken; asked where the URL wants it
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub async fn find_with(
        url: &str,
        tls: impl FnOnce() -> Result<ClientConfig, TlsError>,
    ) -> Result<Self, EndpointError> {
        let UrlParts { has_tls, host, port, prefix } = parts(url)?;
        // As it stands in a URL, brackets included.
        let authority = format!("{host}:{port}");
        let unknown = |error| EndpointError::Unknown(host.clone(), error);
        let addresses: Vec<_> = lookup_host(&authority).await.map_err(unknown)?.collect();
        if addresses.is_empty() {
            return Err(unknown(io::ErrorKind::NotFound.into()));
        }
        let tls = if has_tls {
            let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(name).map_err(|_| EndpointError::NoUrl(url.to_owned()))?;
            Some((Arc::new(tls()?), name))
        } else {
            None
        };
        Ok(Self { authority, prefix, addresses, tls })
    }

    /// A new connection.
    ///
    /// # Errors
    /// What the last of the addresses said, or what was wrong with TLS.
    pub(super) async fn connect(&self) -> io::Result<ClientWire> {
        let stream = self.connect_bare().await?;
        match &self.tls {
            None => Ok(Either::Left(stream)),
            Some((config, name)) => {
                TlsConnector::from(config.clone()).connect(name.clone(), stream).await.map(Either::Right)
            }
        }
    }

    async fn connect_bare(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.addresses[..]).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Whether somebody listens.
    ///
    /// # Errors
    /// [`EndpointError::NoServer`], [`EndpointError::NoHandshake`].
    pub async fn check(&self) -> Result<(), EndpointError> {
        let bare = self.connect_bare().await;
        drop(bare.map_err(|error| EndpointError::NoServer(self.origin(), error))?);
        self.connect().await.map(drop).map_err(|error| EndpointError::NoHandshake(self.origin(), error))
    }

    /// Whether it speaks TLS.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", if self.has_tls() { "https" } else { "http" }, self.authority)
    }

    /// Host and port.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// A path of the server, with what stands before every path.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.prefix)
    }
}

#[derive(Debug, PartialEq, Eq)]
struct UrlParts {
    has_tls: bool,
    host: String,
    port: u16,
    /// What stands before every path.
    prefix: String,
}

fn parts(url: &str) -> Result<UrlParts, EndpointError> {
    let wrong = || EndpointError::NoUrl(url.to_owned());
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = whole.parse().map_err(|_| wrong())?;
    let has_tls = match uri.scheme_str() {
        Some("http" | "grpc") => false,
        Some("https" | "grpcs") => true,
        _ => return Err(wrong()),
    };
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let has_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
    let port = match uri.port_u16() {
        Some(port) => port,
        None if has_port => return Err(wrong()),
        None => {
            if has_tls {
                443
            } else {
                80
            }
        }
    };
    if uri.query().is_some() {
        return Err(wrong());
    }
    Ok(UrlParts { has_tls, host: host.to_owned(), port, prefix: uri.path().trim_end_matches('/').to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_and_path() {
        for (url, (has_tls, host, port, prefix)) in [
            ("http://127.0.0.1:8000", (false, "127.0.0.1", 8000, "")),
            ("127.0.0.1:8001", (false, "127.0.0.1", 8001, "")),
            ("http://gpu.local/", (false, "gpu.local", 80, "")),
            ("http://[::1]:9000/vision/", (false, "[::1]", 9000, "/vision")),
            ("grpc://localhost:8001", (false, "localhost", 8001, "")),
            ("https://gpu.local", (true, "gpu.local", 443, "")),
            ("grpcs://gpu.local:8001", (true, "gpu.local", 8001, "")),
        ] {
            let expected = UrlParts { has_tls, host: host.to_owned(), port, prefix: prefix.to_owned() };
            assert_eq!(parts(url).expect(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_one() {
        for url in ["", "http://", "ftp://x:1", "http://x:99999", "http://x:y", "http://x/?a=b", "two words"] {
            let error = parts(url).expect_err(url);
            assert!(error.to_string().contains("http://127.0.0.1:8000"), "{url}: {error}");
        }
    }
}
