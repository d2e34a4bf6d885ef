//! Who is let in: by the key or the token that a request shows, before its body is read. Where neither is configured there is no gate.

use std::{sync::Arc, time::Duration};

use hyper::{HeaderMap, header::AUTHORIZATION};

use super::{
    fair_by::API_KEY,
    needs::{Needs, OpenToAll},
};
use crate::{
    auth::{Caller, InUse, KeyRing, KeysAwaited, ShownKey, TokenFault, TokenIssuer, Unheld, is_token},
    service::{Asker, Error, ErrorKind},
};

/// Who is let in where a key or a token is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthOptions {
    /// Whose keys.
    pub keys: Option<KeyRing>,
    /// Whose tokens.
    pub tokens: Option<TokenIssuer>,
    /// What needs neither.
    pub open: OpenToAll,
}

/// What a request brought through the gate, or why it did not come through.
#[derive(Debug, Default)]
pub(super) struct Entered {
    /// Part of its limits, where the request takes any.
    pub(super) in_use: Option<InUse>,
    pub(super) refused: Option<Error>,
    /// Neither yet: it may come again when this is over.
    pub(super) awaits: Option<KeysAwaited>,
}

/// A request at the gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// It counts against limits; a stream's requests do, and the stream does not.
    pub(super) takes: bool,
    /// It has not waited yet.
    pub(super) may_wait: bool,
}

/// Why nobody is known by what was shown.
enum Unknown {
    Refused(Error),
    Awaits(KeysAwaited),
}

/// When a token's issuer that is away is worth asking for again.
const ISSUER_PAUSE: Duration = Duration::from_secs(2);

/// The gate of all doors. Clones let the same in.
#[derive(Clone, Debug)]
pub(super) struct Gate(Option<Arc<AuthOptions>>);

impl Gate {
    pub(super) fn new(options: Option<AuthOptions>) -> Self {
        Self(options.map(Arc::new))
    }

    /// Looks at a request's key or token, and says in `asker` whose it is, also where it is refused for something else.
    ///
    /// * `needs`: asked where there is a gate
    pub(super) fn enter(
        &self,
        headers: &HeaderMap,
        asker: &mut Asker,
        needs: impl FnOnce() -> Needs,
        Attempt { takes, may_wait }: Attempt,
    ) -> Entered {
        let Some(options) = &self.0 else { return Entered::default() };
        let right = match needs() {
            Needs::Nothing => return Entered::default(),
            Needs::Live if options.open.live => return Entered::default(),
            Needs::Ready if options.open.ready => return Entered::default(),
            Needs::Metrics if options.open.metrics => return Entered::default(),
            Needs::Live | Needs::Ready | Needs::Metrics => crate::auth::Right::Read,
            Needs::Right(right) => right,
        };
        let caller = match options.identify(headers, may_wait) {
            Ok(caller) => caller,
            Err(Unknown::Refused(refused)) => return Entered { refused: Some(refused), ..Entered::default() },
            Err(Unknown::Awaits(keys)) => return Entered { awaits: Some(keys), ..Entered::default() },
        };
        asker.caller = Some(caller);
        let begun = asker.check_right(right).and_then(|()| if takes { asker.begin() } else { Ok(None) });
        match begun {
            Ok(in_use) => Entered { in_use, ..Entered::default() },
            Err(refused) => Entered { refused: Some(refused), ..Entered::default() },
        }
    }
}

impl AuthOptions {
    fn identify(&self, headers: &HeaderMap, may_wait: bool) -> Result<Caller, Unknown> {
        let (what, how) = self.wanted();
        let values = |name| headers.get_all(name).iter().map(|value| value.as_bytes());
        match ShownKey::of(values(API_KEY), values(AUTHORIZATION)) {
            ShownKey::None => self.refuse("absent", format!("{what} is wanted: send {how}")),
            ShownKey::Malformed => {
                let message = format!("what was sent is not {what}: send one {}", how.replace(" or ", " or one "));
                self.refuse("malformed", message)
            }
            ShownKey::Key(shown) => match &self.tokens {
                Some(tokens) if is_token(shown) => self.of_token(tokens, shown, may_wait),
                _ => self.of_key(shown),
            },
        }
    }

    /// What somebody has to show, and how.
    fn wanted(&self) -> (&'static str, &'static str) {
        match (&self.keys, &self.tokens) {
            (Some(_), None) => ("a key", "`authorization: Bearer KEY` or `x-api-key: KEY`"),
            (None, _) => ("a token", "`authorization: Bearer TOKEN`"),
            (Some(_), Some(_)) => ("a key or a token", "`authorization: Bearer KEY` or `x-api-key: KEY`"),
        }
    }

    fn of_key(&self, shown: &[u8]) -> Result<Caller, Unknown> {
        let Some(keys) = &self.keys else {
            return self.refuse("unknown", "what was sent is no token: send one as the issuer gave it");
        };
        match keys.find(shown) {
            Some(holder) => Ok(Caller::Key(holder)),
            None => self
                .refuse("unknown", "this key is not known here, or was revoked: ask whoever runs the server for one"),
        }
    }

    fn of_token(&self, tokens: &TokenIssuer, shown: &[u8], may_wait: bool) -> Result<Caller, Unknown> {
        match tokens.find(shown, may_wait) {
            Ok(holder) => Ok(Caller::Token(holder)),
            Err(Unheld::Awaits(keys)) => Err(Unknown::Awaits(keys)),
            Err(Unheld::Fault(fault)) => {
                tokens.note_refused(fault.reason());
                let kind = match fault {
                    TokenFault::IssuerAway => ErrorKind::Unavailable,
                    TokenFault::NotGranted => ErrorKind::PermissionDenied,
                    _ => ErrorKind::Unauthenticated,
                };
                let error = Error::new(kind, fault.to_string());
                Err(Unknown::Refused(match kind {
                    ErrorKind::Unavailable => error.retry_after(ISSUER_PAUSE),
                    _ => error,
                }))
            }
        }
    }

    fn refuse(&self, reason: &'static str, message: impl Into<String>) -> Result<Caller, Unknown> {
        match (&self.keys, &self.tokens) {
            (Some(keys), _) => keys.note_refused(reason),
            (None, Some(tokens)) => tokens.note_refused(reason),
            (None, None) => {}
        }
        Err(Unknown::Refused(Error::new(ErrorKind::Unauthenticated, message.into())))
    }
}
