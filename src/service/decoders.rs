//! Whose turn it is to decode: every request and every model gets its share of the threads.
//!
//! A place is taken three times, in the request, in the model and of all, and each of the three serves in the order of
//! arrival. So a request of many images waits with as many of them as there are threads, and so does a model with many
//! requests: whoever comes with one picture waits behind a few others, not behind all.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The threads that may decode at a time. Decoding is the expensive, attackable step.
#[derive(Debug)]
pub(super) struct Decoders {
    threads: usize,
    all: Arc<Semaphore>,
}

/// The places of one model, or of one request.
#[derive(Clone, Debug)]
pub(super) struct Share(Arc<Semaphore>);

impl Share {
    /// As many places as there are threads.
    pub(super) fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads)))
    }
}

/// A turn to decode; ended when it is dropped.
#[derive(Debug)]
pub(super) struct DecodeTurn {
    // In this order: who waits for all comes first, then who waits inside the model, then inside the request.
    _all: OwnedSemaphorePermit,
    _model: OwnedSemaphorePermit,
    _request: OwnedSemaphorePermit,
}

impl Decoders {
    pub(super) fn new(threads: usize) -> Self {
        Self { threads, all: Arc::new(Semaphore::new(threads)) }
    }

    /// The places of a new request.
    pub(super) fn share(&self) -> Share {
        Share::new(self.threads)
    }

    /// Waits for a turn. `None` never happens: the semaphores are not closed.
    pub(super) async fn turn(&self, request: &Share, model: &Share) -> Option<DecodeTurn> {
        let _request = request.0.clone().acquire_owned().await.ok()?;
        let _model = model.0.clone().acquire_owned().await.ok()?;
        let _all = self.all.clone().acquire_owned().await.ok()?;
        Some(DecodeTurn { _all, _model, _request })
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::poll;

    use super::*;

    #[tokio::test]
    async fn one_picture_waits_behind_a_few_of_a_request_of_many() {
        let decoders = Decoders::new(2);
        let (many, one) = (decoders.share(), decoders.share());
        let (busy, other) = (decoders.share(), decoders.share());
        let mut running = [decoders.turn(&many, &busy).await, decoders.turn(&many, &busy).await];
        let mut waiting: Vec<_> = (0..62).map(|_| Box::pin(decoders.turn(&many, &busy))).collect();
        for turn in &mut waiting {
            assert!(poll!(turn.as_mut()).is_pending());
        }
        let mut single = Box::pin(decoders.turn(&one, &other));
        assert!(poll!(single.as_mut()).is_pending());

        running[0] = None;

        // The first of the many waits for its request's place, which it gets with this end, behind the single one.
        assert!(matches!(poll!(single.as_mut()), Poll::Ready(Some(_))));
    }
}
