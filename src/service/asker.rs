//! Who asks: whose key or token it was, and what of the request decides between versions. What a key may not is refused here, under every door.

use std::sync::Arc;

use super::{Error, ErrorKind, ErrorSubject, Shown, SplitKeys};
use crate::auth::{Caller, InUse, Right, Spent};

/// Who asks. Cheap to clone; empty where everybody is let in.
#[derive(Clone, Debug, Default)]
pub struct Asker {
    /// What decides between versions of a model.
    pub keys: SplitKeys,
    /// Whose key or token was shown, where one is wanted.
    pub caller: Option<Caller>,
}

impl Asker {
    /// The name of the key, or who the token says it is.
    pub fn key_name(&self) -> Option<&Arc<str>> {
        self.caller.as_ref().map(Caller::name)
    }

    /// Whether there are models that it is not for.
    pub fn is_bound(&self) -> bool {
        self.caller.as_ref().is_some_and(|caller| !caller.permit().is_for_all())
    }

    /// Refuses what it may not.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`].
    pub fn check_right(&self, right: Right) -> Result<(), Error> {
        let Some(caller) = self.caller.as_ref().filter(|caller| !caller.permit().may(right)) else { return Ok(()) };
        caller.permit().note_denied();
        let (shown, rights, right) = (caller.shown(), caller.permit().rights(), right.name());
        let message = format!("{caller} may {rights}, and this needs `{right}`: ask with another {shown}");
        Err(Error::new(ErrorKind::PermissionDenied, message))
    }

    /// Refuses a model that it is not for, whether or not there is one.
    ///
    /// # Errors
    /// [`ErrorKind::PermissionDenied`].
    pub fn check_model(&self, model: &str) -> Result<(), Error> {
        let Some(caller) = self.caller.as_ref().filter(|caller| !caller.permit().is_for(model)) else { return Ok(()) };
        caller.permit().note_denied();
        let (named, model) = (caller.shown(), Shown(model));
        let message = format!("{caller} is not for model `{model}`: ask with another {named}");
        Err(Error::new(ErrorKind::PermissionDenied, message).about(ErrorSubject::Model(model.to_string())))
    }

    /// A further request on a stream of this asker's: who it is by now, and what it takes of the limits while it lasts.
    ///
    /// # Errors
    /// [`ErrorKind::Unauthenticated`] where the key was revoked since or the token has expired, [`ErrorKind::PermissionDenied`] where it may ask no more, and
    /// [`ErrorKind::LimitReached`].
    pub fn again(&self) -> Result<(Self, Result<Option<InUse>, Error>), Error> {
        let Some(caller) = &self.caller else { return Ok((self.clone(), Ok(None))) };
        let caller = caller.again().map_err(|what| {
            let message = format!("{caller} {what}: ask with another {}", caller.shown());
            Error::new(ErrorKind::Unauthenticated, message)
        })?;
        let asker = Self { caller: Some(caller), ..self.clone() };
        asker.check_right(Right::Classify)?;
        let in_use = asker.begin();
        Ok((asker, in_use))
    }

    /// A request begins; what it takes of its limits, while that is kept.
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
    let message = format!("{caller} has used up its {limit}, {most}: try again after `retry-after`, or more slowly");
    Error::new(ErrorKind::LimitReached, message).retry_after(*retry_after)
}
