//! The control task: one thread that alone changes the registry, starts every load and ends every model.
//!
//! It waits for commands and never for anything else: a load runs on a thread of its own, so does the end of a model, which
//! has to wait for its last run. A load that panics has failed; one that does not end in time has failed too, and its
//! thread is left behind, because nobody can end a thread that is inside the engine.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SendError, Sender},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{
    decide::{RoundStep, decide},
    loader::{LoadModel, LoadOptions},
    told::tell_served,
    wanted::{VersionKey, WantedModel},
    watch::Watches,
};
use crate::{
    batching::{WorkerObserver, Workers},
    model::{LoadSteps, LoadedModel},
    runtime::caught,
    service::{RegistryWriter, Retire},
};

/// What the control task is told.
pub(super) enum Command {
    /// Make this what is served; say so when every load of it has ended.
    Apply { wanted: Vec<WantedModel>, done: oneshot::Sender<()> },
    /// Put a model in place.
    Serve { model: LoadedModel, done: oneshot::Sender<()> },
    /// Traffic may come.
    SetReady { done: oneshot::Sender<()> },
    /// A load has ended. `load` tells it from an earlier one of the same version that was left behind.
    Loaded { load: u64, outcome: Result<LoadedModel, String> },
    /// Nobody uses a model any more.
    Retired { name: String, workers: Workers },
    /// Every worker of a model has broken. `served` tells it from another one that took its place.
    Broken { served: u64, key: VersionKey },
    /// Its threads are gone.
    Freed { end: u64 },
    /// Retire everything, and end; say what still runs when the models are gone, or after `limit`.
    Close { limit: Duration, done: std::sync::mpsc::Sender<Vec<String>> },
}

/// A load that runs.
struct Loading {
    wanted: WantedModel,
    purpose: Purpose,
    since: Instant,
    steps: Arc<LoadSteps>,
    thread: JoinHandle<()>,
}

/// Why a version is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// A round wants it.
    Serve,
    /// It is served, and at another speed than was measured. Whatever comes of it, it goes on being served.
    MeasureAnew,
}

/// Whoever waits for a round, and the versions that it still waits for.
struct Round {
    open: BTreeSet<VersionKey>,
    done: oneshot::Sender<()>,
}

struct Closing {
    deadline: Option<Instant>,
    /// Until it was answered.
    done: Option<std::sync::mpsc::Sender<Vec<String>>>,
}

pub(super) struct Control<L> {
    writer: RegistryWriter,
    loader: Arc<L>,
    options: LoadOptions,
    commands: Sender<Command>,
    /// What the last round asked for.
    wanted: BTreeSet<VersionKey>,
    waiting: VecDeque<(WantedModel, Purpose)>,
    loading: BTreeMap<u64, Loading>,
    rounds: Vec<Round>,
    /// The number of each model that is served.
    served: BTreeMap<VersionKey, u64>,
    watches: Watches,
    /// Models whose threads are not gone yet, served or retired.
    alive: usize,
    /// The threads that wait for a model's last run.
    ending: BTreeMap<u64, (String, JoinHandle<()>)>,
    closing: Option<Closing>,
    next: u64,
}

impl<L: LoadModel> Control<L> {
    pub(super) fn new(writer: RegistryWriter, loader: L, options: LoadOptions, commands: Sender<Command>) -> Self {
        Self {
            writer,
            loader: Arc::new(loader),
            options: LoadOptions { threads: options.threads.max(1), ..options },
            commands,
            wanted: BTreeSet::new(),
            waiting: VecDeque::new(),
            loading: BTreeMap::new(),
            rounds: Vec::new(),
            served: BTreeMap::new(),
            watches: Watches::new(options.watch_interval),
            alive: 0,
            ending: BTreeMap::new(),
            closing: None,
            next: 0,
        }
    }

    /// Works until it is told to close and every model is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Command>) {
        loop {
            self.look_at_paces();
            self.start_loads();
            self.conclude_rounds();
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
            Command::Apply { wanted, done } => self.apply(wanted, done),
            Command::Serve { model, done } => {
                self.serve(model, None);
                // Whoever put it there may have left.
                let _ = done.send(());
            }
            Command::SetReady { done } => {
                self.writer.set_ready();
                // Whoever opened the gate may have left.
                let _ = done.send(());
            }
            Command::Loaded { load, outcome } => self.loaded(load, outcome),
            Command::Retired { name, workers } => self.end(name, workers),
            Command::Broken { served, key } => self.broken(served, &key),
            Command::Freed { end } => {
                self.alive -= 1;
                if let Some((_, thread)) = self.ending.remove(&end) {
                    let _ = thread.join();
                }
            }
            Command::Close { limit, done } => self.close(limit, done),
        }
    }

    fn apply(&mut self, wanted: Vec<WantedModel>, done: oneshot::Sender<()>) {
        if self.closing.is_some() {
            return;
        }
        for wanted in &wanted {
            self.writer.label(&wanted.name, &wanted.labels());
        }
        let loading = self.loading.values().map(|loading| loading.wanted.key()).collect();
        let mut open = BTreeSet::new();
        for step in decide(&wanted, &self.writer.list(), &loading, |_| false) {
            match step {
                RoundStep::Load(key) => {
                    self.writer.announce(&key.0, key.1);
                    open.insert(key);
                }
                RoundStep::Fail((name, version), reason) => self.fail(&name, version, &reason),
                RoundStep::Retire((name, version)) => {
                    tracing::info!(model = name, version, "no longer wanted: retired");
                    self.writer.remove(&name, version);
                    self.watches.end(&(name.clone(), version));
                    self.close_in_rounds(&(name, version));
                }
            }
        }
        self.wanted = wanted.iter().map(WantedModel::key).collect();
        // A later round's wish replaces an earlier one that nobody has begun with.
        self.waiting.retain(|(earlier, _)| {
            wanted.iter().any(|now| now.key() == earlier.key()) && !open.contains(&earlier.key())
        });
        let to_load = wanted.into_iter().filter(|version| open.contains(&version.key()));
        self.waiting.extend(to_load.map(|version| (version, Purpose::Serve)));
        self.rounds.push(Round { open: &open | &loading, done });
    }

    fn start_loads(&mut self) {
        while self.loading.len() < self.options.threads
            && let Some((wanted, purpose)) = self.waiting.pop_front()
        {
            let load = self.number();
            let (loader, commands, ours) = (self.loader.clone(), self.commands.clone(), wanted.clone());
            let steps = Arc::new(LoadSteps::new(&wanted.name, wanted.version));
            let told = steps.clone();
            tracing::info!(model = &*wanted.name, version = wanted.version, "loading");
            let thread = std::thread::Builder::new().name(format!("load {}", wanted.name)).spawn(move || {
                let outcome = caught(|| match purpose {
                    Purpose::Serve => loader.load(&ours, &told),
                    Purpose::MeasureAnew => loader.measure_anew(&ours, &told),
                });
                told.end();
                let outcome = outcome.unwrap_or_else(|reason| Err(format!("loading it panicked: {reason}")));
                give(&commands, Command::Loaded { load, outcome });
            });
            match thread {
                Ok(thread) => {
                    self.loading.insert(load, Loading { wanted, purpose, since: Instant::now(), steps, thread });
                }
                Err(error) => {
                    self.failed(&wanted, purpose, &format!("the system gives no thread to load it: {error}"));
                    self.close_in_rounds(&wanted.key());
                }
            }
        }
    }

    fn loaded(&mut self, load: u64, outcome: Result<LoadedModel, String>) {
        let Some(Loading { wanted, purpose, since, steps, thread }) = self.loading.remove(&load) else {
            // It was left behind and has come after all, too late: its threads end like those of any other.
            if let Ok(LoadedModel { model, workers, .. }) = outcome {
                self.alive += 1;
                self.end(format!("{} version {}", model.name, model.version), workers);
            }
            return;
        };
        let _ = thread.join();
        match outcome {
            Ok(loaded) if self.wanted.contains(&wanted.key()) => {
                tell_served(&loaded.model.info, &wanted, since.elapsed(), &steps);
                self.serve(loaded, Some((&wanted, purpose)));
            }
            // Meanwhile nobody wants it any more.
            Ok(LoadedModel { workers, .. }) => {
                self.alive += 1;
                self.end(format!("{} version {}", wanted.name, wanted.version), workers);
            }
            Err(reason) if self.wanted.contains(&wanted.key()) => self.failed(&wanted, purpose, &reason),
            Err(_) => {}
        }
        self.close_in_rounds(&wanted.key());
    }

    /// Gives up on loads that take too long.
    fn leave_behind(&mut self) {
        let limit = self.options.time_limit;
        let late: Vec<u64> = self
            .loading
            .iter()
            .filter(|(_, loading)| loading.since.elapsed() >= limit)
            .map(|(load, _)| *load)
            .collect();
        for load in late {
            if let Some(Loading { wanted, purpose, steps, .. }) = self.loading.remove(&load) {
                let step = steps.now().map(|(step, time)| format!(", {} for {:.1} s", step.name(), time.as_secs_f32()));
                let reason = format!(
                    "loading it takes more than {} s{}: it is left behind on its thread; check the graph for a loop without \
                     end, or raise [models] load_timeout_ms",
                    limit.as_secs_f32(),
                    step.unwrap_or_default()
                );
                self.failed(&wanted, purpose, &reason);
                self.close_in_rounds(&wanted.key());
            }
        }
    }

    /// Has those models measured anew that are served at another speed than was measured.
    fn look_at_paces(&mut self) {
        let loading = self.loading.values().map(|loading| &loading.wanted);
        let under_way: BTreeSet<_> = loading.chain(self.waiting.iter().map(|it| &it.0)).map(WantedModel::key).collect();
        let off = self.watches.look(Instant::now(), |key| under_way.contains(key));
        self.waiting.extend(off.into_iter().map(|wanted| (wanted, Purpose::MeasureAnew)));
    }

    /// Puts a model in place.
    ///
    /// * `origin`: what it was loaded from and why, where it can be loaded again
    fn serve(&mut self, loaded: LoadedModel, origin: Option<(&WantedModel, Purpose)>) {
        self.alive += 1;
        let (served, key) = (self.number(), (loaded.model.name.to_string(), loaded.model.version));
        match origin {
            Some((wanted, purpose)) => self.watches.begin(wanted, &loaded, purpose == Purpose::MeasureAnew),
            None => self.watches.end(&key),
        }
        let name = format!("{} version {}", key.0, key.1);
        let commands = self.commands.clone();
        self.served.insert(key.clone(), served);
        loaded.model.batcher.observe(Box::new(Breakdown { served, key, commands: commands.clone() }));
        let retire: Retire = Arc::new(move |workers| {
            give(&commands, Command::Retired { name: name.clone(), workers });
        });
        self.writer.serve(loaded, retire);
    }

    fn broken(&mut self, served: u64, key: &VersionKey) {
        if self.served.get(key) == Some(&served) {
            self.watches.end(key);
            let (name, version) = (&*key.0, key.1);
            let reason = "all of its workers have broken, and the log says how; restart the server to load it again";
            tracing::error!(model = name, version, "served no more: {reason}");
            self.writer.break_down(name, version, reason);
        }
    }

    fn failed(&mut self, wanted: &WantedModel, purpose: Purpose, reason: &str) {
        if purpose == Purpose::Serve {
            return self.fail(&wanted.name, wanted.version, reason);
        }
        tracing::warn!(
            model = &*wanted.name,
            version = wanted.version,
            "not measured anew, served as before: {reason}"
        );
        self.watches.keep_measured(&wanted.key());
    }

    fn fail(&mut self, name: &str, version: u64, reason: &str) {
        tracing::error!(model = name, version, "not served: {reason}");
        self.writer.fail(name, version, reason);
    }

    /// Waits for a model's last run and frees it, on a thread that does nothing else.
    fn end(&mut self, name: String, workers: Workers) {
        let end = self.number();
        let commands = self.commands.clone();
        let thread = std::thread::Builder::new().name("free a model".to_owned()).spawn(move || {
            workers.close();
            give(&commands, Command::Freed { end });
        });
        match thread {
            Ok(thread) => {
                self.ending.insert(end, (name, thread));
            }
            // The closure is gone, and the model with it: it was freed here.
            Err(error) => {
                tracing::warn!(model = name, %error, "no thread to free it on");
                self.alive -= 1;
            }
        }
    }

    fn close(&mut self, limit: Duration, done: std::sync::mpsc::Sender<Vec<String>>) {
        self.waiting.clear();
        self.wanted.clear();
        self.watches.clear();
        for status in self.writer.list() {
            self.writer.remove(&status.name, status.version);
        }
        self.rounds.clear();
        self.closing = Some(Closing { deadline: Instant::now().checked_add(limit), done: Some(done) });
    }

    /// Answers whoever closed, as soon as every model is gone or when the time is up. A load is not waited for: it may take
    /// minutes, and nobody will use what it makes.
    fn conclude_closing(&mut self) {
        let still_running = self.still_running();
        let Some(closing) = &mut self.closing else { return };
        let is_late = closing.deadline.is_some_and(|deadline| deadline <= Instant::now());
        if self.alive > 0 && !is_late {
            return;
        }
        closing.deadline = None;
        if let Some(done) = closing.done.take() {
            // Whoever closed may not wait for the answer.
            let _ = done.send(still_running);
        }
    }

    fn is_done(&self) -> bool {
        self.alive == 0 && self.loading.is_empty()
    }

    fn still_running(&self) -> Vec<String> {
        let loads = self.loading.values().map(|it| format!("loading {} version {}", it.wanted.name, it.wanted.version));
        let ends = self.ending.values().map(|(name, _)| name.clone());
        let mut running: Vec<_> = loads.chain(ends).collect();
        let used = self.alive.saturating_sub(self.ending.len());
        if used > 0 {
            running.push(format!("{used} models that requests still use"));
        }
        running
    }

    fn close_in_rounds(&mut self, key: &VersionKey) {
        for round in &mut self.rounds {
            round.open.remove(key);
        }
    }

    fn conclude_rounds(&mut self) {
        for round in self.rounds.extract_if(.., |round| round.open.is_empty()) {
            // Whoever began the round may not wait for its end.
            let _ = round.done.send(());
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        let loads = self.loading.values().filter_map(|loading| loading.since.checked_add(self.options.time_limit));
        loads.chain(self.closing.as_ref().and_then(|closing| closing.deadline)).chain(self.watches.next_look()).min()
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

/// Tells the control task when a model's last worker is gone.
struct Breakdown {
    served: u64,
    key: VersionKey,
    commands: Sender<Command>,
}

impl WorkerObserver for Breakdown {
    fn gone(&self) {
        give(&self.commands, Command::Broken { served: self.served, key: self.key.clone() });
    }
}

/// Tells the control task. Where it is gone, the process is about to leave, and what it would have ended is left to the
/// system: freeing a model here would wait for its last run, on whatever thread this is.
fn give(commands: &Sender<Command>, command: Command) {
    if let Err(SendError(command)) = commands.send(command) {
        std::mem::forget(command);
    }
}
