//! The same picture twice: rows are kept, and runs under way are shared, where that is set.
//!
//! What is shared is what the network says of an image, made of the bytes by this very version as it is served; how much of it an
//! answer has, and in which form, is each request's own.

use std::{sync::Arc, time::Instant};

use tokio::{sync::Semaphore, task::spawn_blocking};

use super::{
    Error, ErrorKind, Item, RequestLimits,
    answered::{Answered, RowFrom},
    flights::Flights,
    row_cache::RowCache,
    row_key::{RowKey, RowKeys, size},
    served::Served,
};
use crate::{
    batching::{ClientId, Priority},
    telemetry::CacheState,
};

/// From so many bytes on, a key is made on a thread that may take its time.
const LONG: usize = 16 << 10;

/// Who shares a run: whoever asks for this, and where clients take turns, only one of them.
type SharedBy = (RowKey, Option<ClientId>);

/// What was kept, and what is under way.
pub(super) struct Sharing {
    keys: Arc<RowKeys>,
    hashing: Semaphore,
    cache: Arc<RowCache>,
    flights: Option<Flights<SharedBy, Result<Answered, Error>>>,
}

impl Sharing {
    /// `None` where neither is set.
    ///
    /// * `threads`: how many long bodies are hashed side by side
    pub(super) fn new(limits: &RequestLimits, threads: usize) -> Option<Self> {
        let is_wanted = limits.cache_bytes > 0 || limits.single_flight;
        is_wanted.then(|| Self {
            keys: Arc::new(RowKeys::new()),
            hashing: Semaphore::new(threads.max(1)),
            cache: Arc::new(RowCache::new(limits.cache_bytes)),
            flights: limits.single_flight.then(Flights::new),
        })
    }

    /// What is kept.
    pub(super) fn state(&self) -> CacheState {
        self.cache.state()
    }

    /// Answers an image from what is kept or under way; else as `work` does, for all who ask the same meanwhile.
    ///
    /// * `client`: a run is shared within one, where clients take turns: it would wait for its turn otherwise
    ///
    /// # Errors
    /// Those of `work`; but nobody is refused because of a deadline, or a place in the queue, that was another one's.
    pub(super) async fn answer<W>(
        &self,
        served: &Served,
        (item, features): (&Item, bool),
        (priority, client): (Priority, Option<ClientId>),
        mut work: impl FnMut() -> W,
    ) -> Result<Answered, Error>
    where
        W: Future<Output = Result<Answered, Error>> + Send + 'static,
    {
        let began = Instant::now();
        let key = self.key(served, item, features).await?;
        let mut looked = None;
        loop {
            if self.cache.is_on() {
                let kept = self.cache.get(key);
                if looked.is_none() {
                    served.metrics.note_cache(kept.is_some());
                }
                let time = *looked.get_or_insert_with(|| began.elapsed());
                if let Some(row) = kept {
                    return Ok(Answered::kept(&row, time));
                }
            }
            let mut run = || keeping(work(), self.cache.clone(), key);
            let Some(flights) = &self.flights else { return Ok(run().await?.looked_for(looked)) };
            let (flight, has_joined) = flights.join_or_lead((key, client), priority, run);
            match flight.await {
                Ok(answered) if has_joined => {
                    served.metrics.note_shared_run();
                    return Ok(answered.shared(began).looked_for(looked));
                }
                Err(error) if has_joined && is_the_leaders(error.kind) => {}
                ended => return Ok(ended?.looked_for(looked)),
            }
        }
    }

    async fn key(&self, served: &Served, item: &Item, features: bool) -> Result<RowKey, Error> {
        let number = served.number;
        if size(&item.0) < LONG {
            return Ok(self.keys.of(number, features, &item.0));
        }
        let _turn = self.hashing.acquire().await;
        let (keys, content) = (self.keys.clone(), item.0.clone());
        let hashed = spawn_blocking(move || keys.of(number, features, &content));
        hashed.await.map_err(|_| Error::new(ErrorKind::Internal, "hashing failed"))
    }
}

/// Keeps the row of a run that succeeds, and notes how long that takes.
async fn keeping(
    run: impl Future<Output = Result<Answered, Error>>,
    cache: Arc<RowCache>,
    key: RowKey,
) -> Result<Answered, Error> {
    let mut answered = run.await?;
    let began = Instant::now();
    if cache.is_on()
        && answered.from == RowFrom::Run
        && let Some(row) = answered.row()
    {
        cache.put(key, row);
        answered.looked = Some(began.elapsed());
    }
    Ok(answered)
}

/// Whether an error is about the one who began the run, its deadline or its place, and not about the picture or the engine.
fn is_the_leaders(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Overloaded | ErrorKind::DeadlineExceeded)
}
