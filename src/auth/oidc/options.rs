//! Whose tokens count, and for what.

use std::{path::PathBuf, time::Duration};

use crate::auth::{allowance::Limits, key_file::Right};

/// Whose tokens count.
#[derive(Clone, Debug, PartialEq)]
pub struct OidcOptions {
    /// `iss`, to the letter.
    pub issuer: String,
    /// One of these must be in `aud`.
    pub audiences: Vec<String>,
    /// Where the keys are; `None`: where the issuer's own description says.
    pub jwks_url: Option<String>,
    /// Who vouches for the issuer's certificate, a PEM file; `None`: the system's authorities.
    pub ca: Option<PathBuf>,
    /// What is shown when the keys are asked for: a file with a token, which Kubernetes wants.
    pub token_file: Option<PathBuf>,
    /// The claim that says who somebody is.
    pub name_claim: String,
    /// What a token may that no grant fits; nothing: it is refused.
    pub rights: Vec<Right>,
    /// The models that such a one is for; `*` for all.
    pub models: Vec<String>,
    /// What some of them may; the first that fits counts.
    pub grants: Vec<TokenGrant>,
    /// How far clocks may be apart.
    pub leeway: Duration,
    /// From one look at the keys to the next.
    pub refresh_interval: Duration,
    /// The least from one look to another that a token with an unknown key asks for.
    pub min_refresh_interval: Duration,
    /// How long a look may take.
    pub fetch_timeout: Duration,
}

/// What tokens may that say something.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenGrant {
    /// What the metrics call whoever comes by it, behind `oidc:`.
    pub name: String,
    /// A claim.
    pub claim: String,
    /// What it must say.
    pub value: String,
    /// What they may.
    pub rights: Vec<Right>,
    /// The models that they are for; `*` for all.
    pub models: Vec<String>,
    /// How much of it, all of them together.
    pub limits: Limits,
}
