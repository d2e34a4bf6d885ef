//! Whose turn it is to decode: every request and every model gets its share of the threads.
//!
//! A place is taken three times, in the request, in the model and of all, and each of the three serves in the order of
//! arrival; where clients take turns, a fourth time, in the client's part of the model. So a request of many images waits with as many of them as there are threads, and so does a model with many
//! requests, and a client with many: whoever comes with one picture waits behind a few others, not behind all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The threads that may decode at a time. Decoding is the expensive, attackable step.
#[derive(Clone, Debug)]
pub(super) struct Decoders {
    state: Arc<Mutex<Threads>>,
    all: Arc<Semaphore>,
}

#[derive(Debug)]
struct Threads {
    wanted: usize,
    /// Places that there are, taken or not: more than are wanted until those that are too many are given back.
    there: usize,
}

/// The places of one model, of one client at it, or of one request.
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
    // In this order: who waits for all comes first, then who waits inside the model, and so on.
    _all: OwnedSemaphorePermit,
    _model: OwnedSemaphorePermit,
    _client: Option<OwnedSemaphorePermit>,
    _request: OwnedSemaphorePermit,
}

impl Decoders {
    pub(super) fn new(threads: usize) -> Self {
        let state = Arc::new(Mutex::new(Threads { wanted: threads, there: threads }));
        Self { state, all: Arc::new(Semaphore::new(threads)) }
    }

    /// How many threads may decode.
    pub(super) fn threads(&self) -> usize {
        self.lock().wanted
    }

    /// Lets so many threads decode from now on. Turns that are taken are not ended: called again and again, it takes away what was
    /// given back meanwhile.
    pub(super) fn resize(&self, threads: usize) {
        let mut state = self.lock();
        state.wanted = threads;
        if threads > state.there {
            self.all.add_permits(threads - state.there);
            state.there = threads;
        } else {
            state.there -= self.all.forget_permits(state.there - threads);
        }
    }

    /// The places of a new request.
    pub(super) fn share(&self) -> Share {
        Share::new(self.threads())
    }

    fn lock(&self) -> MutexGuard<'_, Threads> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody decodes.
    pub(super) fn are_idle(&self) -> bool {
        self.all.available_permits() >= self.threads()
    }

    /// Waits for a turn. `None` never happens: the semaphores are not closed.
    ///
    /// * `client`: where clients take turns, its part of the model's
    pub(super) async fn turn(&self, request: &Share, client: Option<&Share>, model: &Share) -> Option<DecodeTurn> {
        let _request = request.0.clone().acquire_owned().await.ok()?;
        let _client = match client {
            Some(client) => Some(client.0.clone().acquire_owned().await.ok()?),
            None => None,
        };
        let _model = model.0.clone().acquire_owned().await.ok()?;
        let _all = self.all.clone().acquire_owned().await.ok()?;
        Some(DecodeTurn { _all, _model, _client, _request })
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
        let mut running = [decoders.turn(&many, None, &busy).await, decoders.turn(&many, None, &busy).await];
        let mut waiting: Vec<_> = (0..62).map(|_| Box::pin(decoders.turn(&many, None, &busy))).collect();
        for turn in &mut waiting {
            assert!(poll!(turn.as_mut()).is_pending());
        }
        let mut single = Box::pin(decoders.turn(&one, None, &other));
        assert!(poll!(single.as_mut()).is_pending());

        running[0] = None;

        // The first of the many waits for its request's place, which it gets with this end, behind the single one.
        assert!(matches!(poll!(single.as_mut()), Poll::Ready(Some(_))));
    }

    #[tokio::test]
    async fn one_client_waits_behind_a_few_requests_of_another_at_the_same_model() {
        let decoders = Decoders::new(2);
        let (flood, other, model) = (decoders.share(), decoders.share(), decoders.share());
        let turn = async |client| decoders.turn(&decoders.share(), Some(client), &model).await;
        let mut running = [turn(&flood).await, turn(&flood).await];
        let mut waiting: Vec<_> = (0..62).map(|_| Box::pin(turn(&flood))).collect();
        for turn in &mut waiting {
            assert!(poll!(turn.as_mut()).is_pending());
        }
        let mut single = Box::pin(turn(&other));
        assert!(poll!(single.as_mut()).is_pending());

        running[0] = None;

        assert!(matches!(poll!(single.as_mut()), Poll::Ready(Some(_))));
    }

    #[tokio::test]
    async fn threads_become_fewer_as_turns_end_and_more_at_once() {
        let decoders = Decoders::new(2);
        let model = decoders.share();
        let turn = || Box::pin(async { decoders.turn(&Share::new(1), None, &model).await });
        let mut running = [turn().await, turn().await];

        decoders.resize(1);
        running[0] = None;
        decoders.resize(1);

        let mut waiting = turn();
        assert!(poll!(waiting.as_mut()).is_pending(), "one still runs, and there is one place");
        decoders.resize(2);
        assert!(matches!(poll!(waiting.as_mut()), Poll::Ready(Some(_))));
        assert_eq!(decoders.threads(), 2);
    }
}
