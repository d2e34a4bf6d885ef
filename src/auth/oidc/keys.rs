//! The public keys of an issuer (JWKS, RFC 7517): those of them that signatures of tokens can be checked with.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use serde_json::Value;

use super::{
    algorithm::{Algorithm, PublicKey},
    fault::TokenFault,
    token::Token,
};

/// Issuers have two or three, the largest about ten.
const MOST_KEYS: usize = 64;

/// What ring takes of RSA, in bytes.
const SHORTEST_MODULUS: usize = 256;
const LONGEST_MODULUS: usize = 1_024;

/// A key that signs tokens.
#[derive(Debug)]
pub(super) struct SigningKey {
    id: Option<String>,
    /// The only algorithm that it is for, where that was said.
    algorithm: Option<Algorithm>,
    key: PublicKey,
    is_withdrawn: AtomicBool,
}

/// The keys of an issuer.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Arc<SigningKey>>,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    r#use: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// What nobody here can check signatures with is passed over, as RFC 7517 wants it: keys for encryption, secrets of HMAC, other curves.
    ///
    /// # Errors
    /// Where it is none, and where there is no key left.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(text).map_err(|cause| {
            format!("no JSON with a list `keys` (line {}, column {})", cause.line(), cause.column())
        })?;
        let there = document.keys.len();
        if there > MOST_KEYS {
            return Err(format!("{there} keys, the limit is {MOST_KEYS}"));
        }
        let usable = |value| SigningKey::of(serde_json::from_value(value).ok()?).map(Arc::new);
        let keys: Vec<_> = document.keys.into_iter().filter_map(usable).collect();
        match keys.is_empty() {
            true => Err(format!(
                "{there} keys, none of them for signatures that count (RSA from 2048 bits, P-256, P-384, Ed25519)"
            )),
            false => Ok(Self { keys }),
        }
    }

    /// The same keys, those that were there before as they were.
    pub(super) fn after(mut self, before: &Self) -> Self {
        for key in &mut self.keys {
            if let Some(same) = before.keys.iter().find(|it| it.is_same(key)) {
                *key = same.clone();
            }
        }
        self
    }

    /// What they have signed counts no more, unless they are among `after`; how many are not.
    pub(super) fn withdraw_all_but(&self, after: &Self) -> usize {
        let gone = self.keys.iter().filter(|key| !after.has(key));
        gone.inspect(|key| key.is_withdrawn.store(true, Ordering::Release)).count()
    }

    /// How many are not among `before`.
    pub(super) fn new_since(&self, before: &Self) -> usize {
        self.keys.iter().filter(|key| !before.has(key)).count()
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    fn has(&self, key: &Arc<SigningKey>) -> bool {
        self.keys.iter().any(|it| Arc::ptr_eq(it, key))
    }

    /// The key that has signed it. A token that names no key has been signed with the only one that is for its algorithm.
    ///
    /// # Errors
    /// [`TokenFault::UnknownKey`] and [`TokenFault::BadSignature`].
    pub(super) fn signer(&self, token: &Token<'_>) -> Result<&Arc<SigningKey>, TokenFault> {
        let named: Vec<_> = match &token.key_id {
            Some(id) => self.keys.iter().filter(|key| key.id.as_ref() == Some(id)).collect(),
            None => match &self.keys.iter().filter(|key| key.is_for(token.algorithm)).collect::<Vec<_>>()[..] {
                [only] => vec![*only],
                _ => Vec::new(),
            },
        };
        if named.is_empty() {
            return Err(TokenFault::UnknownKey);
        }
        named.into_iter().find(|key| key.has_signed(token)).ok_or(TokenFault::BadSignature)
    }
}

impl SigningKey {
    fn of(jwk: Jwk) -> Option<Self> {
        let is_for_signatures = jwk.r#use.as_deref().is_none_or(|it| it == "sig")
            && jwk.key_ops.as_ref().is_none_or(|all| all.iter().any(|it| it == "verify"));
        let key = jwk.key().filter(|_| is_for_signatures)?;
        let algorithm = match &jwk.alg {
            None => None,
            Some(name) => Some(Algorithm::named(name).filter(|algorithm| key.is_for(*algorithm))?),
        };
        Some(Self { id: jwk.kid, algorithm, key, is_withdrawn: AtomicBool::new(false) })
    }

    fn is_same(&self, other: &Self) -> bool {
        (&self.id, self.algorithm, &self.key) == (&other.id, other.algorithm, &other.key)
    }

    fn is_for(&self, algorithm: Algorithm) -> bool {
        self.key.is_for(algorithm) && self.algorithm.is_none_or(|own| own == algorithm)
    }

    fn has_signed(&self, token: &Token<'_>) -> bool {
        self.is_for(token.algorithm) && self.key.verifies(token.algorithm, token.signed, &token.signature)
    }

    /// Whether the issuer has it no more.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.is_withdrawn.load(Ordering::Acquire)
    }
}

impl Jwk {
    fn key(&self) -> Option<PublicKey> {
        let number = |text: &Option<String>| URL_SAFE_NO_PAD.decode(text.as_deref()?).ok();
        let coordinate = |text, len| number(text).filter(|bytes| bytes.len() == len);
        let point = |len| Some([&[4_u8][..], &coordinate(&self.x, len)?, &coordinate(&self.y, len)?].concat());
        match (&*self.kty, self.crv.as_deref()) {
            ("RSA", _) => {
                let bare = |text| Some(number(text)?.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>());
                let (n, e) = (bare(&self.n)?, bare(&self.e)?);
                let is_usable = (SHORTEST_MODULUS..=LONGEST_MODULUS).contains(&n.len()) && (1..=4).contains(&e.len());
                is_usable.then_some(PublicKey::Rsa { n, e })
            }
            ("EC", Some("P-256")) => point(32).map(PublicKey::P256),
            ("EC", Some("P-384")) => point(48).map(PublicKey::P384),
            ("OKP", Some("Ed25519")) => coordinate(&self.x, 32).map(PublicKey::Ed25519),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RSA: &str = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ""#;
    const P256: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#;
    const ED25519: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;

    /// Of RFC 7515, A.2 and A.3, and of RFC 8037, A.4, whose payload is no claims: the parts of each token.
    const SIGNED: [(&str, &str, &str, &str); 3] = [
        (
            RSA,
            "eyJhbGciOiJSUzI1NiJ9",
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
        ),
        (
            P256,
            "eyJhbGciOiJFUzI1NiJ9",
            "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ",
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        ),
        (
            ED25519,
            "eyJhbGciOiJFZERTQSJ9",
            "RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
        ),
    ];

    fn set(keys: &[String]) -> Result<KeySet, String> {
        KeySet::parse(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
    }

    fn only(key: &str, more: &str) -> KeySet {
        set(&[format!("{key}{more}}}")]).unwrap()
    }

    /// Parsed apart from its claims, which need not be any.
    fn token<'t>(algorithm: Algorithm, key_id: Option<&str>, signed: &'t str, signature: &str) -> Token<'t> {
        Token {
            algorithm,
            key_id: key_id.map(str::to_owned),
            claims: serde_json::Map::new(),
            signed: signed.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
        }
    }

    const ALGORITHMS: [Algorithm; 3] = [Algorithm::Rs256, Algorithm::Es256, Algorithm::Ed25519];

    #[test]
    fn signatures_of_the_standards_fit_and_no_others() {
        for ((key, header, payload, signature), algorithm) in SIGNED.iter().zip(ALGORITHMS) {
            let keys = only(key, "");
            let signed = format!("{header}.{payload}");
            keys.signer(&token(algorithm, None, &signed, signature)).unwrap();
            let other = format!("{header}.{}", payload.replacen('X', "Y", 1).replacen('J', "K", 1));
            assert_eq!(keys.signer(&token(algorithm, None, &other, signature)).unwrap_err(), TokenFault::BadSignature);
            let cut = &signature[..signature.len() - 2];
            assert_eq!(keys.signer(&token(algorithm, None, &signed, cut)).unwrap_err(), TokenFault::BadSignature);
            assert_eq!(keys.signer(&token(algorithm, None, &signed, "")).unwrap_err(), TokenFault::BadSignature);
        }
        // The same numbers signed with another padding are another signature.
        let (key, header, payload, signature) = SIGNED[0];
        let signed = format!("{header}.{payload}");
        let other = only(key, "").signer(&token(Algorithm::Ps256, None, &signed, signature)).unwrap_err();
        assert_eq!(other, TokenFault::BadSignature);
    }

    #[test]
    fn the_key_is_the_one_that_is_named_and_only_for_what_it_is_for() {
        let (key, header, payload, signature) = SIGNED[0];
        let signed = format!("{header}.{payload}");
        let judged = |keys: &KeySet, id| keys.signer(&token(Algorithm::Rs256, id, &signed, signature)).map(drop);
        let named = only(key, r#","kid":"a","use":"sig","key_ops":["verify"]"#);
        assert_eq!(judged(&named, Some("a")), Ok(()));
        assert_eq!(judged(&named, None), Ok(()));
        assert_eq!(judged(&named, Some("b")), Err(TokenFault::UnknownKey));
        assert_eq!(judged(&only(key, ""), Some("a")), Err(TokenFault::UnknownKey));
        let pss = only(key, r#","kid":"a","alg":"PS256""#);
        assert_eq!(judged(&pss, Some("a")), Err(TokenFault::BadSignature));
        assert_eq!(judged(&pss, None), Err(TokenFault::UnknownKey));
        assert_eq!(judged(&only(P256, r#","kid":"a""#), Some("a")), Err(TokenFault::BadSignature));
        // Two that could be meant, and none is named.
        let two = [r#","kid":"a"}"#, r#","kid":"b"}"#].map(|more| format!("{key}{more}"));
        assert_eq!(judged(&set(&two).unwrap(), None), Err(TokenFault::UnknownKey));
        // Two of one name: whichever it was.
        let two = [format!(r#"{ED25519},"kid":"a"}}"#), format!(r#"{key},"kid":"a"}}"#)];
        assert_eq!(judged(&set(&two).unwrap(), Some("a")), Ok(()));
    }

    #[test]
    fn what_checks_no_signature_is_passed_over() {
        let short = r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNg"}"#.to_owned();
        let unusable = [
            format!(r#"{RSA},"use":"enc"}}"#),
            format!(r#"{RSA},"key_ops":["encrypt"]}}"#),
            format!(r#"{RSA},"alg":"RSA-OAEP"}}"#),
            format!(r#"{RSA},"alg":"HS256"}}"#),
            format!(r#"{RSA},"alg":"ES256"}}"#),
            format!("{}}}", RSA.replace("AQAB", "")),
            short,
            format!("{}}}", P256.replace("P-256", "P-384")),
            format!("{}}}", P256.replace("P-256", "secp256k1")),
            format!("{}}}", ED25519.replace("Ed25519", "X25519")),
            r#"{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ"}"#.to_owned(),
            "7".to_owned(),
            "{}".to_owned(),
        ];
        for key in &unusable {
            let refused = set(std::slice::from_ref(key)).unwrap_err();
            assert!(refused.starts_with("1 keys, none"), "{key}: {refused}");
        }
        let good = format!("{P256}}}");
        assert_eq!(set(&[&unusable[..], std::slice::from_ref(&good)].concat()).unwrap().len(), 1);
        for text in ["", "{}", "[]", r#"{"keys":{}}"#, r#"{"keys":["#, "<html>"] {
            assert!(KeySet::parse(text.as_bytes()).unwrap_err().contains("`keys`"), "{text}");
        }
        assert!(set(&vec![good; MOST_KEYS + 1]).unwrap_err().contains("the limit is 64"));
    }

    #[test]
    fn a_key_that_stays_is_the_same_and_one_that_goes_is_withdrawn() {
        let before = set(&[format!(r#"{P256},"kid":"a"}}"#), format!(r#"{ED25519},"kid":"b"}}"#)]).unwrap();
        let [stays, goes] = [before.keys[0].clone(), before.keys[1].clone()];
        let after = set(&[format!(r#"{ED25519},"kid":"c"}}"#), format!(r#"{P256},"kid":"a"}}"#)]).unwrap();
        let after = after.after(&before);
        assert_eq!((after.new_since(&before), before.withdraw_all_but(&after)), (1, 1));
        assert!(Arc::ptr_eq(&after.keys[1], &stays) && !stays.is_withdrawn() && goes.is_withdrawn());
    }
}
