//! Whether a connection has requests in work, since when it has none, and whether its next answer is its last.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use hyper::Version;
use tokio::{sync::Notify, time::sleep_until};

/// One connection's. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Works>);

#[derive(Debug)]
struct Works {
    /// A request over HTTP/2 has begun.
    has_streams: AtomicBool,
    streams: Notify,
    /// Over HTTP/1, whose only farewell is a header, the next answer says it.
    is_over: AtomicBool,
    requests: AtomicUsize,
    idle_since: Mutex<Instant>,
}

/// A request in work; it ends when the last clone is dropped.
#[derive(Clone, Debug)]
pub(super) struct InWork(Arc<Begun>);

#[derive(Debug)]
struct Begun(Activity);

impl Activity {
    /// A connection that has said nothing yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Works {
            has_streams: AtomicBool::new(false),
            streams: Notify::new(),
            is_over: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            idle_since: Mutex::new(Instant::now()),
        }))
    }

    /// A request has begun.
    pub(super) fn begin(&self, version: Version) -> InWork {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        if version >= Version::HTTP_2 && !self.0.has_streams.swap(true, Ordering::Relaxed) {
            self.0.streams.notify_one();
        }
        InWork(Arc::new(Begun(self.clone())))
    }

    /// From now on an answer over HTTP/1 is the connection's last, and says so.
    pub(super) fn end_with_an_answer(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    /// Ready once a request over HTTP/2 has begun. For one that waits.
    pub(super) async fn has_streams(&self) {
        self.0.streams.notified().await;
        // For the next one who asks.
        self.0.streams.notify_one();
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

impl InWork {
    /// Whether the answer, where it goes over HTTP/1, is to be the connection's last. Asked when the answer is there, not before.
    pub(super) fn is_last(&self) -> bool {
        let Begun(Activity(works)) = &*self.0;
        works.is_over.load(Ordering::Relaxed)
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
    async fn a_connection_has_streams_from_its_first_request_over_http_2_on() {
        let activity = Activity::new();
        drop(activity.begin(Version::HTTP_11));
        assert_eq!(activity.has_streams().now_or_never(), None);
        drop(activity.begin(Version::HTTP_2));
        for _ in 0..2 {
            assert_eq!(activity.has_streams().now_or_never(), Some(()));
        }
    }

    #[test]
    fn an_answer_is_the_last_also_where_its_request_began_before() {
        let activity = Activity::new();
        let in_work = activity.begin(Version::HTTP_11);
        assert!(!in_work.is_last());
        activity.end_with_an_answer();
        assert!(in_work.is_last() && activity.begin(Version::HTTP_11).is_last());
    }
}
