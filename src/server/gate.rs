//! Who is let in: by the key that a request shows, before its body is read. Where no keys are configured there is no gate.

use std::sync::Arc;

use hyper::{HeaderMap, header::AUTHORIZATION};

use super::{
    fair_by::API_KEY,
    needs::{Needs, OpenToAll},
};
use crate::{
    auth::{InUse, KeyRing, ShownKey},
    service::{Asker, Error, ErrorKind},
};

/// Who is let in where keys are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthOptions {
    /// The keys.
    pub keys: KeyRing,
    /// What needs none.
    pub open: OpenToAll,
}

/// What a request brought through the gate, or why it did not come through.
#[derive(Debug, Default)]
pub(super) struct Entered {
    /// Part of the key's limits, where the request takes any.
    pub(super) in_use: Option<InUse>,
    pub(super) refused: Option<Error>,
}

/// The gate of all doors. Clones let the same in.
#[derive(Clone, Debug)]
pub(super) struct Gate(Option<Arc<AuthOptions>>);

impl Gate {
    pub(super) fn new(options: Option<AuthOptions>) -> Self {
        Self(options.map(Arc::new))
    }

    /// Looks at a request's key, and says in `asker` whose it is, also where it is refused for something else.
    ///
    /// * `needs`: asked where there is a gate
    /// * `takes`: it counts against the key's limits; a stream's requests do, and the stream does not
    pub(super) fn enter(
        &self,
        headers: &HeaderMap,
        asker: &mut Asker,
        needs: impl FnOnce() -> Needs,
        takes: bool,
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
        let entered = options.identify(headers, asker).and_then(|()| {
            asker.check_right(right)?;
            if takes { asker.begin() } else { Ok(None) }
        });
        match entered {
            Ok(in_use) => Entered { in_use, refused: None },
            Err(refused) => Entered { in_use: None, refused: Some(refused) },
        }
    }
}

impl AuthOptions {
    fn identify(&self, headers: &HeaderMap, asker: &mut Asker) -> Result<(), Error> {
        let refuse = |reason, message| {
            self.keys.note_refused(reason);
            Err(Error::new(ErrorKind::Unauthenticated, message))
        };
        let values = |name| headers.get_all(name).iter().map(|value| value.as_bytes());
        match ShownKey::of(values(API_KEY), values(AUTHORIZATION)) {
            ShownKey::None => refuse("absent", "a key is wanted: send `authorization: Bearer KEY` or `x-api-key: KEY`"),
            ShownKey::Malformed => refuse(
                "malformed",
                "what was sent is no key: send one `authorization: Bearer KEY` or one `x-api-key: KEY`",
            ),
            ShownKey::Key(shown) => match self.keys.caller(shown) {
                Some(caller) => {
                    asker.caller = Some(caller);
                    Ok(())
                }
                None => {
                    refuse("unknown", "this key is not known here, or was revoked: ask whoever runs the server for one")
                }
            },
        }
    }
}
