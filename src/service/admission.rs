//! The places of a model's images in work: taken before anything is decoded, free when the image is answered.

use tokio::sync::{OwnedSemaphorePermit, TryAcquireError};

use super::{Error, ErrorKind, claims::Claimed, error::SHORTEST_RETRY, served::Served};
use crate::{batching::ClientId, telemetry::RefusalReason};

/// The places of a request's images, or of one of them.
pub(super) struct Admitted {
    pub(super) permit: OwnedSemaphorePermit,
    /// What the client has of them, where clients take turns.
    pub(super) claim: Option<Claimed>,
}

impl Admitted {
    /// Takes places for so many images.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where there are too few, or where the client has too many.
    pub(super) fn of(served: &Served, images: usize, client: Option<ClientId>) -> Result<Self, Error> {
        let model = &served.model;
        let wanted = u32::try_from(images).unwrap_or(u32::MAX);
        let permit = match model.permits.clone().try_acquire_many_owned(wanted) {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                served.metrics.note_refused(RefusalReason::Places);
                let message =
                    format!("model `{}` has {} images in work, its limit; try again later", model.name, model.capacity);
                return Err(Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY));
            }
        };
        let left = model.permits.available_permits();
        let claim = client.map(|client| served.claims.claim(client, images, left)).transpose();
        let claim = claim.inspect_err(|_| served.metrics.note_refused(RefusalReason::ClientShare))?;
        Ok(Self { permit, claim })
    }

    /// The place of one image; `None` when nothing is left.
    pub(super) fn split_one(&mut self) -> Option<Self> {
        let claim = match &mut self.claim {
            Some(claim) => Some(claim.split_one()?),
            None => None,
        };
        Some(Self { permit: self.permit.split(1)?, claim })
    }
}
