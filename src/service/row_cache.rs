//! Rows that were computed, by what was asked: those that were not used for longest go first. Pure under its lock: no clock.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::row_key::RowKey;
use crate::telemetry::CacheState;

/// What the network says of one image.
#[derive(Debug, PartialEq)]
pub(super) struct Row {
    pub(super) logits: Box<[f32]>,
    pub(super) features: Option<Box<[f32]>>,
}

/// What a row takes beside its numbers: two entries of maps, two counts, its key.
const BESIDE_THE_NUMBERS: usize = 200;

impl Row {
    fn bytes(&self) -> usize {
        let numbers = self.logits.len() + self.features.as_ref().map_or(0, |features| features.len());
        numbers * size_of::<f32>() + BESIDE_THE_NUMBERS
    }
}

/// Rows up to so many bytes.
pub(super) struct RowCache {
    max_bytes: usize,
    rows: Mutex<Rows>,
}

#[derive(Default)]
struct Rows {
    bytes: usize,
    evictions: u64,
    /// Counts uses.
    now: u64,
    rows: HashMap<RowKey, (Arc<Row>, u64)>,
    by_use: BTreeMap<u64, RowKey>,
}

impl RowCache {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self { max_bytes, rows: Mutex::default() }
    }

    /// Whether it may hold anything.
    pub(super) fn is_on(&self) -> bool {
        self.max_bytes > 0
    }

    pub(super) fn get(&self, key: RowKey) -> Option<Arc<Row>> {
        let mut rows = self.rows();
        let Rows { now, rows: known, by_use, .. } = &mut *rows;
        let (row, used) = known.get_mut(&key)?;
        by_use.remove(used);
        *now += 1;
        *used = *now;
        by_use.insert(*now, key);
        Some(row.clone())
    }

    /// Keeps a row, and lets go of others where there is no room.
    pub(super) fn put(&self, key: RowKey, row: Row) {
        let bytes = row.bytes();
        let mut rows = self.rows();
        if bytes > self.max_bytes || rows.rows.contains_key(&key) {
            return;
        }
        while rows.bytes + bytes > self.max_bytes && rows.evict() {}
        rows.now += 1;
        let now = rows.now;
        rows.bytes += bytes;
        rows.by_use.insert(now, key);
        rows.rows.insert(key, (Arc::new(row), now));
    }

    /// What it holds.
    pub(super) fn state(&self) -> CacheState {
        let rows = self.rows();
        CacheState { rows: rows.rows.len(), bytes: rows.bytes, max_bytes: self.max_bytes, evictions: rows.evictions }
    }

    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows {
    /// Lets go of the row that was not used for longest; `false` where there is none.
    fn evict(&mut self) -> bool {
        let Some((_, key)) = self.by_use.pop_first() else { return false };
        if let Some((row, _)) = self.rows.remove(&key) {
            self.bytes -= row.bytes();
            self.evictions += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> RowKey {
        RowKey([number; 16])
    }

    fn row(value: f32) -> Row {
        Row { logits: vec![value; 10].into(), features: None }
    }

    #[test]
    fn what_was_not_used_for_longest_goes_first() {
        let cache = RowCache::new(3 * row(0.0).bytes());
        (1..=3).for_each(|number| cache.put(key(number), row(number.into())));
        assert!(cache.get(key(1)).is_some());
        cache.put(key(4), row(4.0));
        assert!(cache.get(key(2)).is_none());
        assert_eq!([1, 3, 4].map(|number| cache.get(key(number)).map(|row| row.logits[0])), [1.0, 3.0, 4.0].map(Some));
        let state = cache.state();
        assert_eq!((state.rows, state.bytes, state.evictions), (3, state.max_bytes, 1));
    }

    #[test]
    fn a_row_that_does_not_fit_throws_nothing_out() {
        let cache = RowCache::new(row(0.0).bytes());
        cache.put(key(1), row(1.0));
        cache.put(key(2), Row { features: Some(vec![0.0; 64].into()), ..row(2.0) });
        assert!(cache.get(key(1)).is_some() && cache.get(key(2)).is_none());
        cache.put(key(1), row(3.0));
        assert_eq!(cache.state().rows, 1);
        assert!(!RowCache::new(0).is_on());
    }
}
