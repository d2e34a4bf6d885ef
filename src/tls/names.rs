//! Whom a server lets in by the names of a client's certificate (SAN), once an authority has vouched for it.

use std::{borrow::Cow, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use webpki::EndEntityCert;

use super::error::TlsError;

/// A name that a certificate may have.
#[derive(Debug)]
pub(super) enum AllowedName {
    /// A DNS name or an address; a certificate's wildcard covers it.
    Host(ServerName<'static>),
    /// A URI, as it stands.
    Uri(String),
}

impl AllowedName {
    fn read(name: &str) -> Result<Self, TlsError> {
        if name.contains("://") {
            return Ok(Self::Uri(name.to_owned()));
        }
        let host = ServerName::try_from(name.to_owned());
        host.map(Self::Host).map_err(|_| TlsError::BadName { setting: "[tls] allowed_names", name: name.to_owned() })
    }

    /// All of them.
    ///
    /// # Errors
    /// [`TlsError::BadName`].
    pub(super) fn read_all(names: &[String]) -> Result<Vec<Self>, TlsError> {
        names.iter().map(|name| Self::read(name)).collect()
    }

    /// As it was read.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Host(host) => host.to_str(),
            Self::Uri(uri) => Cow::Borrowed(uri),
        }
    }

    pub(super) fn is_of(&self, certificate: &EndEntityCert<'_>) -> bool {
        match self {
            Self::Host(host) => certificate.verify_is_valid_for_subject_name(host).is_ok(),
            Self::Uri(uri) => certificate.valid_uri_names().any(|name| name == uri),
        }
    }
}

/// Asks `authorities` first, and then for a name.
#[derive(Debug)]
pub(super) struct NamedClients {
    authorities: Arc<dyn ClientCertVerifier>,
    names: Vec<AllowedName>,
}

impl NamedClients {
    /// * `names`: one of them is wanted; where there are none, whoever the authorities vouch for comes in
    ///
    /// # Errors
    /// [`TlsError::BadName`].
    pub(super) fn among(
        authorities: Arc<dyn ClientCertVerifier>,
        names: &[String],
    ) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        if names.is_empty() {
            return Ok(authorities);
        }
        let names = AllowedName::read_all(names)?;
        Ok(Arc::new(Self { authorities, names }))
    }
}

impl ClientCertVerifier for NamedClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.authorities.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.authorities.verify_client_cert(end_entity, intermediates, now)?;
        let certificate = EndEntityCert::try_from(end_entity).map_err(|_| CertificateError::BadEncoding)?;
        if self.names.iter().any(|name| name.is_of(&certificate)) {
            return Ok(verified);
        }
        // The alert that the client sees: access denied.
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.authorities.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.authorities.supported_verify_schemes()
    }
}
