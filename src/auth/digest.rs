//! The hash under which a secret is kept and looked up; never the secret.

use std::hash::{Hash, Hasher};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// SHA-256 of what somebody shows. A map's own hash of it has a secret of the process, so nobody learns from times which ones are near to each
/// other; and two of them are compared to their ends.
#[derive(Clone, Copy, Debug, Eq)]
pub(super) struct SecretDigest(pub(super) [u8; 32]);

impl SecretDigest {
    pub(super) fn of(shown: &[u8]) -> Self {
        Self(Sha256::digest(shown).into())
    }
}

impl PartialEq for SecretDigest {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for SecretDigest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}
