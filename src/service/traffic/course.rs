//! The course that a request took to its version, for what is to be seen of it when it ends.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    guard::{Observed, Stable, note_stable},
    guarded::Guarded,
    mirror::{Mirrored, Mirroring},
};
use crate::service::{
    answer::Answer,
    content::Content,
    error::{Error, ErrorKind},
};

/// Which way an unversioned request went.
#[derive(Debug)]
pub(in crate::service) struct Course {
    pub(super) side: Option<Side>,
    pub(super) mirror: Option<Arc<Mirroring>>,
    /// The version that would have had this request, or would mirror it, if it answered.
    pub(super) missing: Option<u64>,
}

#[derive(Debug)]
pub(super) enum Side {
    /// To the default version; the clock of the window.
    Stable(Stable, Instant),
    /// To one that is held against it.
    Canary(Arc<Guarded>),
}

impl Course {
    /// Counts how a request ended.
    ///
    /// * `took`: from the door to the answer
    pub(in crate::service) fn note(&self, outcome: Result<&Answer, &Error>, took: Duration) {
        let Some(side) = &self.side else { return };
        let outcome = match outcome {
            // What is kept says nothing of the version's speed.
            Ok(answer) => Observed::Answered((!answer.cached).then_some(took)),
            Err(error) if is_fault(error.kind) => Observed::Fault,
            Err(_) => Observed::Answered(None),
        };
        match side {
            Side::Stable(stable, began) => note_stable(stable, began.elapsed(), outcome),
            Side::Canary(guarded) => guarded.note(outcome),
        }
    }

    /// The version that `[traffic]` wants here and that does not answer: it may only have to be loaded.
    pub(in crate::service) fn missing(&self) -> Option<u64> {
        self.missing
    }

    /// An image that is about to be run may be mirrored.
    pub(in crate::service) fn mirror(&self, content: &Content) -> Option<Mirrored> {
        self.mirror.as_ref()?.begin(content)
    }
}

/// What a client cannot help.
fn is_fault(kind: ErrorKind) -> bool {
    match kind {
        ErrorKind::Internal | ErrorKind::Overloaded | ErrorKind::DeadlineExceeded | ErrorKind::Unavailable => true,
        ErrorKind::InvalidArgument | ErrorKind::UnsupportedFormat | ErrorKind::TooLarge | ErrorKind::NotFound => false,
        ErrorKind::Unauthenticated | ErrorKind::PermissionDenied | ErrorKind::LimitReached => false,
    }
}
