//! Who asks: whose key it was, and what of the request decides between versions. What a key may not is refused here, under every door.

use std::sync::Arc;

use super::{Error, ErrorKind, ErrorSubject, Shown, SplitKeys};
use crate::auth::{Caller, InUse, Right, Spent};

/// Who asks. Cheap to clone; empty where no keys are configured.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// What decides between versions of a model.
    pub keys: SplitKeys,
    /// Whose key was shown, where keys are wanted.
    pub caller: Option<Caller>,
}

impl Asker {
    /// The name of the key.
    pub fn key_name(&self) -> Option<&Arc<str>> {
        self.caller.as_ref().map(|caller| caller.key().name())
    }

    /// Whether there are models that the key is not for.
    pub fn is_bound(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| !caller.key().is_for_all())
    }

    /// Refuses what the key may not.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`].
    pub fn check_right(&self, right: Right) -> Result<(), Error> {
        let Some(caller) = self.caller.as_ref().filter(|caller| !caller.key().may(right)) else { return Ok(()) };
        caller.key().note_denied();
        let (key, rights, right) = (caller.key().name(), caller.key().rights(), right.name());
        let message = format!("key `{key}` may {rights}, and this needs `{right}`: ask with another key");
        Err(Error::new(ErrorKind::PermissionDenied, message))
    }

    /// Refuses a model that the key is not for, whether or not there is one.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`].
    pub fn check_model(&self, model: &str) -> Result<(), Error> {
        let Some(caller) = self.caller.as_ref().filter(|caller| !caller.key().is_for(model)) else { return Ok(()) };
        caller.key().note_denied();
        let (key, shown) = (caller.key().name(), Shown(model));
        let message = format!("key `{key}` is not for model `{shown}`: ask with another key");
        Err(Error::new(ErrorKind::PermissionDenied, message).about(ErrorSubject::Model(shown.to_string())))
    }

    /// A further request on a stream of this asker's: who it is by now, and what it takes of the limits while it lasts.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] where the key was revoked since, [`ErrorKind::PermissionDenied`] where it may ask no more, and
    /// [`ErrorKind::LimitReached`].
    pub fn again(&self) -> Result<(Self, Result<Option<InUse>, Error>), Error> {
        let Some(caller) = &self.caller else { return Ok((self.clone(), Ok(None))) };
        let Some(caller) = caller.again() else {
            let message = format!("key `{}` was revoked: ask with another key", caller.key().name());
            return Err(Error::new(ErrorKind::Unauthenticated, message));
        };
        let asker = Self { caller: Some(caller), ..self.clone() };
        asker.check_right(Right::Classify)?;
        let in_use = asker.begin();
        Ok((asker, in_use))
    }

    /// A request begins; what it takes of the key's limits, while that is kept.
    ///
    /// # Errors
    /// [`ErrorKind::LimitReached`].
    pub fn begin(&self) -> Result<Option<InUse>, Error> {
        let Some(caller) = &self.caller else { return Ok(None) };
        caller.begin().map(Some).map_err(|spent| limited(caller, &spent))
    }
}

/// So many images are to be looked at.
pub(super) fn take_images(caller: &Caller, count: usize) -> Result<(), Error> {
    caller.images(count).map_err(|spent| limited(caller, &spent))
}

fn limited(caller: &Caller, spent: &Spent) -> Error {
    let Spent { limit, most, retry_after } = spent;
    let key = caller.key().name();
    let message = format!("key `{key}` has used up its {limit}, {most}: try again after `retry-after`, or more slowly");
    Error::new(ErrorKind::LimitReached, message).retry_after(*retry_after)
}
