//! Where models are loaded: the engine, the cores that they may use, and whose turn it is to measure.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::runtime::Runtime;

/// What all loads of a process share.
pub struct Machine {
    /// The engine.
    pub runtime: Runtime,
    cores: fn() -> usize,
    measuring: Mutex<()>,
}

impl Machine {
    /// A machine on which nothing is measured yet.
    ///
    /// * `cores`: how many models may use at the moment
    pub fn new(runtime: Runtime, cores: fn() -> usize) -> Self {
        Self { runtime, cores, measuring: Mutex::default() }
    }

    /// How many cores models may use now; a quota may change while the process runs.
    pub fn cores(&self) -> usize {
        (self.cores)()
    }

    /// Waits for the turn to measure, which ends with the guard: two models that measure side by side would measure each
    /// other. Other loads go on meanwhile; what is measured is compared by turns, so that they slow both sides.
    pub(super) fn measure_alone(&self) -> MutexGuard<'_, ()> {
        self.measuring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
