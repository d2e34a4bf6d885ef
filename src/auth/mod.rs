//! API keys, and tokens of an issuer: who may ask for what, and how much of it.
//!
//! A key is 256 bits of chance, so the file of their hashes gives none away: SHA-256 is enough, and a slow hash, which guards words that people
//! think of, would only be something for strangers to keep the server busy with. A hash is looked up under a hash with a secret of the process
//! and compared to its end: how long that takes says nothing of the keys there are. Tokens are another folder, `oidc`; what either lets somebody in
//! for is a [`Permit`].
//!
//! Knows files and the issuer of tokens, and counts what it sees. Must not know protocols, models as they are served, the configuration file or the command line.

mod allowance;
mod book;
mod caller;
mod change;
mod digest;
mod error;
mod key_file;
mod oidc;
mod permit;
mod ring;
mod shown;

pub use self::{
    allowance::{InUse, Limits, Spent},
    book::ApiKey,
    caller::Caller,
    change::{add_key, revoke_key},
    error::KeyFileError,
    key_file::{KeyEntry, KeyFile, Right, all_models, usual_rights},
    oidc::{KeysAwaited, OidcOptions, TokenFault, TokenGrant, TokenHolder, TokenIssuer, Unheld, is_token},
    permit::Permit,
    ring::{KeyHolder, KeyRing},
    shown::ShownKey,
};
