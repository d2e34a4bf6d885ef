//! Models on their way out: each ends on a thread of its own, which waits for its last run and frees it.

use std::{
    collections::BTreeMap,
    sync::{Arc, mpsc::Sender},
    thread::JoinHandle,
};

use super::{
    command::{Command, give},
    wanted::VersionKey,
};
use crate::{batching::Workers, heap, service::Retire};

/// What is not gone yet.
#[derive(Default)]
pub(super) struct Ends {
    /// How many models of a version have threads, served or retired.
    alive: BTreeMap<VersionKey, usize>,
    /// The threads that wait for a model's last run.
    ending: BTreeMap<u64, (VersionKey, JoinHandle<()>)>,
    next: u64,
}

impl Ends {
    /// A model is there; what its last user does with its threads.
    pub(super) fn begin(&mut self, key: &VersionKey, commands: &Sender<Command>) -> Retire {
        *self.alive.entry(key.clone()).or_default() += 1;
        let (key, commands) = (key.clone(), commands.clone());
        Arc::new(move |workers| give(&commands, Command::Retired { key: key.clone(), workers }))
    }

    /// Waits for the last run of a model that nobody uses any more and frees it, on a thread that does nothing else.
    pub(super) fn end(&mut self, key: VersionKey, workers: Workers, commands: &Sender<Command>) {
        self.next += 1;
        let (end, commands) = (self.next, commands.clone());
        let thread = std::thread::Builder::new().name("free a model".to_owned()).spawn(move || {
            workers.close();
            heap::give_back();
            give(&commands, Command::Freed { end });
        });
        match thread {
            Ok(thread) => {
                self.ending.insert(end, (key, thread));
            }
            // The closure is gone, and the model with it: it was freed here.
            Err(error) => {
                tracing::warn!(model = key.0, %error, "no thread to free it on");
                self.gone(&key);
            }
        }
    }

    /// The threads of what was ended are gone.
    pub(super) fn freed(&mut self, end: u64) {
        if let Some((key, thread)) = self.ending.remove(&end) {
            let _ = thread.join();
            self.gone(&key);
        }
    }

    /// Whether every model is gone.
    pub(super) fn is_empty(&self) -> bool {
        self.alive.is_empty()
    }

    /// Whether of this model nothing is left but what is served.
    pub(super) fn are_freed(&self, model: &str, is_served: impl Fn(&VersionKey) -> bool) -> bool {
        self.alive.keys().filter(|key| key.0 == model).all(is_served)
    }

    /// What is not gone yet and served no more: a version as often as there are models of it.
    pub(super) fn leaving(&self, is_served: impl Fn(&VersionKey) -> bool) -> Vec<VersionKey> {
        let leaving = |(key, count): (&VersionKey, &usize)| {
            let left = count.saturating_sub(is_served(key).into());
            std::iter::repeat_n(key.clone(), left)
        };
        self.alive.iter().flat_map(leaving).collect()
    }

    /// What is not gone, in words.
    pub(super) fn still_running(&self) -> Vec<String> {
        let mut running: Vec<_> = self.ending.values().map(|(key, _)| shown(key)).collect();
        let used = self.alive.values().sum::<usize>().saturating_sub(self.ending.len());
        if used > 0 {
            running.push(format!("{used} models that requests still use"));
        }
        running
    }

    fn gone(&mut self, key: &VersionKey) {
        if let Some(count) = self.alive.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.alive.remove(key);
            }
        }
    }
}

/// A version, for people.
pub(super) fn shown((name, version): &VersionKey) -> String {
    format!("{name} version {version}")
}
