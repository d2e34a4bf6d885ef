//! Who a client is, by the certificate that it showed: one name, for lines of the log and for whoever decides by it.
//!
//! The authority has vouched for the certificate before. Must not know who asks, or what is done with the name.

use std::{
    fmt::{self, Display},
    sync::Arc,
};

use rustls::pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use webpki::EndEntityCert;

use super::names::AllowedName;
use crate::files::hex;

/// What a line of the log has room for. A longer name is told by its certificate's digest: cut off, it could be somebody else's.
const LONGEST: usize = 200;

/// The name of a client, by its certificate. Clones share it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientName(Arc<str>);

impl ClientName {
    /// The name of `allowed` by which the client came in; where any comes in, the first URI of its certificate, or the first DNS name; else
    /// `sha256:` and the digest of the certificate, as `openssl x509 -fingerprint -sha256` has it without colons.
    pub(super) fn of(shown: &CertificateDer<'_>, allowed: &[AllowedName]) -> Self {
        let named = EndEntityCert::try_from(shown).ok().and_then(|certificate| {
            if let Some(name) = allowed.iter().find(|name| name.is_of(&certificate)) {
                return Some(name.text().into_owned());
            }
            let uri = certificate.valid_uri_names().find(|uri| uri.contains("://"));
            uri.or_else(|| certificate.valid_dns_names().next()).map(str::to_owned)
        });
        let name = named.filter(|name| name.len() <= LONGEST).unwrap_or_else(|| digest(shown));
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for ClientName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn digest(shown: &CertificateDer<'_>) -> String {
    format!("sha256:{}", hex(&Sha256::digest(shown)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, string::Ia5String};

    use super::*;

    fn certificate(hosts: &[&str], uris: &[&str]) -> CertificateDer<'static> {
        let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut params = CertificateParams::new(hosts).unwrap();
        params.subject_alt_names.extend(uris.iter().map(|&uri| SanType::URI(Ia5String::try_from(uri).unwrap())));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone()
    }

    fn name(hosts: &[&str], uris: &[&str], allowed: &[&str]) -> String {
        let allowed: Vec<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        let allowed = AllowedName::read_all(&allowed).unwrap();
        ClientName::of(&certificate(hosts, uris), &allowed).to_string()
    }

    #[test]
    fn a_client_has_the_name_by_which_it_came_in() {
        let (hosts, uris) = (["back.example.com", "front.example.com", "10.0.0.7"], ["spiffe://here/front"]);
        for allowed in ["front.example.com", "10.0.0.7", "spiffe://here/front"] {
            assert_eq!(name(&hosts, &uris, &["elsewhere.example.com", allowed]), allowed);
        }
        assert_eq!(name(&["*.example.com"], &[], &["one.example.com"]), "one.example.com");
    }

    #[test]
    fn where_any_comes_in_its_uri_is_its_name_or_its_first_host_or_a_digest() {
        assert_eq!(name(&["one.example.com"], &["urn:other", "spiffe://here/front"], &[]), "spiffe://here/front");
        assert_eq!(name(&["one.example.com", "two.example.com"], &["urn:other"], &[]), "one.example.com");
        let long = format!("spiffe://here/{}", "a".repeat(LONGEST));
        for nameless in [name(&["10.0.0.7"], &[], &[]), name(&[], &[&long], &[])] {
            assert_eq!((&nameless[..7], nameless.len()), ("sha256:", 7 + 64), "{nameless}");
        }
    }

    #[test]
    fn the_digest_is_that_of_the_whole_certificate() {
        // printf abc | sha256sum
        let expected = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest(&CertificateDer::from(b"abc".as_slice())), expected);
    }
}
