//! What a token says, and whether that is enough: pure, over claims that are not believed yet.

use serde_json::{Map, Value};

use super::fault::TokenFault;

pub(super) type TokenClaims = Map<String, Value>;

/// A claim by its name, or, where that begins with `/`, by the way to it (JSON Pointer, RFC 6901): `/realm_access/roles`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClaimPath(String);

impl ClaimPath {
    pub(super) fn new(name: &str) -> Self {
        Self(name.to_owned())
    }

    /// What stands there.
    pub(super) fn of<'c>(&self, claims: &'c TokenClaims) -> Option<&'c Value> {
        let Some(way) = self.0.strip_prefix('/') else { return claims.get(&self.0) };
        let (first, rest) = way.split_once('/').map_or((way, None), |(first, rest)| (first, Some(rest)));
        let top = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
        rest.map_or(Some(top), |rest| top.pointer(&format!("/{rest}")))
    }

    /// Whether it says `wanted`: as text, as one of a list, and in `scope` and `scp` as one of its words (RFC 6749).
    pub(super) fn says(&self, claims: &TokenClaims, wanted: &str) -> bool {
        let is_scope = matches!(self.0.as_str(), "scope" | "scp");
        match self.of(claims) {
            Some(Value::String(text)) => text == wanted || (is_scope && text.split(' ').any(|word| word == wanted)),
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(wanted)),
            Some(Value::Bool(yes)) => wanted == if *yes { "true" } else { "false" },
            _ => false,
        }
    }
}

/// What a token must say.
#[derive(Debug)]
pub(super) struct TokenRules {
    /// To the letter.
    pub(super) issuer: String,
    /// One of these.
    pub(super) audiences: Vec<String>,
    /// How far clocks may be apart, in seconds.
    pub(super) leeway_s: f64,
    /// Who it says it is.
    pub(super) name: ClaimPath,
}

/// As long as `sub` may be (OpenID Connect Core, 2), and a little.
const LONGEST_NAME: usize = 256;

impl TokenRules {
    /// Whose token it is, and until when it counts, in seconds since 1970.
    ///
    /// * `now`: the same
    pub(super) fn judge<'c>(&self, claims: &'c TokenClaims, now: f64) -> Result<(&'c str, f64), TokenFault> {
        if claims.get("iss").and_then(Value::as_str) != Some(self.issuer.as_str()) {
            return Err(TokenFault::UnknownIssuer);
        }
        let aud = ClaimPath::new("aud");
        if !self.audiences.iter().any(|audience| aud.says(claims, audience)) {
            return Err(TokenFault::WrongAudience);
        }
        let Some(expires) = time(claims, "exp")? else {
            return Err(TokenFault::Malformed("it has no `exp`"));
        };
        if now >= expires + self.leeway_s {
            return Err(TokenFault::Expired);
        }
        for name in ["nbf", "iat"] {
            if time(claims, name)?.is_some_and(|begins| now + self.leeway_s < begins) {
                return Err(TokenFault::NotYetValid);
            }
        }
        match self.name.of(claims).and_then(Value::as_str) {
            Some(name) if !name.is_empty() && name.len() <= LONGEST_NAME => Ok((name, expires + self.leeway_s)),
            _ => Err(TokenFault::Nameless),
        }
    }
}

/// Seconds since 1970, where there is such a claim; they may have parts.
fn time(claims: &TokenClaims, name: &str) -> Result<Option<f64>, TokenFault> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_f64().filter(|seconds| seconds.is_finite());
    seconds.map(Some).ok_or(TokenFault::Malformed("`exp`, `nbf` or `iat` is no number"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims(value: Value) -> TokenClaims {
        match value {
            Value::Object(claims) => claims,
            other => panic!("{other}"),
        }
    }

    fn rules() -> TokenRules {
        TokenRules {
            issuer: "https://id.example".to_owned(),
            audiences: vec!["resnetd".to_owned(), "vision".to_owned()],
            leeway_s: 10.0,
            name: ClaimPath::new("sub"),
        }
    }

    #[test]
    fn a_token_is_of_the_issuer_for_this_server_and_for_now() {
        let base = json!({"iss": "https://id.example", "aud": "resnetd", "exp": 1_000, "sub": "alice"});
        let with = |name: &str, value: Value| {
            let mut claims = claims(base.clone());
            claims.insert(name.to_owned(), value);
            rules().judge(&claims, 990.0).map(|(name, until)| (name.to_owned(), until))
        };
        let good = Ok(("alice".to_owned(), 1_010.0));
        for (name, value, expected) in [
            ("sub", json!("alice"), good.clone()),
            ("aud", json!(["other", "vision"]), good.clone()),
            ("aud", json!("other"), Err(TokenFault::WrongAudience)),
            ("aud", json!("resnetd other"), Err(TokenFault::WrongAudience)),
            ("aud", json!([]), Err(TokenFault::WrongAudience)),
            ("aud", json!([["resnetd"]]), Err(TokenFault::WrongAudience)),
            ("aud", json!({"resnetd": 1}), Err(TokenFault::WrongAudience)),
            ("iss", json!("https://id.example/"), Err(TokenFault::UnknownIssuer)),
            ("iss", json!(["https://id.example"]), Err(TokenFault::UnknownIssuer)),
            ("exp", json!(980.1), Ok(("alice".to_owned(), 990.1))),
            ("exp", json!(980), Err(TokenFault::Expired)),
            ("exp", json!(-1e300), Err(TokenFault::Expired)),
            ("exp", json!("1000"), Err(TokenFault::Malformed("`exp`, `nbf` or `iat` is no number"))),
            ("exp", json!(null), Err(TokenFault::Malformed("`exp`, `nbf` or `iat` is no number"))),
            ("nbf", json!(1_000), good.clone()),
            ("nbf", json!(1_001), Err(TokenFault::NotYetValid)),
            ("iat", json!(1_001), Err(TokenFault::NotYetValid)),
            ("iat", json!(0), good),
            ("sub", json!(""), Err(TokenFault::Nameless)),
            ("sub", json!(7), Err(TokenFault::Nameless)),
            ("sub", json!("a".repeat(300)), Err(TokenFault::Nameless)),
        ] {
            assert_eq!(with(name, value.clone()), expected, "{name} {value}");
        }
        for missing in ["iss", "aud", "exp", "sub"] {
            let mut claims = claims(base.clone());
            claims.remove(missing);
            assert!(rules().judge(&claims, 990.0).is_err(), "{missing}");
        }
    }

    #[test]
    fn a_claim_is_found_by_name_or_way_and_says_one_thing_or_several() {
        let claims = claims(json!({
            "groups": ["a", "ml ops"], "scope": "openid vision.read", "name": "ml ops", "admin": true, "a/b": "c",
            "realm_access": {"roles": ["vision"]}, "kubernetes.io": {"namespace": "web"},
        }));
        let says = |path: &str, value: &str| ClaimPath::new(path).says(&claims, value);
        for (path, value) in [
            ("groups", "a"),
            ("groups", "ml ops"),
            ("scope", "vision.read"),
            ("name", "ml ops"),
            ("admin", "true"),
            ("/realm_access/roles", "vision"),
            ("/kubernetes.io/namespace", "web"),
            ("/a~1b", "c"),
            ("a/b", "c"),
        ] {
            assert!(says(path, value), "{path} {value}");
        }
        for (path, value) in [
            ("groups", "ml"),
            ("name", "ops"),
            ("scope", "vision"),
            ("admin", "false"),
            ("/realm_access", "vision"),
            ("realm_access.roles", "vision"),
            ("/kubernetes.io/namespace/x", "web"),
            ("/", "web"),
            ("none", ""),
        ] {
            assert!(!says(path, value), "{path} {value}");
        }
    }
}
