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
    closing::Closing,
    command::{Command, Labels, Made, Purpose, Tries},
    decide::{RoundStep, Standing, decide, superfluous},
    demands::Demands,
    ends::shown,
    failures::Failures,
    loader::{LoadModel, LoadOptions},
    loads::{Begin, Loads},
    rounds::Rounds,
    serving::Serving,
    told::tell_served,
    wanted::{Change, Source, VersionKey, WantedModel},
    watch::Watches,
};
use crate::{
    model::LoadedModel,
    service::{ColdCall, RegistryWriter},
};

pub(super) struct Control<L> {
    serving: Serving,
    /// Whether what is replaced is served until the new one can take its place.
    overlap: bool,
    /// Whether what fails is tried again.
    retries: bool,
    /// Where models are loaded when somebody asks for them.
    demands: Option<Demands>,
    /// What the last round asked for.
    wanted: BTreeMap<VersionKey, WantedModel>,
    /// Where it wants labels to point.
    labels: Labels,
    loads: Loads<L>,
    failures: Failures,
    rounds: Rounds,
    closing: Option<Closing>,
}

impl<L: LoadModel> Control<L> {
    pub(super) fn new(writer: RegistryWriter, loader: L, options: LoadOptions, commands: Sender<Command>) -> Self {
        Self {
            serving: Serving::new(writer, Watches::new(options.watch_interval, loader.cores()), commands.clone()),
            overlap: options.overlap,
            retries: options.retries,
            demands: options.on_demand.map(Demands::new),
            wanted: BTreeMap::new(),
            labels: Labels::new(),
            loads: Loads::new(loader, options, commands),
            failures: Failures::default(),
            rounds: Rounds::default(),
            closing: None,
        }
    }

    /// Works until it is told to close and every model is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            self.look_at_paces();
            self.try_again();
            self.start_loads();
            self.rounds.conclude();
            if let Some(closing) = &mut self.closing {
                let loads = self.loads.running().map(|it| format!("loading {}", shown(&it.key())));
                closing.conclude(&self.serving.ends, loads.collect());
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
            Command::Called(call) => self.called(call),
            Command::Cool { model, done } => {
                if let Some(demands) = &self.demands {
                    demands.cool(&model, &mut self.serving, &self.wanted);
                }
                // Whoever asked may have left.
                let _ = done.send(());
            }
            Command::Serve { model, done } => {
                self.serve(model, None);
                // Whoever put it there may have left.
                let _ = done.send(());
            }
            Command::SetReady { done } => {
                self.loads.give_way();
                self.serving.writer.set_ready();
                // Whoever opened the gate may have left.
                let _ = done.send(());
            }
            Command::Loaded { load, outcome } => self.loaded(load, outcome),
            Command::Retired { key, workers } => self.serving.retired(key, workers),
            Command::Broken { served, key } => self.broken(served, &key),
            Command::Freed { end } => self.serving.ends.freed(end),
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
        self.serving.writer.cascades(wanted.iter().filter_map(|it| Some((&*it.name, it.cascade()?))));
        self.serving.writer.share_out(wanted.iter().filter_map(WantedModel::traffic));
        let mut open = BTreeSet::new();
        let steps = {
            let under_way: BTreeMap<_, _> = self.loads.under_way().map(|it| (it.key(), &it.source)).collect();
            decide(&wanted, &self.serving.writer.list(), |version| self.standing(version, &under_way, tries))
        };
        let before = std::mem::take(&mut self.wanted);
        self.wanted = wanted.into_iter().map(|version| (version.key(), version)).collect();
        let to_load = steps.iter().filter_map(|it| if let RoundStep::Load(key) = it { Some(key) } else { None });
        let (cold, to_serve): (Vec<_>, Vec<_>) = to_load.cloned().partition(|key| self.rests_cold(key, tries));
        self.serving.writer.announce(&to_serve);
        let cold: BTreeSet<_> = cold.into_iter().collect();
        if let Some(demands) = &self.demands {
            let is_same = |key: &VersionKey| {
                let pair = before.get(key).zip(self.wanted.get(key));
                pair.is_some_and(|(before, now)| before.source.change(&now.source) == Change::Nothing)
            };
            demands.shelve(&cold, is_same, &mut self.serving);
            // Labels can point at them from now on.
            cold.iter().for_each(|(model, _)| self.point_labels(model));
        }
        self.serving.writer.note_survey();
        self.failures.retain(|key| self.wanted.contains_key(key));
        self.loads.retain(|key| self.wanted.contains_key(key));
        self.serving.retain_sizes(|key| self.wanted.contains_key(key));
        for step in steps {
            match step {
                RoundStep::Load(key) if cold.contains(&key) => {}
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
                    self.serving.writer.settle(&key.0, key.1);
                }
                RoundStep::Retire(key) => self.retire(&key),
            }
        }
        // Whoever waits for what is gone looks for it once more, and it is gone by now.
        if let Some(demands) = &mut self.demands {
            demands.retain(|key| self.wanted.contains_key(key));
        }
        open.extend(self.loads.under_way().map(WantedModel::key).filter(|key| self.wanted.contains_key(key)));
        self.rounds.begin(open, done);
    }

    /// Points the labels of a model where they are to point, as far as that answers.
    fn point_labels(&mut self, model: &str) {
        if let Some(wanted) = self.labels.get(model) {
            self.serving.point_labels(model, wanted);
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
        self.serving.served.get(&key).map_or(Standing::Absent, |from| Standing::Answers(from.change(&version.source)))
    }

    /// Has a wanted version loaded, or as much of it as has changed.
    fn begin(&mut self, key: &VersionKey) {
        let Some(wanted) = self.wanted.get(key).cloned() else { return };
        let is_it = |it: &WantedModel| it.key() == *key && it.source.change(&wanted.source) == Change::Nothing;
        if self.loads.under_way().any(is_it) {
            return;
        }
        let purpose = match self.serving.served.get(key).map(|from| from.change(&wanted.source)) {
            Some(Change::Nothing) => return,
            Some(Change::Labels) => match self.serving.writer.classes(&key.0, key.1) {
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
            if let Some(demands) = self.demands.as_ref().filter(|_| self.rests_cold(&key, &Tries::AtTheirTime)) {
                demands.shelve(&BTreeSet::from([key]), |_| false, &mut self.serving);
            } else if self.loads.under_way().all(|under_way| under_way.key() != key) {
                self.serving.writer.announce([&key]);
                self.begin(&key);
            }
        }
    }

    /// A request waits for a version. Where that has come or gone meanwhile, it is told, or looks again.
    fn called(&mut self, call: ColdCall) {
        let key = (call.model.to_string(), call.version);
        let Some(demands) = self.demands.as_mut().filter(|_| self.wanted.contains_key(&key)) else { return };
        let waits = demands.take(call, &self.serving, self.loads.begun(&key), Instant::now());
        if waits && self.loads.under_way().all(|under_way| under_way.key() != key) {
            self.serving.writer.announce([&key]);
            self.begin(&key);
        }
    }

    /// Whether a version is loaded only when somebody asks for it.
    fn rests_cold(&self, key: &VersionKey, tries: &Tries) -> bool {
        self.demands.as_ref().is_some_and(|demands| demands.rests(key, tries, &self.serving, &self.wanted))
    }

    fn start_loads(&mut self) {
        let now = Instant::now();
        let Self { loads, overlap, serving, wanted, demands, .. } = self;
        let failed = loads.start(|version, purpose, loading| match (purpose, demands.as_mut()) {
            (Purpose::Serve, _) if *overlap && serving.has_earlier(version, wanted) => Begin::BesideEarlier,
            (Purpose::Serve, _) if !*overlap && !serving.unload_before(version, wanted) => Begin::NotYet,
            (Purpose::Serve, Some(demands)) => demands.may_begin(version, serving, wanted, loading, now),
            _ => Begin::Now,
        });
        for (wanted, purpose, reason) in failed {
            self.failed(&wanted, purpose, &reason, true);
        }
        let Self { loads, serving, rounds, demands, .. } = self;
        for key in demands.as_mut().map(|demands| demands.give_up(now, serving)).unwrap_or_default() {
            loads.retain(|other| *other != key);
            rounds.close(&key);
        }
    }

    fn loaded(&mut self, load: u64, outcome: Result<Made, String>) {
        let Some(loading) = self.loads.ended(load) else {
            // It was left behind and has come after all, too late: its threads end like those of any other.
            if let Ok(Made::Model(loaded)) = outcome {
                self.serving.throw_away(*loaded);
            }
            return;
        };
        let (wanted, purpose, steps, took) = loading.end();
        let key = wanted.key();
        let now_wanted = self.wanted.get(&key).map(|now| wanted.source.change(&now.source));
        match (outcome, now_wanted) {
            // It was unloaded while it was measured anew.
            (Ok(Made::Model(loaded)), Some(_))
                if purpose == Purpose::MeasureAnew && self.serving.writer.is_cold(&key.0, key.1) =>
            {
                self.serving.throw_away(*loaded);
            }
            (Ok(Made::Model(loaded)), Some(_)) => {
                match self.demands.as_ref().and_then(|demands| demands.too_large(loaded.bytes)) {
                    Some(reason) => {
                        self.serving.throw_away(*loaded);
                        self.failed(&wanted, purpose, &reason, false);
                    }
                    None => {
                        tell_served(&loaded.model.info, &wanted, took, &steps);
                        self.serve(*loaded, Some((&wanted, purpose)));
                        if let Some(demands) = &mut self.demands {
                            let took = (purpose == Purpose::Serve).then_some(took);
                            demands.came(&key, took, &mut self.serving, &self.wanted);
                        }
                    }
                }
            }
            (Ok(Made::Labels(labels)), Some(_)) => {
                tracing::info!(model = key.0, version = key.1, "its classes have other names now; its sessions stay");
                self.serving.writer.relabel(&key.0, key.1, labels);
                if let Some(from) = self.serving.served.get_mut(&key) {
                    from.source = Some(wanted.source.clone());
                }
                self.failures.forget(&key);
            }
            // Meanwhile nobody wants it any more.
            (Ok(Made::Model(loaded)), None) => self.serving.throw_away(*loaded),
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
        let Self { serving, loads, .. } = self;
        let off = serving.watches.look(Instant::now(), || loads.cores(), |key| under_way.contains(key));
        serving.writer.follow_cores(serving.watches.cores());
        for wanted in off {
            self.loads.push(wanted, Purpose::MeasureAnew);
        }
    }

    /// Puts a model in place.
    ///
    /// * `origin`: what it was loaded from and why, where it can be loaded again
    fn serve(&mut self, loaded: LoadedModel, origin: Option<(&WantedModel, Purpose)>) {
        self.failures.forget(&(loaded.model.name.to_string(), loaded.model.version));
        self.serving.put(loaded, origin);
    }

    fn retire(&mut self, key: &VersionKey) {
        tracing::info!(model = key.0, version = key.1, "no longer wanted: retired");
        self.serving.take_away(key);
        self.rounds.close(key);
    }

    /// Earlier versions of a model can go once what takes their place answers.
    fn retire_superfluous(&mut self, model: &str) {
        let of_model = (model.to_owned(), 0)..=(model.to_owned(), u64::MAX);
        for key in
            superfluous(self.wanted.range(of_model).map(|(_, version)| version), &self.serving.writer.versions(model))
        {
            self.retire(&key);
        }
    }

    fn broken(&mut self, served: u64, key: &VersionKey) {
        if !self.serving.lost(served, key) {
            return;
        }
        let (name, version) = (&*key.0, key.1);
        let reason = "all of its workers have broken, and the log says how";
        let (reason, next_try) = match self.wanted.get(key).cloned() {
            Some(wanted) => (reason.to_owned(), self.failures.note(&wanted, reason, true, Instant::now())),
            None => (format!("{reason}; restart the server to load it again"), None),
        };
        tracing::error!(model = name, version, "served no more: {reason}");
        self.serving.writer.break_down(name, version, &reason, next_try);
    }

    /// * `again`: whether it is tried again after a while
    fn failed(&mut self, wanted: &WantedModel, purpose: Purpose, reason: &str, again: bool) {
        if purpose == Purpose::MeasureAnew {
            tracing::warn!(
                model = &*wanted.name,
                version = wanted.version,
                "not measured anew, served as before: {reason}"
            );
            self.serving.watches.keep_measured(&wanted.key());
        } else if self.wanted.contains_key(&wanted.key()) {
            self.fail(wanted, reason, again);
        }
        self.rounds.close(&wanted.key());
    }

    fn fail(&mut self, wanted: &WantedModel, reason: &str, again: bool) {
        let (name, version, now) = (&*wanted.name, wanted.version, Instant::now());
        let next_try = self.failures.note(wanted, reason, again && self.retries, now);
        let kept = if self.serving.served.contains_key(&wanted.key()) {
            "its earlier files are served on"
        } else {
            "not served"
        };
        match next_try {
            Some(at) => {
                let next_try_s = (at - now).as_secs();
                tracing::error!(model = name, version, next_try_s, "{kept}: {reason}");
            }
            None => tracing::error!(model = name, version, "{kept}: {reason}"),
        }
        self.serving.writer.fail(name, version, reason, next_try);
        if let Some(demands) = &mut self.demands {
            demands.callers.let_go(&wanted.key());
        }
    }

    fn close(&mut self, limit: Duration, done: std::sync::mpsc::Sender<Vec<String>>) {
        self.wanted.clear();
        self.loads.retain(|_| false);
        self.failures.retain(|_| false);
        self.demands = None;
        self.serving.clear();
        self.rounds.clear();
        self.closing = Some(Closing::new(Instant::now().checked_add(limit), done));
    }

    fn is_done(&self) -> bool {
        self.serving.ends.is_empty() && self.loads.running().next().is_none()
    }

    fn next_deadline(&self) -> Option<Instant> {
        let closing = self.closing.as_ref().and_then(Closing::deadline);
        let room = self.demands.as_ref().and_then(|demands| demands.next_look(Instant::now()));
        [self.loads.next_deadline(), closing, self.serving.watches.next_look(), self.failures.next(), room]
            .into_iter()
            .flatten()
            .min()
    }
}
