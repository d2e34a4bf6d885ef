//! Whether a connection has requests in work, and since when it has none.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{sync::Notify, time::sleep_until};

/// One connection's. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Works>);

#[derive(Debug)]
struct Works {
    /// The first request has begun.
    began: AtomicBool,
    begun: Notify,
    requests: AtomicUsize,
    idle_since: Mutex<Instant>,
}

/// A request in work; it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct InWork(#[expect(dead_code, reason = "held for its end")] Arc<Begun>);

#[derive(Debug)]
struct Begun(Activity);

impl Activity {
    /// A connection that has said nothing yet.
    pub(super) fn new() -> Self {
        let (began, begun) = (AtomicBool::new(false), Notify::new());
        Self(Arc::new(Works { began, begun, requests: AtomicUsize::new(0), idle_since: Mutex::new(Instant::now()) }))
    }

    /// A request has begun.
    pub(super) fn begin(&self) -> InWork {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        if !self.0.began.swap(true, Ordering::Relaxed) {
            self.0.begun.notify_one();
        }
        InWork(Arc::new(Begun(self.clone())))
    }

    /// Ready once the first request has begun. For one that waits.
    pub(super) async fn begun(&self) {
        self.0.begun.notified().await;
        // For the next one who asks.
        self.0.begun.notify_one();
    }

    /// Since when no request is in work; `None` while one is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let idle = self.0.requests.load(Ordering::Relaxed) == 0;
        idle.then(|| *self.0.idle_since.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ready once no request was in work for `limit`.
    pub(super) async fn idle_for(&self, limit: Duration) {
        loop {
            let now = Instant::now();
            let until = self.idle_since().unwrap_or(now) + limit;
            if until <= now {
                return;
            }
            sleep_until(until.into()).await;
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Activity(works) = &self.0;
        *works.idle_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        works.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_connection_has_begun_from_its_first_request_on() {
        let activity = Activity::new();
        assert_eq!(activity.begun().now_or_never(), None);
        drop(activity.begin());
        for _ in 0..2 {
            assert_eq!(activity.begun().now_or_never(), Some(()));
        }
    }
}
