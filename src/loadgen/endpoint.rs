//! Where the server is: what a URL says, and new connections to it.

use std::{fmt, io, net::SocketAddr};

use hyper::Uri;
use tokio::net::{TcpStream, lookup_host};

/// A server's address.
#[derive(Clone, Debug)]
pub struct Endpoint {
    authority: String,
    prefix: String,
    addresses: Vec<SocketAddr>,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Not a URL.
    #[error("`{0}` is no URL: write it as http://127.0.0.1:8000")]
    NoUrl(String),
    /// It wants TLS.
    #[error("`{0}` wants TLS, which this command does not speak yet: name the port without TLS, behind the proxy")]
    Tls(String),
    /// The name leads nowhere.
    #[error("there is no address for `{0}`: {1}")]
    Unknown(String, io::Error),
    /// Nobody listens.
    #[error("no server at http://{0}: {1}; start one with `resnetd serve`, or name another with --url")]
    NoServer(String, io::Error),
}

impl Endpoint {
    /// Whether a URL is one, without looking its name up.
    ///
    /// # Errors
    /// [`EndpointError::NoUrl`], [`EndpointError::Tls`].
    pub fn judge(url: &str) -> Result<(), EndpointError> {
        parts(url).map(drop)
    }

    /// Reads a URL and looks its name up.
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub async fn find(url: &str) -> Result<Self, EndpointError> {
        let (host, port, prefix) = parts(url)?;
        // As it stands in a URL, brackets included.
        let authority = format!("{host}:{port}");
        let unknown = |error| EndpointError::Unknown(host.clone(), error);
        let addresses: Vec<_> = lookup_host(&authority).await.map_err(unknown)?.collect();
        if addresses.is_empty() {
            return Err(unknown(io::ErrorKind::NotFound.into()));
        }
        Ok(Self { authority, prefix, addresses })
    }

    /// A new connection.
    ///
    /// # Errors
    /// What the last of the addresses said.
    pub(super) async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(&self.addresses[..]).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// Whether somebody listens.
    ///
    /// # Errors
    /// [`EndpointError::NoServer`].
    pub async fn check(&self) -> Result<(), EndpointError> {
        let connected = self.connect().await;
        connected.map(drop).map_err(|error| EndpointError::NoServer(self.authority.clone(), error))
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
        write!(f, "http://{}{}", self.authority, self.prefix)
    }
}

/// Host, port and what stands before every path.
fn parts(url: &str) -> Result<(String, u16, String), EndpointError> {
    let wrong = || EndpointError::NoUrl(url.to_owned());
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = whole.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "grpc") => {}
        Some("https" | "grpcs") => return Err(EndpointError::Tls(url.to_owned())),
        _ => return Err(wrong()),
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or_else(wrong)?;
    let has_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
    let port = match uri.port_u16() {
        Some(port) => port,
        None if has_port => return Err(wrong()),
        None => 80,
    };
    if uri.query().is_some() {
        return Err(wrong());
    }
    Ok((host.to_owned(), port, uri.path().trim_end_matches('/').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_and_path() {
        for (url, expected) in [
            ("http://127.0.0.1:8000", ("127.0.0.1", 8000, "")),
            ("127.0.0.1:8001", ("127.0.0.1", 8001, "")),
            ("http://gpu.local/", ("gpu.local", 80, "")),
            ("http://[::1]:9000/vision/", ("[::1]", 9000, "/vision")),
            ("grpc://localhost:8001", ("localhost", 8001, "")),
        ] {
            let (host, port, prefix) = parts(url).expect(url);
            assert_eq!((&*host, port, &*prefix), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_with_one() {
        for url in ["", "http://", "ftp://x:1", "http://x:99999", "http://x:y", "http://x/?a=b", "two words"] {
            let error = parts(url).expect_err(url);
            assert!(error.to_string().contains("http://127.0.0.1:8000"), "{url}: {error}");
        }
        let error = parts("https://x").expect_err("TLS");
        assert!(error.to_string().contains("does not speak yet"), "{error}");
    }
}
