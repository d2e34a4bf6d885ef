//! Certificates and keys out of PEM files, and whether their time has come. Knows nothing of who shows them.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer, UnixTime,
    pem::{self, PemObject as _},
};
use webpki::{EndEntityCert, Error as WebPkiError, KeyUsage, ring as algorithms};

use super::error::TlsError;
use crate::files;

/// More is no certificate; bundles of authorities have 200 KB.
const LARGEST: u64 = 4 << 20;

const DAY_S: u64 = 86_400;

/// A file, and the setting that names it.
#[derive(Clone, Debug)]
pub(super) struct PemFile {
    setting: &'static str,
    path: PathBuf,
}

impl PemFile {
    pub(super) fn new(setting: &'static str, path: &Path) -> Self {
        Self { setting, path: path.to_owned() }
    }

    /// Setting and file, as errors name them.
    pub(super) fn place(&self) -> String {
        format!("{} {}", self.setting, files::shown(&self.path))
    }

    pub(super) fn read(&self) -> Result<Vec<u8>, TlsError> {
        files::read(&self.path, LARGEST).map_err(|cause| TlsError::Unread { place: self.place(), cause })
    }

    /// All certificates of what was read, one at least.
    pub(super) fn certificates(&self, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let certificates = certificates.map_err(|cause| self.no_pem(&cause))?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate { place: self.place() });
        }
        Ok(certificates)
    }

    /// The first key of what was read.
    pub(super) fn key(&self, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
        match PrivateKeyDer::from_pem_slice(text) {
            Ok(key) => Ok(key),
            Err(pem::Error::NoItemsFound) => Err(TlsError::NoKey { place: self.place() }),
            Err(cause) => Err(self.no_pem(&cause)),
        }
    }

    /// The reader's words may repeat what it read, and that may be a key.
    fn no_pem(&self, cause: &pem::Error) -> TlsError {
        let cause = match cause {
            pem::Error::MissingSectionEnd { .. } => "it ends before its `-----END` line",
            pem::Error::IllegalSectionStart { .. } => "a `-----BEGIN` line is malformed",
            pem::Error::Base64Decode(_) => "what stands between the lines is no base64",
            _ => "it cannot be read",
        };
        TlsError::NoPem { place: self.place(), cause: cause.to_owned() }
    }

    /// Refuses what has expired at `now`, and what is not valid yet.
    pub(super) fn check_time(&self, certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), TlsError> {
        let unreadable =
            |cause: WebPkiError| TlsError::BadCertificate { place: self.place(), cause: cause.to_string() };
        let parsed = EndEntityCert::try_from(certificate).map_err(unreadable)?;
        let days = |later: UnixTime, earlier: UnixTime| later.as_secs().saturating_sub(earlier.as_secs()) / DAY_S;
        // Nobody is trusted here: of the reasons against it, the first that is looked for is its time, and the others are its readers'.
        let judged =
            parsed.verify_for_usage(&[algorithms::ED25519], &[], &[], now, KeyUsage::server_auth(), None, None);
        match judged {
            Err(WebPkiError::CertExpired { not_after, .. }) => {
                Err(TlsError::Expired { place: self.place(), days: days(now, not_after) })
            }
            Err(WebPkiError::CertNotValidYet { not_before, .. }) => {
                Err(TlsError::NotYet { place: self.place(), days: days(not_before, now) })
            }
            Err(cause @ (WebPkiError::BadDer | WebPkiError::BadDerTime | WebPkiError::InvalidCertValidity)) => {
                Err(unreadable(cause))
            }
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

/// So much later than now.
pub(super) fn in_days(days: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(UnixTime::now().as_secs() + days * DAY_S))
}
