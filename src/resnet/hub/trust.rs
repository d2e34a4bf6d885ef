//! Whom a download trusts: the system's certificate authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name. Where the
//! system has none, as in a small container, Mozilla's list in the binary.

use std::env;

use rustls_native_certs::load_native_certs;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::error::HubError;

/// What says where certificates are; then nobody else is trusted.
const VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];

/// # Errors
/// [`HubError::NoCertificates`] where a variable names a place that holds none.
pub(super) fn tls() -> Result<TlsConfig, HubError> {
    let found = load_native_certs();
    let named = VARIABLES.iter().find_map(|variable| Some((*variable, env::var_os(variable)?)));
    let roots = match (found.certs.is_empty(), named) {
        (false, _) => found
            .certs
            .iter()
            .map(|certificate| Certificate::from_der(certificate).to_owned())
            .collect::<Vec<_>>()
            .into(),
        (true, None) => RootCerts::WebPki,
        (true, Some((variable, place))) => {
            let cause = found.errors.first().map_or_else(|| "it is empty".to_owned(), ToString::to_string);
            return Err(HubError::NoCertificates { variable, place: place.to_string_lossy().into_owned(), cause });
        }
    };
    Ok(TlsConfig::builder().root_certs(roots).build())
}
