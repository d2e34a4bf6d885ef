//! Loads: those that wait, and those that run, each on a thread of its own that may be left behind.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, mpsc::Sender},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use super::{
    command::{Command, Made, Purpose, give},
    loader::{LoadModel, LoadOptions},
    wanted::{VersionKey, WantedModel},
};
use crate::{model::LoadSteps, runtime::caught};

/// A load that runs.
pub(super) struct Loading {
    pub(super) wanted: WantedModel,
    pub(super) purpose: Purpose,
    pub(super) steps: Arc<LoadSteps>,
    since: Instant,
    thread: JoinHandle<()>,
}

impl Loading {
    /// How long it has taken; its thread has nothing left to do.
    pub(super) fn end(self) -> (WantedModel, Purpose, Arc<LoadSteps>, Duration) {
        let took = self.since.elapsed();
        let _ = self.thread.join();
        (self.wanted, self.purpose, self.steps, took)
    }
}

/// Whether a load may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Begin {
    /// It keeps its place.
    NotYet,
    Now,
    /// Now, while an earlier version of the model goes on being served.
    BesideEarlier,
    /// It cannot, for this reason.
    Never(String),
}

/// A load that did not begin.
pub(super) type NotBegun = (WantedModel, Purpose, String);

pub(super) struct Loads<L> {
    loader: Arc<L>,
    options: LoadOptions,
    commands: Sender<Command>,
    waiting: VecDeque<(WantedModel, Purpose)>,
    running: BTreeMap<u64, Loading>,
    beside_traffic: bool,
    next: u64,
}

impl<L: LoadModel> Loads<L> {
    pub(super) fn new(loader: L, options: LoadOptions, commands: Sender<Command>) -> Self {
        Self {
            loader: Arc::new(loader),
            options,
            commands,
            waiting: VecDeque::new(),
            running: BTreeMap::new(),
            beside_traffic: false,
            next: 0,
        }
    }

    /// The cores that models may use now.
    pub(super) fn cores(&self) -> usize {
        self.loader.cores()
    }

    /// Traffic comes from now on, and what is loaded gives way to it.
    pub(super) fn give_way(&mut self) {
        self.beside_traffic = true;
    }

    /// Puts a load behind those that wait, in place of one of the same version.
    pub(super) fn push(&mut self, wanted: WantedModel, purpose: Purpose) {
        self.waiting.retain(|(earlier, _)| earlier.key() != wanted.key());
        self.waiting.push_back((wanted, purpose));
    }

    /// Forgets those that wait and that nobody wants any more.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(&VersionKey) -> bool) {
        self.waiting.retain(|(wanted, _)| is_wanted(&wanted.key()));
    }

    /// The loads that run or wait.
    pub(super) fn under_way(&self) -> impl Iterator<Item = &WantedModel> {
        let running = self.running.values().map(|loading| &loading.wanted);
        running.chain(self.waiting.iter().map(|(wanted, _)| wanted))
    }

    /// The loads that run.
    pub(super) fn running(&self) -> impl Iterator<Item = &WantedModel> {
        self.running.values().map(|loading| &loading.wanted)
    }

    /// What is being loaded to be served.
    fn loading(&self) -> Vec<VersionKey> {
        let loading = self.running.values().filter(|loading| loading.purpose == Purpose::Serve);
        loading.map(|loading| loading.wanted.key()).collect()
    }

    /// When the load of a version began that runs.
    pub(super) fn begun(&self, key: &VersionKey) -> Option<Instant> {
        self.running.values().find(|loading| loading.wanted.key() == *key).map(|loading| loading.since)
    }

    /// Begins as many of those that wait as may run.
    ///
    /// * `may_begin`: what is not ready to be loaded keeps its place; is told what is being loaded
    pub(super) fn start(
        &mut self,
        mut may_begin: impl FnMut(&WantedModel, Purpose, &[VersionKey]) -> Begin,
    ) -> Vec<NotBegun> {
        let threads =
            if self.beside_traffic { self.options.threads_beside_traffic } else { self.options.threads }.max(1);
        let (mut held_back, mut failed) = (VecDeque::new(), Vec::new());
        while self.running.len() < threads
            && let Some((wanted, purpose)) = self.waiting.pop_front()
        {
            let is_running = self.running.values().any(|loading| loading.wanted.key() == wanted.key());
            let begin = if is_running { Begin::NotYet } else { may_begin(&wanted, purpose, &self.loading()) };
            match begin {
                Begin::Now | Begin::BesideEarlier => {}
                Begin::NotYet => {
                    held_back.push_back((wanted, purpose));
                    continue;
                }
                Begin::Never(reason) => {
                    failed.push((wanted, purpose, reason));
                    continue;
                }
            }
            let (name, version) = (&*wanted.name, wanted.version);
            tracing::info!(model = name, version, "loading");
            let steps = match self.beside_traffic {
                true => LoadSteps::beside_traffic(name, version),
                false => LoadSteps::new(name, version),
            };
            let steps = Arc::new(if begin == Begin::BesideEarlier { steps.beside_earlier() } else { steps });
            self.next += 1;
            match self.spawn(self.next, &wanted, purpose, &steps) {
                Ok(thread) => {
                    let loading = Loading { wanted, purpose, steps, since: Instant::now(), thread };
                    self.running.insert(self.next, loading);
                }
                Err(error) => {
                    failed.push((wanted, purpose, format!("the system gives no thread to load it: {error}")));
                }
            }
        }
        held_back.append(&mut self.waiting);
        self.waiting = held_back;
        failed
    }

    fn spawn(
        &self,
        load: u64,
        wanted: &WantedModel,
        purpose: Purpose,
        steps: &Arc<LoadSteps>,
    ) -> std::io::Result<JoinHandle<()>> {
        let (loader, commands, ours) = (self.loader.clone(), self.commands.clone(), wanted.clone());
        let told = steps.clone();
        std::thread::Builder::new().name(format!("load {}", wanted.name)).spawn(move || {
            let model = |loaded| Made::Model(Box::new(loaded));
            let outcome = caught(|| match purpose {
                Purpose::Serve => loader.load(&ours, &told).map(model),
                Purpose::MeasureAnew => loader.measure_anew(&ours, &told).map(model),
                Purpose::Relabel(classes) => loader.labels(&ours, classes).map(Made::Labels),
            });
            told.end();
            let outcome = outcome.unwrap_or_else(|reason| Err(format!("loading it panicked: {reason}")));
            give(&commands, Command::Loaded { load, outcome });
        })
    }

    /// A load has come to an end; `None` where it was left behind before.
    pub(super) fn ended(&mut self, load: u64) -> Option<Loading> {
        self.running.remove(&load)
    }

    /// Gives up on loads that take too long: what they were for, and why.
    pub(super) fn leave_behind(&mut self, now: Instant) -> Vec<NotBegun> {
        let limit = self.options.time_limit;
        let late = self.running.extract_if(.., |_, loading| now.saturating_duration_since(loading.since) >= limit);
        late.map(|(_, Loading { wanted, purpose, steps, .. })| {
            let step = steps.now().map(|(step, time)| format!(", {} for {:.1} s", step.name(), time.as_secs_f32()));
            let reason = format!(
                "loading it takes more than {} s{}: it is left behind on its thread; check the graph for a loop without \
                 end, or raise [models] load_timeout_ms",
                limit.as_secs_f32(),
                step.unwrap_or_default()
            );
            (wanted, purpose, reason)
        })
        .collect()
    }

    /// When the next load takes too long.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.running.values().filter_map(|loading| loading.since.checked_add(self.options.time_limit)).min()
    }
}
