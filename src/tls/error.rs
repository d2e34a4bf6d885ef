//! What is wrong with files of certificates and keys: which setting, which file, and how to mend it.

use std::io;

/// Why there is no TLS with these files. `place` is the setting and its file.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// It cannot be read.
    #[error("{place}: cannot be read ({cause}); name a PEM file that this process may read")]
    Unread {
        /// Setting and file.
        place: String,
        /// What the system says.
        cause: io::Error,
    },
    /// It is PEM up to some place only.
    #[error("{place}: is no whole PEM file ({cause}); write it anew, under another name first and then renamed")]
    NoPem {
        /// Setting and file.
        place: String,
        /// What the reader says.
        cause: String,
    },
    /// There is no certificate in it.
    #[error(
        "{place}: has no certificate in it; it must hold `-----BEGIN CERTIFICATE-----`, the server's or client's own first"
    )]
    NoCertificate {
        /// Setting and file.
        place: String,
    },
    /// There is no key in it.
    #[error(
        "{place}: has no private key in it; it must hold `-----BEGIN PRIVATE KEY-----` (PKCS#8, PKCS#1 or SEC1). One with a password is \
         decrypted by `openssl pkey -in FILE -out FILE.plain`"
    )]
    NoKey {
        /// Setting and file.
        place: String,
    },
    /// A certificate that is none.
    #[error(
        "{place}: holds a certificate that cannot be read ({cause}); ask whoever issued it for one of X.509 version 3"
    )]
    BadCertificate {
        /// Setting and file.
        place: String,
        /// What the reader says.
        cause: String,
    },
    /// Nobody accepts it any more.
    #[error("{place}: expired {days} days ago; renew it")]
    Expired {
        /// Setting and file.
        place: String,
        /// Whole days.
        days: u64,
    },
    /// Nobody accepts it yet.
    #[error("{place}: is valid only in {days} days and more; look at the clock of this machine, or issue it again")]
    NotYet {
        /// Setting and file.
        place: String,
        /// Whole days.
        days: u64,
    },
    /// The key belongs to another certificate.
    #[error("{place}: does not belong to the first certificate of {certificate}; both must come from one issue")]
    Mismatch {
        /// Setting and file of the key.
        place: String,
        /// Setting and file of the certificate.
        certificate: String,
    },
    /// A key that cannot be used.
    #[error(
        "{place}: holds a key that cannot be used ({cause}); make one of RSA (2048 bits or more), ECDSA (P-256, P-384) or Ed25519"
    )]
    BadKey {
        /// Setting and file.
        place: String,
        /// What rustls says.
        cause: String,
    },
    /// No authority that can be trusted.
    #[error(
        "{place}: cannot be trusted as an authority ({cause}); it must hold the certificate of whoever issued the others"
    )]
    BadAuthority {
        /// Setting and file.
        place: String,
        /// What rustls says.
        cause: String,
    },
    /// A name that no certificate can have.
    #[error(
        "{setting}: {name:?} is neither a DNS name, an IP address nor a URI; write it as it stands in the certificate, \
         client.example.com or spiffe://cluster.local/ns/web/sa/front"
    )]
    BadName {
        /// Which setting.
        setting: &'static str,
        /// The name.
        name: String,
    },
    /// rustls refuses all of it.
    #[error("these files make no TLS ({cause}); look at {place}")]
    Refused {
        /// Setting and file.
        place: String,
        /// What rustls says.
        cause: String,
    },
}
