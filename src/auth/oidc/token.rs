//! A token as it was sent, taken apart (RFC 7515, compact form; RFC 7519). Pure, over bytes that anybody may have sent; nothing here is true.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::{algorithm::Algorithm, fault::TokenFault};

/// Tokens with hundreds of groups have less; a head of HTTP has no more than twice that.
const LONGEST_TOKEN: usize = 16 << 10;

/// Whether something that was shown as a key is meant for a token: three parts, the first an object of JSON in base64.
pub fn is_token(shown: &[u8]) -> bool {
    shown.starts_with(b"ey") && shown.iter().filter(|byte| **byte == b'.').count() == 2
}

/// A token.
#[derive(Debug)]
pub(super) struct Token<'t> {
    pub(super) algorithm: Algorithm,
    /// Which key it says it is signed with.
    pub(super) key_id: Option<String>,
    pub(super) claims: Map<String, Value>,
    /// What the signature is of.
    pub(super) signed: &'t [u8],
    pub(super) signature: Vec<u8>,
}

/// What of a header is looked at. Where keys could be had (`jku`, `x5u`) or are (`jwk`, `x5c`) is no affair of the sender's.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl<'t> Token<'t> {
    pub(super) fn parse(shown: &'t [u8]) -> Result<Self, TokenFault> {
        let malformed = TokenFault::Malformed;
        if shown.len() > LONGEST_TOKEN {
            return Err(malformed("it is longer than 16 KiB"));
        }
        let mut parts = shown.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it has not three parts"));
        };
        let signed = &shown[..header.len() + 1 + claims.len()];
        let decoded = |part| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed("a part of it is no base64"));
        let header: Header =
            serde_json::from_slice(&decoded(header)?).map_err(|_| malformed("its header is no JSON with `alg`"))?;
        let algorithm = Algorithm::named(&header.alg).ok_or(TokenFault::Algorithm)?;
        if header.crit.is_some() {
            return Err(malformed("its header has `crit`, which asks for more than is done here"));
        }
        let claims =
            serde_json::from_slice(&decoded(claims)?).map_err(|_| malformed("its claims are no object of JSON"))?;
        Ok(Self { algorithm, key_id: header.kid, claims, signed, signature: decoded(signature)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(header: &str, claims: &str, signature: &str) -> String {
        [header, claims, signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".")
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = written(r#"{"alg":"RS256","kid":"k","jku":"https://evil.example"}"#, r#"{"iss":"a"}"#, "sig");
        assert!(is_token(text.as_bytes()));
        let token = Token::parse(text.as_bytes()).unwrap();
        assert_eq!((token.algorithm, token.key_id.as_deref()), (Algorithm::Rs256, Some("k")));
        assert_eq!((token.claims["iss"].as_str(), &*token.signature), (Some("a"), &b"sig"[..]));
        assert!(text.as_bytes().starts_with(token.signed) && token.signed.len() == text.rfind('.').unwrap());
    }

    #[test]
    fn what_is_no_token_is_refused_and_nothing_is_signed_with_no_key_or_a_shared_one() {
        let good = r#"{"alg":"RS256"}"#;
        for algorithm in ["none", "None", "", "HS256", "HS384", "HS512", "rs256", "ES512", "ES256K", "RSA-OAEP"] {
            let text = written(&format!(r#"{{"alg":{algorithm:?}}}"#), "{}", "");
            assert_eq!(Token::parse(text.as_bytes()).unwrap_err(), TokenFault::Algorithm, "{algorithm}");
        }
        let whole = written(good, "{}", "sig");
        for text in [
            String::new(),
            "..".to_owned(),
            "ey.ey.ey".to_owned(),
            whole.replace('.', ""),
            format!("{whole}.{whole}"),
            format!("{whole}="),
            format!("{whole}\u{e9}"),
            written("[]", "{}", ""),
            written("{}", "{}", ""),
            written(r#"{"alg":1}"#, "{}", ""),
            written(r#"{"alg":"none","alg":"RS256"}"#, "{}", ""),
            written(r#"{"alg":"RS256","kid":7}"#, "{}", ""),
            written(r#"{"alg":"RS256","crit":["exp"]}"#, "{}", ""),
            written(good, "[]", ""),
            written(good, "{", ""),
            written(good, &"[".repeat(10_000), ""),
            written(good, "{}", &"s".repeat(LONGEST_TOKEN)),
        ] {
            assert!(matches!(Token::parse(text.as_bytes()), Err(TokenFault::Malformed(_))), "{text}");
        }
    }

    #[test]
    fn keys_of_ours_are_no_tokens() {
        for key in ["", "resnetd_00ff", "ey", "ey.a", "ey.a.b.c", "a.b.c", "e.y.j"] {
            assert!(!is_token(key.as_bytes()), "{key}");
        }
    }
}
