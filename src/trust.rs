//! Whom clients of ours trust: the system's certificate authorities or those that `SSL_CERT_FILE` names; Mozilla's list where there are
//! none, as in a small container.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// TLS for a client, with ring: a library's own choice would ask for a provider of the whole process.
///
/// # Errors
/// Where the provider does not know the versions of TLS, which cannot be.
pub(crate) fn client() -> Result<ClientConfig, rustls::Error> {
    let config =
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions();
    Ok(config?.with_root_certificates(system_roots()).with_no_client_auth())
}

/// The authorities themselves.
pub(crate) fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    roots
}
