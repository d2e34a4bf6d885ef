//! Tokens of an issuer (OpenID Connect, JWT): who somebody is and what they may, as the issuer says it, signed with one of its public keys.
//!
//! ```text
//!  issuer ──/.well-known, JWKS──▶ source ─▶ follow (a thread) ─▶ board: the keys in force ─┐
//!  request ─ Bearer TOKEN ─▶ token (parsed) ─▶ rules (iss, aud, exp …) ─▶ key by kid ─▶ signature ─▶ grants ─▶ TokenHolder
//! ```
//! Nothing of a token counts before its signature does; what it says is looked at before, since that is cheaper, and only to refuse it. Which
//! algorithm a signature has is decided by the key, never by the token alone: a public key is no secret of HMAC's here.

mod algorithm;
mod board;
mod claims;
mod fault;
mod follow;
mod grants;
mod issuer;
mod keys;
mod options;
mod source;
mod token;

pub use self::{
    board::KeysAwaited,
    fault::TokenFault,
    issuer::{TokenHolder, TokenIssuer, Unheld},
    options::{OidcOptions, TokenGrant},
    token::is_token,
};
