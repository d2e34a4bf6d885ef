//! `[tls]`: which files, and what of them fits together. Reads none of them.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::settings::{SettingError, in_range};

/// `[tls]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSection {
    /// The server's certificates, its own first; empty: no TLS.
    pub cert: PathBuf,
    /// The key of that one.
    pub key: PathBuf,
    /// Who vouches for clients; empty: they need no certificate.
    pub client_ca: PathBuf,
    /// The names of clients that are let in; none: all that `client_ca` vouches for.
    pub allowed_names: Vec<String>,
    /// The oldest TLS that is spoken.
    pub min_version: OldestTls,
    /// From one look at the files to the next, in milliseconds; 0: nobody looks.
    pub reload_interval_ms: u64,
    /// How long a handshake may take, in milliseconds.
    pub handshake_timeout_ms: u64,
}

/// Versions of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OldestTls {
    /// TLS 1.2 and 1.3.
    #[serde(rename = "1.2")]
    Tls12,
    /// TLS 1.3 alone.
    #[serde(rename = "1.3")]
    Tls13,
}

impl Default for TlsSection {
    fn default() -> Self {
        Self {
            cert: PathBuf::new(),
            key: PathBuf::new(),
            client_ca: PathBuf::new(),
            allowed_names: Vec::new(),
            min_version: OldestTls::Tls12,
            reload_interval_ms: 2_000,
            handshake_timeout_ms: 10_000,
        }
    }
}

impl TlsSection {
    /// Whether TLS is spoken.
    pub fn is_on(&self) -> bool {
        !self.cert.as_os_str().is_empty()
    }

    pub(super) fn validate(&self) -> Result<(), SettingError> {
        const DAY_MS: u64 = 86_400_000;
        let refuse = |key: &str, problem: &str| {
            Err(SettingError::Key { key: format!("tls.{key}"), problem: problem.to_owned() })
        };
        let (has_key, has_ca) = (!self.key.as_os_str().is_empty(), !self.client_ca.as_os_str().is_empty());
        if self.is_on() && !has_key {
            return refuse("cert", "is set and `tls.key` is not: name the file of its private key as well");
        }
        if has_key && !self.is_on() {
            return refuse("key", "is set and `tls.cert` is not: name the file of its certificate as well");
        }
        if has_ca && !self.is_on() {
            return refuse("client_ca", "is set and `tls.cert` is not: clients show certificates under TLS only");
        }
        if !self.allowed_names.is_empty() && !has_ca {
            return refuse(
                "allowed_names",
                "is set and `tls.client_ca` is not: names count only where somebody vouches for them",
            );
        }
        if self.reload_interval_ms != 0 {
            in_range("tls.reload_interval_ms", &self.reload_interval_ms, 100..=DAY_MS)?;
        }
        in_range("tls.handshake_timeout_ms", &self.handshake_timeout_ms, 100..=600_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_another_setting_is_refused_without_it() {
        let set = |cert: &str, key: &str, ca: &str, names: &[&str]| TlsSection {
            cert: cert.into(),
            key: key.into(),
            client_ca: ca.into(),
            allowed_names: names.iter().map(|name| (*name).to_owned()).collect(),
            ..TlsSection::default()
        };
        for (section, key) in [
            (set("c", "", "", &[]), "tls.cert"),
            (set("", "k", "", &[]), "tls.key"),
            (set("", "", "ca", &[]), "tls.client_ca"),
            (set("c", "k", "", &["web"]), "tls.allowed_names"),
        ] {
            let refused = section.validate().unwrap_err();
            assert!(matches!(&refused, SettingError::Key { key: it, .. } if it == key), "{key}: {refused}");
        }
        for whole in [set("", "", "", &[]), set("c", "k", "", &[]), set("c", "k", "ca", &["web"])] {
            whole.validate().unwrap();
        }
    }
}
