//! Why a token does not count: what whoever sent it can do about it, and a word for the metrics. Nothing of the token is in it.

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is cut, or was never one.
    #[error(
        "what was sent is no token that can be read ({0}): send it as the issuer gave it, `authorization: Bearer TOKEN`"
    )]
    Malformed(&'static str),
    /// No signature of a public key.
    #[error("this token is signed in a way that does not count here: RS, PS, ES256, ES384 and EdDSA do")]
    Algorithm,
    /// `iss`.
    #[error("this token is of an issuer whose tokens do not count here (`iss`)")]
    UnknownIssuer,
    /// `aud`.
    #[error("this token is for somebody else (`aud`): ask the issuer for one for this server")]
    WrongAudience,
    /// `exp`.
    #[error("this token has expired (`exp`): ask the issuer for a new one")]
    Expired,
    /// `nbf`, `iat`.
    #[error("this token is not valid yet (`nbf`, `iat`): compare the clocks")]
    NotYetValid,
    /// There is no key of its `kid`.
    #[error("this token is signed with a key that its issuer does not publish (`kid`): ask the issuer for a new one")]
    UnknownKey,
    /// The signature is of something or somebody else.
    #[error("this token's signature does not fit: send it as the issuer gave it")]
    BadSignature,
    /// It does not say who it is for.
    #[error("this token does not say whose it is in a way that counts here")]
    Nameless,
    /// It counts, and is for nothing.
    #[error("this token is let in for nothing here: ask whoever runs the server for a grant")]
    NotGranted,
    /// The issuer's keys cannot be had.
    #[error("the keys of this token's issuer cannot be had at the moment, so it cannot be judged: try again")]
    IssuerAway,
}

impl TokenFault {
    /// What metrics call it.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed_token",
            Self::Algorithm => "algorithm",
            Self::UnknownIssuer => "unknown_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::Expired => "expired",
            Self::NotYetValid => "not_yet_valid",
            Self::UnknownKey => "unknown_signing_key",
            Self::BadSignature => "bad_signature",
            Self::Nameless => "nameless",
            Self::NotGranted => "not_granted",
            Self::IssuerAway => "issuer_away",
        }
    }
}
