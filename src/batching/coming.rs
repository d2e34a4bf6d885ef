//! Images that were considered and are still being decoded: whoever comes after them waits behind them as well.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// How many there are. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Coming(Arc<AtomicUsize>);

/// An image that was considered and will come. Dropped, it is here or does not come.
#[derive(Debug)]
pub struct Announced {
    coming: Coming,
    /// By the forecast it cannot be answered in time, and was taken to see whether that is so.
    pub(super) is_sample: bool,
    pub(super) since: Instant,
}

impl Coming {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    pub(super) fn announce(&self, is_sample: bool, since: Instant) -> Announced {
        self.0.fetch_add(1, Ordering::Relaxed);
        Announced { coming: self.clone(), is_sample, since }
    }
}

impl Drop for Announced {
    fn drop(&mut self) {
        self.coming.0.fetch_sub(1, Ordering::Relaxed);
    }
}
