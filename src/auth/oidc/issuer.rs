//! Tokens of the issuer: whose they are, and whether they still count. What was checked once is remembered until it expires.

use std::{
    collections::HashMap,
    fmt, io,
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use super::{
    board::{Asked, Board, KeysAwaited},
    claims::{ClaimPath, TokenRules},
    fault::TokenFault,
    follow::Following,
    grants::Grants,
    keys::SigningKey,
    options::OidcOptions,
    source::KeySource,
    token::Token,
};
use crate::{
    auth::{digest::SecretDigest, permit::Permit},
    telemetry::{KeyMetrics, escaped},
};

/// So many tokens that were checked are remembered; only whoever has one that counts can take a place.
const MOST_REMEMBERED: usize = 4_096;

/// Before the name that a token says: no key of a file has such a name.
const SCHEME: &str = "oidc:";

/// Whose tokens count; clones know the same.
#[derive(Clone)]
pub struct TokenIssuer(Arc<Inner>);

struct Inner {
    rules: TokenRules,
    grants: Grants,
    board: Arc<Board>,
    remembered: Mutex<HashMap<SecretDigest, Arc<CheckedToken>>>,
    metrics: KeyMetrics,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.board.end();
    }
}

/// What is kept of a token that counts: not the token.
#[derive(Debug)]
struct CheckedToken {
    name: Arc<str>,
    permit: Arc<Permit>,
    /// Seconds since 1970.
    until: f64,
    key: Arc<SigningKey>,
}

/// Whoever showed a token that counts. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TokenHolder {
    issuer: TokenIssuer,
    token: Arc<CheckedToken>,
}

/// Why nobody holds it.
#[derive(Debug)]
pub enum Unheld {
    /// It does not count.
    Fault(TokenFault),
    /// It may be signed with a key that is about to be read: ask again then.
    Awaits(KeysAwaited),
}

impl From<TokenFault> for Unheld {
    fn from(fault: TokenFault) -> Self {
        Self::Fault(fault)
    }
}

impl TokenIssuer {
    /// Starts the thread that reads the keys; whoever comes before it has some waits for it.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(options: &OidcOptions, metrics: KeyMetrics) -> io::Result<Self> {
        let issuer = Self::new(options, metrics.clone());
        let following = Following {
            issuer: options.issuer.clone(),
            source: KeySource::new(options),
            board: issuer.0.board.clone(),
            interval: options.refresh_interval,
            metrics,
        };
        following.start()?;
        Ok(issuer)
    }

    fn new(options: &OidcOptions, metrics: KeyMetrics) -> Self {
        let rules = TokenRules {
            issuer: options.issuer.clone(),
            audiences: options.audiences.clone(),
            leeway_s: options.leeway.as_secs_f64(),
            name: ClaimPath::new(&options.name_claim),
        };
        let grants = Grants::new(&options.grants, &options.rights, &options.models, &metrics);
        // The thread may be late by a little.
        let patience = options.fetch_timeout + options.fetch_timeout / 4;
        let board = Arc::new(Board::new(options.min_refresh_interval, patience));
        Self(Arc::new(Inner { rules, grants, board, remembered: Mutex::default(), metrics }))
    }

    /// The keys are read now.
    pub fn look_at_once(&self) {
        self.0.board.want();
    }

    /// Whose a token is. Counts nothing.
    ///
    /// * `may_wait`: whoever shows it can ask again
    ///
    /// # Errors
    /// [`Unheld`].
    pub fn find(&self, shown: &[u8], may_wait: bool) -> Result<TokenHolder, Unheld> {
        self.find_at(shown, may_wait, seconds_since_1970())
    }

    fn find_at(&self, shown: &[u8], may_wait: bool, now: f64) -> Result<TokenHolder, Unheld> {
        let digest = SecretDigest::of(shown);
        let hold = |token| TokenHolder { issuer: self.clone(), token };
        if let Some(token) = self.0.remembered(&digest, now) {
            return Ok(hold(token));
        }
        let token = Token::parse(shown)?;
        let (name, until) = self.0.rules.judge(&token.claims, now)?;
        let key = self.0.signer(&token, may_wait)?;
        let permit = self.0.grants.of(&token.claims).ok_or(TokenFault::NotGranted)?.clone();
        let name = format!("{SCHEME}{}", escaped(name)).into();
        let token = Arc::new(CheckedToken { name, permit, until, key });
        self.0.remember(digest, token.clone(), now);
        Ok(hold(token))
    }

    /// Counts a request with a token that does not count.
    ///
    /// * `reason`: of a fixed list
    pub fn note_refused(&self, reason: &'static str) {
        self.0.metrics.note_refused(reason);
    }
}

impl Inner {
    fn signer(&self, token: &Token<'_>, may_wait: bool) -> Result<Arc<SigningKey>, Unheld> {
        let mut keys = self.board.keys();
        loop {
            match keys.as_ref().map(|keys| keys.signer(token)) {
                Some(Ok(key)) => return Ok(key.clone()),
                Some(Err(TokenFault::UnknownKey)) | None => {}
                Some(Err(fault)) => return Err(fault.into()),
            }
            let missing = self.missing_key(may_wait);
            let by_now = self.board.keys();
            // A look that ended in between may have brought it.
            if keys.as_ref().map(Arc::as_ptr) == by_now.as_ref().map(Arc::as_ptr) {
                return Err(missing);
            }
            keys = by_now;
        }
    }

    /// What becomes of a token whose key nobody knows.
    fn missing_key(&self, may_wait: bool) -> Unheld {
        let asked = if may_wait { self.board.ask(Instant::now()) } else { self.board.seen() };
        match asked {
            Asked::Awaits(look) => Unheld::Awaits(look),
            Asked::Away => Unheld::Fault(TokenFault::IssuerAway),
            Asked::Seen => Unheld::Fault(TokenFault::UnknownKey),
        }
    }

    fn remembered(&self, digest: &SecretDigest, now: f64) -> Option<Arc<CheckedToken>> {
        let remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        remembered.get(digest).filter(|token| token.check(now).is_ok()).cloned()
    }

    fn remember(&self, digest: SecretDigest, token: Arc<CheckedToken>, now: f64) {
        let mut remembered = self.remembered.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.retain(|_, token| token.check(now).is_ok());
        }
        // So many at once: they are checked anew, which is no more than it would be without.
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(digest, token);
    }
}

impl CheckedToken {
    /// * `now`: in seconds since 1970
    fn check(&self, now: f64) -> Result<(), (TokenFault, &'static str)> {
        if now >= self.until {
            return Err((TokenFault::Expired, "has expired"));
        }
        if self.key.is_withdrawn() {
            return Err((TokenFault::UnknownKey, "is signed with a key that its issuer has withdrawn"));
        }
        Ok(())
    }
}

impl TokenHolder {
    /// Who the token says it is.
    pub fn name(&self) -> &Arc<str> {
        &self.token.name
    }

    /// What it may.
    pub fn permit(&self) -> &Permit {
        &self.token.permit
    }

    /// Whether the token still counts; counted where it does not.
    ///
    /// # Errors
    /// What has happened to it.
    pub fn again(&self) -> Result<(), &'static str> {
        self.token.check(seconds_since_1970()).map_err(|(fault, what)| {
            self.issuer.note_refused(fault.reason());
            what
        })
    }
}

/// A clock that says less is no clock: then everything is over that ever expires.
fn seconds_since_1970() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().map_or(f64::MAX, |elapsed| elapsed.as_secs_f64())
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TokenIssuer").field(&self.0.rules.issuer).finish()
    }
}

impl PartialEq for TokenIssuer {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for TokenIssuer {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use ring::{
        rand::SystemRandom,
        signature::{Ed25519KeyPair, KeyPair as _},
    };
    use serde_json::{Value, json};

    use super::*;
    use crate::auth::{all_models, oidc::keys::KeySet, usual_rights};

    const NOW: f64 = 1_000.0;

    struct Signer(Ed25519KeyPair);

    impl Signer {
        fn new() -> Self {
            let secret = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
            Self(Ed25519KeyPair::from_pkcs8(secret.as_ref()).unwrap())
        }

        fn jwk(&self, id: &str) -> Value {
            json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": URL_SAFE_NO_PAD.encode(self.0.public_key())})
        }

        fn token(&self, id: &str, name: &str, expires: f64) -> String {
            let claims = json!({"iss": "https://id.example", "aud": "resnetd", "sub": name, "exp": expires});
            let parts =
                [json!({"alg": "EdDSA", "kid": id}), claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
            let signed = parts.join(".");
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(self.0.sign(signed.as_bytes())))
        }
    }

    fn issuer() -> TokenIssuer {
        let options = OidcOptions {
            issuer: "https://id.example".to_owned(),
            audiences: vec!["resnetd".to_owned()],
            jwks_url: None,
            ca: None,
            token_file: None,
            name_claim: "sub".to_owned(),
            rights: usual_rights(),
            models: all_models(),
            grants: Vec::new(),
            leeway: Duration::ZERO,
            refresh_interval: Duration::from_secs(300),
            min_refresh_interval: Duration::from_secs(5),
            fetch_timeout: Duration::from_secs(5),
        };
        TokenIssuer::new(&options, KeyMetrics::default())
    }

    /// As the thread does.
    fn publish(issuer: &TokenIssuer, keys: &[Value]) {
        let board = &issuer.0.board;
        board.wait(Instant::now());
        let read = KeySet::parse(json!({"keys": keys}).to_string().as_bytes()).unwrap();
        let read = Arc::new(match board.keys() {
            Some(before) => {
                let read = read.after(&before);
                before.withdraw_all_but(&read);
                read
            }
            None => read,
        });
        board.take(Some(read));
    }

    fn fault(found: Result<TokenHolder, Unheld>) -> TokenFault {
        match found {
            Err(Unheld::Fault(fault)) => fault,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_token_counts_until_it_expires_or_its_key_is_withdrawn_remembered_or_not() {
        let (signer, issuer) = (Signer::new(), issuer());
        let token = signer.token("a", "alice\u{1b}[31m", NOW + 10.0);
        assert!(matches!(issuer.find_at(token.as_bytes(), true, NOW), Err(Unheld::Awaits(_))), "no key was read");
        assert_eq!(fault(issuer.find_at(token.as_bytes(), false, NOW)), TokenFault::IssuerAway);
        publish(&issuer, &[signer.jwk("a")]);
        let holder = issuer.find_at(token.as_bytes(), true, NOW).unwrap();
        assert!(holder.name().starts_with("oidc:alice") && !holder.name().contains('\u{1b}'), "{}", holder.name());
        assert!(Arc::ptr_eq(&issuer.find_at(token.as_bytes(), true, NOW).unwrap().token, &holder.token), "remembered");
        assert_eq!(holder.token.check(NOW + 9.0), Ok(()));
        assert_eq!(fault(issuer.find_at(token.as_bytes(), true, NOW + 10.0)), TokenFault::Expired);
        assert_eq!(holder.token.check(NOW + 10.0).unwrap_err().1, "has expired");

        publish(&issuer, &[signer.jwk("b")]);
        assert_eq!(fault(issuer.find_at(token.as_bytes(), true, NOW)), TokenFault::UnknownKey);
        assert!(holder.token.check(NOW).is_err());
    }

    #[test]
    fn another_ones_signature_is_none() {
        let (signer, other, issuer) = (Signer::new(), Signer::new(), issuer());
        publish(&issuer, &[signer.jwk("a")]);
        let (token, forged) = (signer.token("a", "alice", NOW + 10.0), other.token("a", "alice", NOW + 10.0));
        issuer.find_at(token.as_bytes(), true, NOW).unwrap();
        assert_eq!(fault(issuer.find_at(forged.as_bytes(), true, NOW)), TokenFault::BadSignature);
        let (_, signature) = token.rsplit_once('.').unwrap();
        let (claims, _) = forged.rsplit_once('.').unwrap();
        let same = format!("{claims}.{signature}");
        assert!(issuer.find_at(same.as_bytes(), true, NOW).is_ok(), "the same claims by the same key");
        let bob = signer.token("a", "bob", NOW + 10.0);
        let (claims, _) = bob.rsplit_once('.').unwrap();
        assert_eq!(
            fault(issuer.find_at(format!("{claims}.{signature}").as_bytes(), true, NOW)),
            TokenFault::BadSignature
        );
    }

    #[test]
    fn what_is_remembered_has_an_end() {
        let (signer, issuer) = (Signer::new(), issuer());
        publish(&issuer, &[signer.jwk("a")]);
        let token = signer.token("a", "alice", NOW + 10.0);
        let checked = issuer.find_at(token.as_bytes(), true, NOW).unwrap().token;
        for number in 0..3 * MOST_REMEMBERED {
            issuer.0.remember(SecretDigest::of(&number.to_le_bytes()), checked.clone(), NOW);
            assert!(issuer.0.remembered.lock().unwrap().len() <= MOST_REMEMBERED);
        }
    }
}
