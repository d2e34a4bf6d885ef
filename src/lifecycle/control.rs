//! The control task: one thread that alone changes the registry, starts every load and ends every model.
//!
//! It waits for commands and never for anything else: a load runs on a thread of its own (`loads`), so does the end of a model
//! (`ends`), which has to wait for its last run. A load that panics has failed; one that does not end in time has failed too, and
//! its thread is left behind, because nobody can end a thread that is inside the engine.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    command::{Breakdown, Command, Labels, Made, Purpose, Tries},
    decide::{RoundStep, Standing, decide, superfluous},
    ends::{Ends, shown},
    failures::Failures,
    labels::pointed,
    loader::{LoadModel, LoadOptions},
    loads::Loads,
    rounds::Rounds,
    told::tell_served,
    wanted::{Change, ServedFrom, Source, VersionKey, WantedModel},
    watch::Watches,
};
use crate::{
    model::{LoadedModel, ModelState},
    service::RegistryWriter,
};

struct Closing {
    deadline: Option<Instant>,
    /// Until it was answered.
    done: Option<std::sync::mpsc::Sender<Vec<String>>>,
}

pub(super) struct Control<L> {
    writer: RegistryWriter,
    commands: Sender<Command>,
    /// Whether what is replaced is served until the new one can take its place.
    overlap: bool,
    /// Whether what fails is tried again.
    retries: bool,
    /// What the last round asked for.
    wanted: BTreeMap<VersionKey, WantedModel>,
    /// Where it wants labels to point.
    labels: Labels,
    loads: Loads<L>,
    failures: Failures,
    rounds: Rounds,
    served: BTreeMap<VersionKey, ServedFrom>,
    watches: Watches,
    ends: Ends,
    closing: Option<Closing>,
    next: u64,
}

impl<L: LoadModel> Control<L> {
    pub(super) fn new(writer: RegistryWriter, loader: L, options: LoadOptions, commands: Sender<Command>) -> Self {
        Self {
            writer,
            overlap: options.overlap,
            retries: options.retries,
            wanted: BTreeMap::new(),
            labels: Labels::new(),
            watches: Watches::new(options.watch_interval, loader.cores()),
            loads: Loads::new(loader, options, commands.clone()),
            commands,
            failures: Failures::default(),
            rounds: Rounds::default(),
            served: BTreeMap::new(),
            ends: Ends::default(),
            closing: None,
            next: 0,
        }
    }

    /// Works until it is told to close and every model is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            self.look_at_paces();
            self.try_again();
            self.start_loads();
            self.rounds.conclude();
            if self.closing.is_some() {
                self.conclude_closing();
                if self.is_done() {
                    return;
                }
            }
            let command = match self.next_deadline() {
                Some(deadline) => inbox.recv_timeout(deadline.saturating_duration_since(Instant::now())),
                None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            match command {
                Ok(command) => self.follow(command),
                Err(RecvTimeoutError::Timeout) => self.leave_behind(),
                // Cannot be: this task has a sender itself.
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn follow(&mut self, command: Command) {
        match command {
            Command::Apply { wanted, labels, tries, done } => self.apply(wanted, labels, &tries, done),
            Command::Serve { model, done } => {
                self.serve(model, None);
                // Whoever put it there may have left.
                let _ = done.send(());
            }
            Command::SetReady { done } => {
                self.loads.give_way();
                self.writer.set_ready();
                // Whoever opened the gate may have left.
                let _ = done.send(());
            }
            Command::Loaded { load, outcome } => self.loaded(load, outcome),
            Command::Retired { key, workers } => self.ends.end(key, workers, &self.commands),
            Command::Broken { served, key } => self.broken(served, &key),
            Command::Freed { end } => self.ends.freed(end),
            Command::Close { limit, done } => self.close(limit, done),
        }
    }

    fn apply(&mut self, wanted: Vec<WantedModel>, labels: Labels, tries: &Tries, done: oneshot::Sender<()>) {
        if self.closing.is_some() {
            return;
        }
        // Of a model whose settings cannot be read, what they said.
        let unread = wanted.iter().filter(|version| !labels.contains_key(&*version.name));
        let kept = unread.filter_map(|it| self.labels.remove_entry(&*it.name)).collect::<Labels>();
        self.labels = labels.into_iter().chain(kept).collect();
        let models: Vec<_> = self.labels.keys().cloned().collect();
        models.iter().for_each(|model| self.point_labels(model));
        self.writer.cascades(wanted.iter().filter_map(|it| Some((&*it.name, it.cascade()?))));
        self.writer.share_out(wanted.iter().filter_map(WantedModel::traffic));
        let mut open = BTreeSet::new();
        let steps = {
            let under_way: BTreeMap<_, _> = self.loads.under_way().map(|it| (it.key(), &it.source)).collect();
            decide(&wanted, &self.writer.list(), |version| self.standing(version, &under_way, tries))
        };
        let to_serve: Vec<_> =
            steps.iter().filter_map(|it| if let RoundStep::Load(key) = it { Some(key) } else { None }).collect();
        self.writer.announce(to_serve);
        self.wanted = wanted.into_iter().map(|version| (version.key(), version)).collect();
        self.failures.retain(|key| self.wanted.contains_key(key));
        self.loads.retain(|key| self.wanted.contains_key(key));
        for step in steps {
            match step {
                RoundStep::Load(key) | RoundStep::Relabel(key) => {
                    self.begin(&key);
                    open.insert(key);
                }
                RoundStep::Fail(key, reason) => {
                    if !self.failures.has_for(&key, &reason)
                        && let Some(wanted) = self.wanted.get(&key).cloned()
                    {
                        self.fail(&wanted, &reason, false);
                    }
                }
                RoundStep::Settle(key) => {
                    self.failures.forget(&key);
                    self.writer.settle(&key.0, key.1);
                }
                RoundStep::Retire(key) => self.retire(&key),
            }
        }
        open.extend(self.loads.under_way().map(WantedModel::key).filter(|key| self.wanted.contains_key(key)));
        self.rounds.begin(open, done);
    }

    /// Points the labels of a model where they are to point, as far as that answers.
    fn point_labels(&mut self, model: &str) {
        let Some(wanted) = self.labels.get(model) else { return };
        let current = self.writer.labels(model);
        if current != *wanted {
            let labels = pointed(wanted, &current, |version| self.writer.classes(model, version).is_some());
            self.writer.label(model, &labels);
        }
    }

    /// Where a version stands that is wanted.
    ///
    /// * `under_way`: what is loaded, or waits for it, and from what
    fn standing(&self, version: &WantedModel, under_way: &BTreeMap<VersionKey, &Source>, tries: &Tries) -> Standing {
        let key = version.key();
        if under_way.get(&key).is_some_and(|source| source.change(&version.source) == Change::Nothing) {
            return Standing::Loading;
        }
        if tries.rests(&version.name) && self.failures.has(version) {
            return Standing::Resting;
        }
        self.served.get(&key).map_or(Standing::Absent, |from| Standing::Answers(from.change(&version.source)))
    }

    /// Has a wanted version loaded, or as much of it as has changed.
    fn begin(&mut self, key: &VersionKey) {
        let Some(wanted) = self.wanted.get(key).cloned() else { return };
        let is_it = |it: &WantedModel| it.key() == *key && it.source.change(&wanted.source) == Change::Nothing;
        if self.loads.under_way().any(is_it) {
            return;
        }
        let purpose = match self.served.get(key).map(|from| from.change(&wanted.source)) {
            Some(Change::Nothing) => return,
            Some(Change::Labels) => match self.writer.classes(&key.0, key.1) {
                Some(classes) => Purpose::Relabel(classes),
                None => Purpose::Serve,
            },
            Some(Change::Everything) | None => Purpose::Serve,
        };
        self.loads.push(wanted, purpose);
    }

    /// Tries those again that have failed and waited long enough.
    fn try_again(&mut self) {
        for key in self.failures.due(Instant::now()) {
            if self.loads.under_way().all(|under_way| under_way.key() != key) {
                self.writer.announce([&key]);
                self.begin(&key);
            }
        }
    }

    fn start_loads(&mut self) {
        let Self { loads, overlap, writer, wanted, served, watches, ends, .. } = self;
        let failed = loads.start(|version, purpose| {
            if *overlap || purpose != Purpose::Serve {
                return true;
            }
            let (name, number) = (&*version.name, version.version);
            for status in writer.list().iter().filter(|it| &*it.name == name && it.state == ModelState::Available) {
                let key = (name.to_owned(), status.version);
                if status.version == number {
                    writer.make_room(name, status.version);
                } else if !wanted.contains_key(&key) {
                    writer.remove(name, status.version);
                } else {
                    continue;
                }
                tracing::info!(
                    model = name,
                    version = status.version,
                    "unloaded before version {number} is loaded in its place, because [models] overlap is false: requests are \
                     refused until then"
                );
                served.remove(&key);
                watches.end(&key);
            }
            ends.are_freed(name, |key| served.contains_key(key))
        });
        for (wanted, purpose, reason) in failed {
            self.failed(&wanted, purpose, &reason, true);
        }
    }

    fn loaded(&mut self, load: u64, outcome: Result<Made, String>) {
        let Some(loading) = self.loads.ended(load) else {
            // It was left behind and has come after all, too late: its threads end like those of any other.
            if let Ok(Made::Model(loaded)) = outcome {
                let key = (loaded.model.name.to_string(), loaded.model.version);
                self.throw_away(key, *loaded);
            }
            return;
        };
        let (wanted, purpose, steps, took) = loading.end();
        let key = wanted.key();
        let now_wanted = self.wanted.get(&key).map(|now| wanted.source.change(&now.source));
        match (outcome, now_wanted) {
            (Ok(Made::Model(loaded)), Some(_)) => {
                tell_served(&loaded.model.info, &wanted, took, &steps);
                self.serve(*loaded, Some((&wanted, purpose)));
            }
            (Ok(Made::Labels(labels)), Some(_)) => {
                tracing::info!(model = key.0, version = key.1, "its classes have other names now; its sessions stay");
                self.writer.relabel(&key.0, key.1, labels);
                if let Some(from) = self.served.get_mut(&key) {
                    from.source = Some(wanted.source.clone());
                }
                self.failures.forget(&key);
            }
            // Meanwhile nobody wants it any more.
            (Ok(Made::Model(loaded)), None) => self.throw_away(key.clone(), *loaded),
            // What failed is not what is there now, and that is loaded next.
            (Err(_), Some(Change::Labels | Change::Everything)) => {}
            (Err(reason), Some(Change::Nothing)) => self.failed(&wanted, purpose, &reason, true),
            (Ok(Made::Labels(_)) | Err(_), None) => {}
        }
        if matches!(now_wanted, Some(Change::Labels | Change::Everything)) {
            // Its files have changed while it was loaded.
            self.begin(&key);
        } else {
            self.rounds.close(&key);
        }
        self.point_labels(&key.0);
        self.retire_superfluous(&key.0);
    }

    /// Gives up on loads that take too long. They are not tried again: each would leave another thread behind.
    fn leave_behind(&mut self) {
        for (wanted, purpose, reason) in self.loads.leave_behind(Instant::now()) {
            self.failed(&wanted, purpose, &reason, false);
        }
    }

    /// Has those models measured anew that are served at another speed than was measured, or on other cores.
    fn look_at_paces(&mut self) {
        let under_way: BTreeSet<_> = self.loads.under_way().map(WantedModel::key).collect();
        let off = self.watches.look(Instant::now(), || self.loads.cores(), |key| under_way.contains(key));
        self.writer.follow_cores(self.watches.cores());
        for wanted in off {
            self.loads.push(wanted, Purpose::MeasureAnew);
        }
    }

    /// Puts a model in place.
    ///
    /// * `origin`: what it was loaded from and why, where it can be loaded again
    fn serve(&mut self, loaded: LoadedModel, origin: Option<(&WantedModel, Purpose)>) {
        let key = (loaded.model.name.to_string(), loaded.model.version);
        self.next += 1;
        let number = self.next;
        match origin {
            Some((wanted, purpose)) => self.watches.begin(wanted, &loaded, purpose == Purpose::MeasureAnew),
            None => self.watches.end(&key),
        }
        let source = origin.map(|(wanted, _)| wanted.source.clone());
        self.served.insert(key.clone(), ServedFrom { number, source });
        self.failures.forget(&key);
        let retire = self.ends.begin(&key, &self.commands);
        let breakdown = Breakdown { served: number, key, commands: self.commands.clone() };
        loaded.model.batcher.observe(Box::new(breakdown));
        self.writer.serve(loaded, retire);
    }

    /// Ends a model that was loaded and is of no use.
    fn throw_away(&mut self, key: VersionKey, loaded: LoadedModel) {
        drop(self.ends.begin(&key, &self.commands));
        self.ends.end(key, loaded.workers, &self.commands);
    }

    fn retire(&mut self, key: &VersionKey) {
        tracing::info!(model = key.0, version = key.1, "no longer wanted: retired");
        self.writer.remove(&key.0, key.1);
        self.served.remove(key);
        self.watches.end(key);
        self.rounds.close(key);
    }

    /// Earlier versions of a model can go once what takes their place answers.
    fn retire_superfluous(&mut self, model: &str) {
        let of_model = (model.to_owned(), 0)..=(model.to_owned(), u64::MAX);
        for key in superfluous(self.wanted.range(of_model).map(|(_, version)| version), &self.writer.versions(model)) {
            self.retire(&key);
        }
    }

    fn broken(&mut self, served: u64, key: &VersionKey) {
        if self.served.get(key).is_none_or(|from| from.number != served) {
            return;
        }
        self.watches.end(key);
        self.served.remove(key);
        let (name, version) = (&*key.0, key.1);
        let reason = "all of its workers have broken, and the log says how";
        let (reason, next_try) = match self.wanted.get(key).cloned() {
            Some(wanted) => (reason.to_owned(), self.failures.note(&wanted, reason, true, Instant::now())),
            None => (format!("{reason}; restart the server to load it again"), None),
        };
        tracing::error!(model = name, version, "served no more: {reason}");
        self.writer.break_down(name, version, &reason, next_try);
    }

    /// * `again`: whether it is tried again after a while
    fn failed(&mut self, wanted: &WantedModel, purpose: Purpose, reason: &str, again: bool) {
        if purpose == Purpose::MeasureAnew {
            tracing::warn!(
                model = &*wanted.name,
                version = wanted.version,
                "not measured anew, served as before: {reason}"
            );
            self.watches.keep_measured(&wanted.key());
        } else if self.wanted.contains_key(&wanted.key()) {
            self.fail(wanted, reason, again);
        }
        self.rounds.close(&wanted.key());
    }

    fn fail(&mut self, wanted: &WantedModel, reason: &str, again: bool) {
        let (name, version, now) = (&*wanted.name, wanted.version, Instant::now());
        let next_try = self.failures.note(wanted, reason, again && self.retries, now);
        let kept =
            if self.served.contains_key(&wanted.key()) { "its earlier files are served on" } else { "not served" };
        match next_try {
            Some(at) => {
                let next_try_s = (at - now).as_secs();
                tracing::error!(model = name, version, next_try_s, "{kept}: {reason}");
            }
            None => tracing::error!(model = name, version, "{kept}: {reason}"),
        }
        self.writer.fail(name, version, reason, next_try);
    }

    fn close(&mut self, limit: Duration, done: std::sync::mpsc::Sender<Vec<String>>) {
        self.wanted.clear();
        self.loads.retain(|_| false);
        self.failures.retain(|_| false);
        self.watches.clear();
        self.served.clear();
        for status in self.writer.list() {
            self.writer.remove(&status.name, status.version);
        }
        self.rounds.clear();
        self.closing = Some(Closing { deadline: Instant::now().checked_add(limit), done: Some(done) });
    }

    /// Answers whoever closed, as soon as every model is gone or when the time is up. A load is not waited for: it may take
    /// minutes, and nobody will use what it makes.
    fn conclude_closing(&mut self) {
        let loads = self.loads.running().map(|it| format!("loading {}", shown(&it.key())));
        let still_running: Vec<_> = loads.chain(self.ends.still_running()).collect();
        let Some(closing) = &mut self.closing else { return };
        let is_late = closing.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if !self.ends.is_empty() && !is_late {
            return;
        }
        closing.deadline = None;
        if let Some(done) = closing.done.take() {
            // Whoever closed may not wait for the answer.
            let _ = done.send(still_running);
        }
    }

    fn is_done(&self) -> bool {
        self.ends.is_empty() && self.loads.running().next().is_none()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let closing = self.closing.as_ref().and_then(|closing| closing.deadline);
        [self.loads.next_deadline(), closing, self.watches.next_look(), self.failures.next()]
            .into_iter()
            .flatten()
            .min()
    }
}
