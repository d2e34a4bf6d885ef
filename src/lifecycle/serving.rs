//! What is served, with all that hangs on it: its entry in the registry, the watch over its speed, and its end.
//!
//! Only the control task has it. Decides nothing: what is to be served, and when it goes, is said there.

use std::{collections::BTreeMap, sync::mpsc::Sender, time::Duration};

use super::{
    command::{Breakdown, Command, Purpose},
    ends::Ends,
    labels::pointed,
    room::Occupant,
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
    /// What the versions take that were loaded once, in bytes.
    sizes: BTreeMap<VersionKey, u64>,
    pub(super) watches: Watches,
    pub(super) ends: Ends,
    commands: Sender<Command>,
    next: u64,
}

impl Serving {
    /// * `watches`: over nothing yet
    pub(super) fn new(writer: RegistryWriter, watches: Watches, commands: Sender<Command>) -> Self {
        Self {
            writer,
            served: BTreeMap::new(),
            sizes: BTreeMap::new(),
            watches,
            ends: Ends::default(),
            commands,
            next: 0,
        }
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
        self.sizes.insert(key.clone(), loaded.bytes);
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
        self.sizes.insert(key.clone(), loaded.bytes);
        drop(self.ends.begin(&key, &self.commands));
        self.ends.end(key, loaded.workers, &self.commands);
    }

    /// Serves a version no more, and forgets it.
    pub(super) fn take_away(&mut self, key: &VersionKey) {
        self.writer.remove(&key.0, key.1);
        self.watches.end(key);
        if self.served.remove(key).is_none() {
            self.writer.end_series(&key.0, key.1);
        }
    }

    /// Serves a version no more until somebody asks for it; what is in flight is answered.
    ///
    /// * `reason`: why, and what loads it again
    /// * `expected`: how long that takes, where it is known
    pub(super) fn cool(&mut self, key: &VersionKey, reason: &str, expected: Option<Duration>) {
        self.writer.cool(&key.0, key.1, reason, expected);
        self.served.remove(key);
        self.watches.end(key);
    }

    /// The same because another model needs the room.
    pub(super) fn evict(&mut self, key: &VersionKey, reason: &str, expected: Option<Duration>) {
        self.writer.note_eviction(&key.0, key.1);
        self.cool(key, reason, expected);
    }

    /// What is loaded, and what of it could make room.
    ///
    /// * `wanted`: what could be loaded again
    pub(super) fn occupants(&self, wanted: &BTreeMap<VersionKey, WantedModel>) -> Vec<Occupant> {
        let occupant = |(key, from): (&VersionKey, &ServedFrom)| {
            let (last_use, is_used) = self.writer.usage(&key.0, key.1)?;
            let may_go = !is_used && from.source.is_some() && wanted.contains_key(key);
            Some(Occupant { key: key.clone(), bytes: self.sizes.get(key).copied().unwrap_or(0), last_use, may_go })
        };
        self.served.iter().filter_map(occupant).collect()
    }

    /// What was served and is not freed yet.
    pub(super) fn leaving(&self) -> Vec<VersionKey> {
        self.ends.leaving(|key| self.served.contains_key(key))
    }

    /// What a version takes, by its last load, else by its files, which is less.
    pub(super) fn size_of(&self, version: &WantedModel) -> u64 {
        self.sizes.get(&version.key()).copied().unwrap_or_else(|| version.source.file_bytes())
    }

    /// The same by its name.
    pub(super) fn known_size(&self, key: &VersionKey, wanted: &BTreeMap<VersionKey, WantedModel>) -> u64 {
        let by_files = || wanted.get(key).map_or(0, |version| version.source.file_bytes());
        self.sizes.get(key).copied().unwrap_or_else(by_files)
    }

    /// Its files are other ones.
    pub(super) fn forget_size(&mut self, key: &VersionKey) {
        self.sizes.remove(key);
    }

    /// Forgets the sizes of what is not wanted any more.
    pub(super) fn retain_sizes(&mut self, is_wanted: impl Fn(&VersionKey) -> bool) {
        self.sizes.retain(|key, _| is_wanted(key) || self.served.contains_key(key));
    }

    /// Points the labels of a model where they are to point, as far as that answers or will once it is asked for.
    pub(super) fn point_labels(&mut self, model: &str, wanted: &BTreeMap<String, u64>) {
        let current = self.writer.labels(model);
        if current != *wanted {
            let answers =
                |version| self.writer.classes(model, version).is_some() || self.writer.is_cold(model, version);
            let labels = pointed(wanted, &current, answers);
            self.writer.label(model, &labels);
        }
    }

    /// Whether something answers whose place a version is to take.
    ///
    /// * `wanted`: what else is to be served
    pub(super) fn has_earlier(&self, version: &WantedModel, wanted: &BTreeMap<VersionKey, WantedModel>) -> bool {
        let key = version.key();
        let of_model = (key.0.clone(), 0)..=(key.0.clone(), u64::MAX);
        self.served.range(of_model).any(|(served, _)| *served == key || !wanted.contains_key(served))
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
        self.writer.end_series(&key.0, key.1);
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
