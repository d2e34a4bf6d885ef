//! A model that answers, as requests hold it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use super::{claims::Claims, decoders::Share, last_use::LastUse};
use crate::{batching::Workers, model::ServedModel, telemetry::ModelMetrics};

/// A model that answers, with its handles on the metrics. Snapshots and requests share it.
pub(super) struct Served {
    /// No other one of the process has it, nor had.
    pub(super) number: u64,
    pub(super) model: ServedModel,
    pub(super) metrics: Arc<ModelMetrics>,
    /// Its part of the threads that decode.
    pub(super) decoding: Share,
    /// Who has its places.
    pub(super) claims: Arc<Claims>,
    pub(super) last_use: LastUse,
    /// Shared with what it was re-made as.
    pub(super) sessions: Arc<Sessions>,
}

/// The threads that own a model's sessions. The last one that lets go of it hands them to whoever frees them, and waits for
/// nothing.
pub(super) struct Sessions {
    workers: Option<Workers>,
    retire: Retire,
}

impl Sessions {
    pub(super) fn new(workers: Workers, retire: Retire) -> Self {
        Self { workers: Some(workers), retire }
    }
}

/// Takes the threads of a model that nobody uses any more. Called wherever the last user let go, an I/O thread most often:
/// it must not wait.
pub type Retire = Arc<dyn Fn(Workers) + Send + Sync>;

/// A number for what is about to be served.
pub(super) fn next_number() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

impl Drop for Sessions {
    fn drop(&mut self) {
        if let Some(workers) = self.workers.take() {
            (self.retire)(workers);
        }
    }
}
