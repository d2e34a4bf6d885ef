//! Runs under way that several requests wait for, because they asked the same.
//!
//! A run belongs to all who wait for it: whoever polls moves it on, whoever leaves leaves it to the others, and with the last one it is
//! given up.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{
    FutureExt as _,
    future::{BoxFuture, Shared, WeakShared},
};

use crate::batching::Priority;

/// A run that others may join.
pub(super) type Flight<T> = Shared<BoxFuture<'static, T>>;

/// The runs under way by what was asked.
pub(super) struct Flights<K, T: Clone>(Arc<Mutex<Table<K, T>>>);

struct Table<K, T: Clone> {
    next: u64,
    flights: HashMap<K, Entry<T>>,
}

struct Entry<T: Clone> {
    number: u64,
    priority: Priority,
    flight: WeakShared<BoxFuture<'static, T>>,
}

/// Takes a run off the table when it has ended, or nobody waits for it any more.
struct Ending<K: Eq + Hash, T: Clone> {
    table: Arc<Mutex<Table<K, T>>>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T: Clone> Drop for Ending<K, T> {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        if table.flights.get(&self.key).is_some_and(|entry| entry.number == self.number) {
            table.flights.remove(&self.key);
        }
    }
}

fn lock<K, T: Clone>(table: &Mutex<Table<K, T>>) -> MutexGuard<'_, Table<K, T>> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Clone + Eq + Hash + Send + 'static, T: Clone + Send + Sync + 'static> Flights<K, T> {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Table { next: 0, flights: HashMap::new() })))
    }

    /// The run that is under way for `key`, unless it is less urgent, and `true`; else the one that `work` does.
    pub(super) fn join_or_lead<W>(&self, key: K, priority: Priority, work: impl FnOnce() -> W) -> (Flight<T>, bool)
    where
        W: Future<Output = T> + Send + 'static,
    {
        let mut table = lock(&self.0);
        let under_way = table.flights.get(&key).filter(|entry| entry.priority <= priority);
        if let Some(flight) = under_way.and_then(|entry| entry.flight.upgrade()) {
            return (flight, true);
        }
        let number = table.next;
        table.next += 1;
        let ending = Ending { table: self.0.clone(), key: key.clone(), number };
        let work = work();
        let flight = async move {
            let _ending = ending;
            work.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            table.flights.insert(key, Entry { number, priority, flight: weak });
        }
        (flight, false)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use tokio::sync::oneshot;

    use super::*;

    const USUAL: Priority = Priority::DEFAULT;

    async fn run(gate: oneshot::Receiver<u32>) -> Option<u32> {
        gate.await.ok()
    }

    fn count<K, T: Clone>(flights: &Flights<K, T>) -> usize {
        lock(&flights.0).flights.len()
    }

    #[tokio::test]
    async fn whoever_asks_the_same_joins_and_the_run_goes_on_without_the_one_that_began_it() {
        let flights = Flights::new();
        let (answer, gate) = oneshot::channel();
        let (mut first, joined) = flights.join_or_lead("a", USUAL, || run(gate));
        assert!(!joined && poll!(&mut first).is_pending());
        let (mut second, joined) = flights.join_or_lead("a", USUAL, || run(oneshot::channel().1));
        assert!(joined && poll!(&mut second).is_pending());
        assert!(!flights.join_or_lead("b", USUAL, || run(oneshot::channel().1)).1);

        drop(first);
        answer.send(7).expect("the run lives");

        assert_eq!(second.await, Some(7));
        assert_eq!(count(&flights), 0, "whoever comes now begins a new one");
    }

    #[tokio::test]
    async fn a_run_that_nobody_waits_for_is_given_up() {
        let flights = Flights::new();
        let (answer, gate) = oneshot::channel();
        let (mut only, _) = flights.join_or_lead("a", USUAL, || run(gate));
        assert!(poll!(&mut only).is_pending());
        drop(only);
        assert!(answer.is_closed() && count(&flights) == 0);
    }

    #[tokio::test]
    async fn nobody_joins_what_is_less_urgent() {
        let flights = Flights::new();
        let (bulk, _) = flights.join_or_lead("a", Priority::BULK, || run(oneshot::channel().1));
        let (answer, gate) = oneshot::channel();
        let (urgent, joined) = flights.join_or_lead("a", USUAL, || run(gate));
        assert!(!joined);
        drop(bulk);
        let (other, joined) = flights.join_or_lead("a", Priority::BULK, || run(oneshot::channel().1));
        assert!(joined, "the end of the bulk run took nothing of the other's off");
        answer.send(1).expect("the run lives");
        assert_eq!((urgent.await, other.await), (Some(1), Some(1)));
    }
}
