//! What is served, with all that hangs on it: its entry in the registry, the watch over its speed, and its end.
//!
//! Only the control task has it. Decides nothing: what is to be served, and when it goes, is said there.

use std::{collections::BTreeMap, sync::mpsc::Sender};

use super::{
    command::{Breakdown, Command, Purpose},
    ends::Ends,
    wanted::{ServedFrom, VersionKey, WantedModel},
    watch::Watches,
};
use crate::{
    batching::Workers,
    model::{LoadedModel, ModelState},
    service::RegistryWriter,
};

pub(super) struct Serving {
    pub(super) writer: RegistryWriter,
    pub(super) served: BTreeMap<VersionKey, ServedFrom>,
    pub(super) watches: Watches,
    pub(super) ends: Ends,
    commands: Sender<Command>,
    next: u64,
}

impl Serving {
    /// * `watches`: over nothing yet
    pub(super) fn new(writer: RegistryWriter, watches: Watches, commands: Sender<Command>) -> Self {
        Self { writer, served: BTreeMap::new(), watches, ends: Ends::default(), commands, next: 0 }
    }

    /// Puts a model in place.
    ///
    /// * `origin`: what it was loaded from and why, where it can be loaded again
    pub(super) fn put(&mut self, loaded: LoadedModel, origin: Option<(&WantedModel, Purpose)>) {
        let key = (loaded.model.name.to_string(), loaded.model.version);
        self.next += 1;
        let number = self.next;
        match origin {
            Some((wanted, purpose)) => self.watches.begin(wanted, &loaded, purpose == Purpose::MeasureAnew),
            None => self.watches.end(&key),
        }
        let source = origin.map(|(wanted, _)| wanted.source.clone());
        self.served.insert(key.clone(), ServedFrom { number, source });
        let retire = self.ends.begin(&key, &self.commands);
        let breakdown = Breakdown { served: number, key, commands: self.commands.clone() };
        loaded.model.batcher.observe(Box::new(breakdown));
        self.writer.serve(loaded, retire);
    }

    /// Ends a model that was loaded and is of no use.
    pub(super) fn throw_away(&mut self, loaded: LoadedModel) {
        let key = (loaded.model.name.to_string(), loaded.model.version);
        drop(self.ends.begin(&key, &self.commands));
        self.ends.end(key, loaded.workers, &self.commands);
    }

    /// Serves a version no more, and forgets it.
    pub(super) fn take_away(&mut self, key: &VersionKey) {
        self.writer.remove(&key.0, key.1);
        self.served.remove(key);
        self.watches.end(key);
    }

    /// Unloads, before a version is loaded, what it takes the place of; whether that is gone.
    ///
    /// * `wanted`: what else is to be served
    pub(super) fn unload_before(&mut self, version: &WantedModel, wanted: &BTreeMap<VersionKey, WantedModel>) -> bool {
        let (name, number) = (&*version.name, version.version);
        for status in self.writer.list().iter().filter(|it| &*it.name == name && it.state == ModelState::Available) {
            let key = (name.to_owned(), status.version);
            if status.version == number {
                self.writer.make_room(name, status.version);
            } else if !wanted.contains_key(&key) {
                self.writer.remove(name, status.version);
            } else {
                continue;
            }
            tracing::info!(
                model = name,
                version = status.version,
                "unloaded before version {number} is loaded in its place, because [models] overlap is false: requests are \
                 refused until then"
            );
            self.served.remove(&key);
            self.watches.end(&key);
        }
        self.ends.are_freed(name, |key| self.served.contains_key(key))
    }

    /// Of a version of which every worker has broken; whether it was served still.
    ///
    /// * `number`: tells it from another one that took its place
    pub(super) fn lost(&mut self, number: u64, key: &VersionKey) -> bool {
        if self.served.get(key).is_none_or(|from| from.number != number) {
            return false;
        }
        self.watches.end(key);
        self.served.remove(key);
        true
    }

    /// Nobody uses a model any more: its threads are ended.
    pub(super) fn retired(&mut self, key: VersionKey, workers: Workers) {
        self.ends.end(key, workers, &self.commands);
    }

    /// Takes everything away.
    pub(super) fn clear(&mut self) {
        self.watches.clear();
        self.served.clear();
        for status in self.writer.list() {
            self.writer.remove(&status.name, status.version);
        }
    }
}
