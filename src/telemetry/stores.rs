//! What is counted of the stores that models come from.

use std::sync::Arc;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::count::Count;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StoreLabel {
    store: Arc<str>,
}

#[derive(Debug, Default)]
pub(super) struct StoreFamilies {
    up: Family<StoreLabel, Gauge>,
    failures: Family<StoreLabel, Count>,
    downloaded: Family<StoreLabel, Count>,
    cached: Family<StoreLabel, Gauge>,
}

impl StoreFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register("store_up", "1 where the last look at a store of models succeeded", self.up.clone());
        registry.register(
            "store_failures_total",
            "Looks at a store of models, and fetches from it, that failed; what is cached is served",
            self.failures.clone(),
        );
        registry.register(
            "store_downloaded_bytes_total",
            "Bytes that came from a store of models",
            self.downloaded.clone(),
        );
        registry.register(
            "store_cached_bytes",
            "Bytes of a store's models on this machine's disk",
            self.cached.clone(),
        );
    }

    pub(super) fn store(&self, store: &str) -> StoreMeter {
        let label = StoreLabel { store: store.into() };
        StoreMeter {
            up: self.up.get_or_create_owned(&label),
            failures: self.failures.get_or_create_owned(&label).0,
            downloaded: self.downloaded.get_or_create_owned(&label).0,
            cached: self.cached.get_or_create_owned(&label),
        }
    }
}

/// The handles of one store.
#[derive(Clone, Debug, Default)]
pub struct StoreMeter {
    up: Gauge,
    failures: Counter,
    downloaded: Counter,
    cached: Gauge,
}

impl StoreMeter {
    /// Whether the store was there when it was looked at.
    pub fn note_state(&self, is_up: bool) {
        self.up.set(is_up.into());
    }

    /// Counts a look or a fetch that failed.
    pub fn note_failure(&self) {
        self.failures.inc();
    }

    /// Counts bytes that came.
    pub fn note_bytes(&self, bytes: u64) {
        self.downloaded.inc_by(bytes);
    }

    /// Says what the cache holds.
    pub fn note_cached(&self, bytes: u64) {
        self.cached.set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Bytes that came so far.
    pub fn downloaded(&self) -> u64 {
        self.downloaded.get()
    }
}
