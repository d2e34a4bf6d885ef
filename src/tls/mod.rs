//! TLS as both sides of it need it: certificates and keys out of PEM files, a server's configuration that follows its files, a client's.
//!
//! rustls with ring, said by name wherever a configuration is made: there may be two providers in the tree, and none is the process's own.
//! Knows files. Must not know sockets, doors, the configuration file or the command line.

mod client;
mod client_name;
mod error;
mod names;
mod pem;
mod serving;

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

pub use self::{
    client::{ClientTls, ClientTlsFiles},
    client_name::ClientName,
    error::TlsError,
    serving::{ServerTls, TlsFiles, TlsSpoken},
};
pub use crate::followed::Look;

/// The name of HTTP/2 in a handshake (ALPN).
const H2: &[u8] = b"h2";

/// The name of HTTP/1.1.
const HTTP_11: &[u8] = b"http/1.1";

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
