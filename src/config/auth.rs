//! `[auth]`: whose keys and tokens are let in. Reads no file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::oidc::OidcSection;
use crate::settings::{SettingError, in_range};

/// `[auth]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthSection {
    /// The keys, as `resnetd keys` writes them; empty: there are none.
    pub keys_file: PathBuf,
    /// What is answered without a key or a token.
    pub public: Vec<PublicRoute>,
    /// From one look at the file to the next, in milliseconds; 0: nobody looks.
    pub reload_interval_ms: u64,
    /// `[auth.oidc]`
    pub oidc: OidcSection,
}

/// What may be answered without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublicRoute {
    /// Whether the process lives.
    Livez,
    /// Whether it is ready.
    Readyz,
    /// Its metrics.
    Metrics,
}

impl Default for AuthSection {
    fn default() -> Self {
        Self {
            keys_file: PathBuf::new(),
            public: vec![PublicRoute::Livez, PublicRoute::Readyz],
            // What changed is judged by the look after the one that saw it: within a second.
            reload_interval_ms: 250,
            oidc: OidcSection::default(),
        }
    }
}

impl AuthSection {
    /// Whether a key or a token is wanted.
    pub fn is_on(&self) -> bool {
        self.has_keys() || self.oidc.is_on()
    }

    /// Whether there is a file of keys.
    pub fn has_keys(&self) -> bool {
        !self.keys_file.as_os_str().is_empty()
    }

    pub(super) fn validate(&self) -> Result<(), SettingError> {
        self.oidc.validate()?;
        if self.reload_interval_ms == 0 {
            return Ok(());
        }
        in_range("auth.reload_interval_ms", &self.reload_interval_ms, 50..=86_400_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_never_or_not_too_often() {
        let judged =
            |interval| AuthSection { reload_interval_ms: interval, ..AuthSection::default() }.validate().is_ok();
        assert!(judged(0) && judged(50) && !judged(49));
    }
}
