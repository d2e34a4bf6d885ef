//! The places of a door: how many connections it has, and what becomes of one more.
//!
//! A full door closes the connection that has been idle the longest, and lets the new one into a small reserve meanwhile. There
//! it is answered only what a probe asks, until a place is free: so a load balancer always learns how the server is.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::activity::Activity;
use crate::telemetry::{DoorMetrics, Seldom};

/// How many connections beyond the limit are let in for probes.
const RESERVE: usize = 64;

/// The places of one door. Clones share them.
#[derive(Clone)]
pub(super) struct Places(Arc<Inner>);

struct Inner {
    door: &'static str,
    limit: usize,
    places: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
    open: Mutex<HashMap<u64, Open>>,
    next: AtomicU64,
    line: Seldom,
    metrics: DoorMetrics,
}

struct Open {
    activity: Activity,
    evicted: CancellationToken,
}

/// A connection's place; free again when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Place(Arc<Held>);

struct Held {
    id: u64,
    places: Places,
    /// Only in the reserve so far.
    reserved: AtomicBool,
    permit: Mutex<OwnedSemaphorePermit>,
    evicted: CancellationToken,
}

impl Places {
    pub(super) fn new(door: &'static str, limit: usize, metrics: DoorMetrics) -> Self {
        let limit = limit.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Inner {
            door,
            limit,
            places: Arc::new(Semaphore::new(limit)),
            reserve: Arc::new(Semaphore::new(RESERVE)),
            open: Mutex::default(),
            next: AtomicU64::new(0),
            line: Seldom::new(1),
            metrics,
        }))
    }

    /// Waits until one more connection may be accepted: for a place, or for one in the reserve.
    pub(super) async fn room(&self) -> (OwnedSemaphorePermit, bool) {
        let Inner { places, reserve, .. } = &*self.0;
        if let Ok(place) = places.clone().try_acquire_owned() {
            return (place, false);
        }
        tokio::select! {
            biased;
            Ok(place) = places.clone().acquire_owned() => (place, false),
            Ok(place) = reserve.clone().acquire_owned() => (place, true),
            // The semaphores are never closed.
            else => std::future::pending().await,
        }
    }

    /// A connection came.
    pub(super) fn take(&self, (permit, reserved): (OwnedSemaphorePermit, bool), activity: Activity) -> Place {
        if reserved {
            self.note_full();
            self.close_idlest();
        }
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let evicted = CancellationToken::new();
        self.open().insert(id, Open { activity, evicted: evicted.clone() });
        self.0.metrics.connections.inc();
        let (reserved, permit) = (AtomicBool::new(reserved), Mutex::new(permit));
        Place(Arc::new(Held { id, places: self.clone(), reserved, permit, evicted }))
    }

    fn note_full(&self) {
        let Inner { door, limit, line, metrics, .. } = &*self.0;
        metrics.full.inc();
        if line.turn().is_some() {
            warn!(
                door,
                connections = limit,
                "the door is full: idle connections are closed, new ones are only answered probes; raise [server] \
                 max_connections if these are real clients"
            );
        }
    }

    fn close_idlest(&self) {
        let open = self.open();
        let idle = open.values().filter(|open| !open.evicted.is_cancelled());
        let idlest = idle.filter_map(|open| Some((open.activity.idle_since()?, &open.evicted))).min_by_key(|it| it.0);
        if let Some((_, evicted)) = idlest {
            evicted.cancel();
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u64, Open>> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Fires when the place is wanted by somebody else, because this connection is idle.
    pub(super) fn evicted(&self) -> &CancellationToken {
        &self.0.evicted
    }

    /// Whether the connection has a place of its own by now, or only one in the reserve.
    pub(super) fn is_full(&self) -> bool {
        let Held { reserved, permit, places, .. } = &*self.0;
        if !reserved.load(Ordering::Relaxed) {
            return true;
        }
        match places.0.places.clone().try_acquire_owned() {
            Ok(place) => {
                *permit.lock().unwrap_or_else(PoisonError::into_inner) = place;
                reserved.store(false, Ordering::Relaxed);
                true
            }
            Err(_) => false,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.places.open().remove(&self.id);
        self.places.0.metrics.connections.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    fn places(limit: usize) -> Places {
        Places::new("http", limit, Metrics::default().door("http"))
    }

    async fn come(places: &Places) -> (Place, Activity) {
        let activity = Activity::new();
        (places.take(places.room().await, activity.clone()), activity)
    }

    #[tokio::test]
    async fn a_full_door_closes_who_was_idle_longest_and_spares_who_works() {
        let places = places(3);
        let (busy, works) = come(&places).await;
        let _in_work = works.begin(hyper::Version::HTTP_11);
        let (idlest, _) = come(&places).await;
        let (idle, _) = come(&places).await;

        let (newcomer, _) = come(&places).await;

        assert!(idlest.evicted().is_cancelled());
        assert!(!busy.evicted().is_cancelled() && !idle.evicted().is_cancelled());
        assert!(!newcomer.is_full(), "the reserve, until a place is free");
        drop(idlest);
        assert!(newcomer.is_full());
    }
}
