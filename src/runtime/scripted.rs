//! An executor that does what a test says: stands in for ONNX Runtime where a test is about the line, not the numbers.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Duration,
};

use super::{Executor, RunError};
use crate::tensor::{Batch, Logits};

/// A network with a script. Clones share it, so that a test keeps one while workers own the others.
#[derive(Clone)]
pub struct ScriptedExecutor {
    script: Arc<Script>,
}

struct Script {
    row: Vec<f32>,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    blocked: bool,
    failing: Option<String>,
    panicking: bool,
    entered: usize,
    batch_sizes: Vec<usize>,
}

/// How long a test waits for what must happen before it fails.
const PATIENCE: Duration = Duration::from_secs(20);

impl ScriptedExecutor {
    /// Answers `row` for every image, at once.
    pub fn answering(row: &[f32]) -> Self {
        let script = Script { row: row.to_vec(), state: Mutex::default(), changed: Condvar::new() };
        Self { script: Arc::new(script) }
    }

    /// Answers `row` for every image, but holds every batch until [`ScriptedExecutor::release`].
    pub fn blocked(row: &[f32]) -> Self {
        let executor = Self::answering(row);
        executor.block();
        executor
    }

    /// Holds every batch from now on.
    pub fn block(&self) {
        self.change(|state| state.blocked = true);
    }

    /// Lets every batch through, those held and those to come.
    pub fn release(&self) {
        self.change(|state| state.blocked = false);
    }

    /// Fails every batch from now on as an engine would.
    pub fn fail(&self, message: &str) {
        self.change(|state| state.failing = Some(message.to_owned()));
    }

    /// Panics in every batch from now on.
    pub fn panic(&self) {
        self.change(|state| state.panicking = true);
    }

    /// Takes [`ScriptedExecutor::fail`] and [`ScriptedExecutor::panic`] back.
    pub fn recover(&self) {
        self.change(|state| (state.failing, state.panicking) = (None, false));
    }

    /// Waits until `count` batches have reached the network.
    ///
    /// # Panics
    /// If they do not come.
    pub fn wait_for_batches(&self, count: usize) {
        let state = self.script.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (state, waited) = self
            .script
            .changed
            .wait_timeout_while(state, PATIENCE, |state| state.entered < count)
            .unwrap_or_else(PoisonError::into_inner);
        assert!(!waited.timed_out(), "{} of {count} batches came", state.entered);
    }

    /// The sizes of the batches that were answered.
    pub fn batch_sizes(&self) -> Vec<usize> {
        self.script.state.lock().unwrap_or_else(PoisonError::into_inner).batch_sizes.clone()
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.script.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.script.changed.notify_all();
    }
}

impl Executor for ScriptedExecutor {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        let mut state = self.script.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.entered += 1;
        self.script.changed.notify_all();
        while state.blocked {
            state = self.script.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.panicking {
            drop(state);
            panic!("the script says so");
        }
        if let Some(message) = &state.failing {
            return Err(RunError::Engine(message.clone()));
        }
        state.batch_sizes.push(batch.len());
        logits.fill(self.script.row.len(), &self.script.row.repeat(batch.len()));
        Ok(())
    }
}
