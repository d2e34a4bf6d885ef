//! A client's TLS: whom it trusts, and what it shows of itself.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
};
use rustls_native_certs::load_native_certs;
use ureq::tls::{Certificate, ClientCert, RootCerts, TlsConfig};

use super::{H2, HTTP_11, error::TlsError, pem::PemFile, provider};
use crate::trust::system_roots;

/// What a client's TLS is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientTlsFiles {
    /// Who vouches for servers; without it the system's authorities do.
    pub ca: Option<PathBuf>,
    /// What the client shows: its chain, and the key of the first certificate in it.
    pub identity: Option<(PathBuf, PathBuf)>,
}

/// A client's TLS.
pub struct ClientTls {
    authorities: Option<Vec<CertificateDer<'static>>>,
    identity: Option<Identity>,
}

/// What a client shows of itself. It has no `Debug`: there is a key in it.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    key_text: Vec<u8>,
    /// For errors.
    place: String,
}

impl ClientTls {
    /// Reads the files.
    ///
    /// # Errors
    /// [`TlsError`], which names the option and the file.
    pub fn read(files: &ClientTlsFiles) -> Result<Self, TlsError> {
        let Self { authorities, .. } = Self::trusting("--ca", files.ca.as_deref())?;
        let identity = files.identity.as_ref().map(|(cert, key)| {
            let (cert, key) = (PemFile::new("--cert", cert), PemFile::new("--key", key));
            let chain = cert.certificates(&cert.read()?)?;
            if let Some(own) = chain.first() {
                cert.check_time(own, UnixTime::now())?;
            }
            let key_text = key.read()?;
            Ok(Identity { chain, key: key.key(&key_text)?, key_text, place: cert.place() })
        });
        Ok(Self { authorities, identity: identity.transpose()? })
    }

    /// Of a client that shows nothing of itself.
    ///
    /// * `setting`: what names the file `ca`, for errors
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn trusting(setting: &'static str, ca: Option<&Path>) -> Result<Self, TlsError> {
        let authorities = ca.map(|path| {
            let file = PemFile::new(setting, path);
            file.certificates(&file.read()?)
        });
        Ok(Self { authorities: authorities.transpose()?, identity: None })
    }

    /// The same for the client of HTTP that waits for its answers.
    ///
    /// # Errors
    /// [`TlsError`], where the key cannot be used.
    pub fn for_ureq(&self) -> Result<TlsConfig, TlsError> {
        let owned = |der: &[u8]| Certificate::from_der(der).to_owned();
        let roots: RootCerts = match &self.authorities {
            Some(authorities) => authorities.iter().map(|it| owned(it)).collect::<Vec<_>>().into(),
            None => match &load_native_certs().certs[..] {
                [] => RootCerts::WebPki,
                found => found.iter().map(|it| owned(it)).collect::<Vec<_>>().into(),
            },
        };
        let identity = self.identity.as_ref().map(|Identity { chain, key_text, place, .. }| {
            let chain: Vec<_> = chain.iter().map(|it| owned(it)).collect();
            let key = ureq::tls::PrivateKey::from_pem(key_text)
                .map_err(|cause| TlsError::BadKey { place: place.clone(), cause: cause.to_string() })?;
            Ok::<_, TlsError>(ClientCert::new_with_certs(&chain, key))
        });
        Ok(TlsConfig::builder().root_certs(roots).client_cert(identity.transpose()?).build())
    }

    /// For connections of one protocol.
    ///
    /// # Errors
    /// [`TlsError`], where an authority or the key cannot be used.
    pub fn config(&self, http2: bool) -> Result<ClientConfig, TlsError> {
        let roots = match &self.authorities {
            None => system_roots(),
            Some(authorities) => {
                let mut roots = RootCertStore::empty();
                for authority in authorities {
                    let bad =
                        |cause: Error| TlsError::BadAuthority { place: "--ca".to_owned(), cause: cause.to_string() };
                    roots.add(authority.clone()).map_err(bad)?;
                }
                roots
            }
        };
        let builder = builder()?.with_root_certificates(roots);
        let mut config =
            match &self.identity {
                None => builder.with_no_client_auth(),
                Some(Identity { chain, key, place, .. }) => builder
                    .with_client_auth_cert(chain.clone(), key.clone_key())
                    .map_err(|cause| TlsError::Refused { place: place.clone(), cause: cause.to_string() })?,
            };
        config.alpn_protocols = vec![if http2 { H2 } else { HTTP_11 }.to_vec()];
        Ok(config)
    }

    /// The same for HTTP/1.1, and whatever certificate the server shows, where `--ca` says nothing. Only for a question that anybody may ask
    /// and whose answer is worth nothing: whether the server on this machine is ready.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub fn config_for_a_probe(&self) -> Result<ClientConfig, TlsError> {
        let mut config = self.config(false)?;
        if self.authorities.is_none() {
            config.dangerous().set_certificate_verifier(Arc::new(AnyServer(provider())));
        }
        Ok(config)
    }
}

fn builder() -> Result<rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    builder.map_err(|cause| TlsError::Refused { place: "the program".to_owned(), cause: cause.to_string() })
}

/// Takes every certificate whose key the server has.
#[derive(Debug)]
struct AnyServer(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyServer {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
