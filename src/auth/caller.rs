//! Whoever was let in: by a key of the file, or by a token of the issuer. Doors and line know no difference.

use std::{fmt, sync::Arc, time::Instant};

use super::{
    allowance::{InUse, Spent},
    oidc::TokenHolder,
    permit::Permit,
    ring::KeyHolder,
};

/// Whoever was let in. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Caller {
    /// By a key.
    Key(KeyHolder),
    /// By a token.
    Token(TokenHolder),
}

impl Caller {
    /// What the log calls it, and what takes turns: the name of a key, or `oidc:` and who a token says it is. No key has a colon in its name.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Key(holder) => holder.key().name(),
            Self::Token(holder) => holder.name(),
        }
    }

    /// What it may.
    pub fn permit(&self) -> &Permit {
        match self {
            Self::Key(holder) => holder.key().permit(),
            Self::Token(holder) => holder.permit(),
        }
    }

    /// What it showed.
    pub fn shown(&self) -> &'static str {
        match self {
            Self::Key(_) => "key",
            Self::Token(_) => "token",
        }
    }

    /// The caller as it is by now.
    ///
    /// # Errors
    /// What has happened to the key or the token since, so that it counts no more.
    pub fn again(&self) -> Result<Self, &'static str> {
        match self {
            Self::Key(holder) => holder.again().map(Self::Key).ok_or("was revoked"),
            Self::Token(holder) => holder.again().map(|()| self.clone()),
        }
    }

    /// A request begins.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn begin(&self) -> Result<InUse, Spent> {
        self.permit().begin(Instant::now())
    }

    /// So many images are to be looked at.
    ///
    /// # Errors
    /// [`Spent`].
    pub fn images(&self, count: usize) -> Result<(), Spent> {
        self.permit().images(count, Instant::now())
    }
}

/// As messages say it: ``key `front` ``.
impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} `{}`", self.shown(), self.name())
    }
}
