//! Whom clients of ours trust: the system's certificate authorities or those that `SSL_CERT_FILE` names; Mozilla's list where there are
//! none, as in a small container. And which places they may ask at all, where what comes back decides who is let in.

use std::{net::IpAddr, sync::Arc};

use hyper::Uri;
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

/// Why `url` is no place to ask for what others could forge on the way: it is neither `https://` nor on this machine.
pub(crate) fn url_problem(url: &str) -> Option<String> {
    let parsed: Result<Uri, _> = url.parse();
    let Ok(uri) = parsed else { return Some("is no URL: write https://HOST/PATH".to_owned()) };
    let host = uri.host().unwrap_or_default();
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    if host.is_empty() || has_user || uri.query().is_some() || url.contains('#') {
        return Some("is no place alone: write https://HOST/PATH, without user, query or fragment".to_owned());
    }
    let is_here = || {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    };
    match uri.scheme_str() {
        Some("https") => None,
        Some("http") if is_here() => None,
        _ => Some("can be forged on the way: write https://, or http:// with an address of this machine".to_owned()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_anybody_on_the_way_could_be_is_refused() {
        for good in [
            "https://id.example",
            "https://id.example/realms/a/",
            "http://127.0.0.1:8080/x",
            "http://[::1]:1",
            "http://localhost/a",
        ] {
            assert_eq!(url_problem(good), None, "{good}");
        }
        for bad in [
            "",
            "id.example",
            "/path",
            "http://id.example",
            "http://127.0.0.1.evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1@evil.example",
            "https://user@id.example",
            "https://id.example?x=1",
            "https://id.example/a#b",
            "ftp://id.example",
            "file:///etc/passwd",
            "https://",
            "https://a b",
        ] {
            assert!(url_problem(bad).is_some(), "{bad}");
        }
    }
}
