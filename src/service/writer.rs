//! The one writer of what is served: each change is a new snapshot, and whoever has the old one keeps it.
//!
//! Only the control task of `lifecycle` has it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    CascadeRule, Readiness, Target,
    cascade::{self, Cascade, FirstStanding},
    claims::Claims,
    cold::{Cold, ColdCall},
    decoders::Decoders,
    failure::LoadFailure,
    last_use::LastUse,
    registry::{Registry, Snapshot, VersionEntry},
    served::{Retire, Served, Sessions, next_number},
    traffic::Traffic,
};
use crate::{
    batching::{FinishedRun, WorkerObserver},
    model::{LoadedModel, ModelStatus, TrafficSection},
    telemetry::{Metrics, ModelMetrics},
};

/// Why a version is not loaded that nobody has asked for yet.
const NOT_LOADED_YET: &str = "not loaded yet: the first request loads it";

/// The only way to change what is served. Each change is a new snapshot; whoever has the old one keeps it.
pub struct RegistryWriter {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    decoders: Decoders,
    decoders_follow_cores: bool,
}

impl RegistryWriter {
    /// * `decoders_follow_cores`: nobody has said how many threads decode
    pub(super) fn new(
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        decoders: Decoders,
        decoders_follow_cores: bool,
    ) -> Self {
        Self { registry, metrics, decoders, decoders_follow_cores }
    }

    /// The process may use so many cores now. To be called now and then though nothing has changed: threads that are too many end
    /// with what they do.
    pub fn follow_cores(&self, cores: usize) {
        if self.decoders_follow_cores {
            self.decoders.resize(cores);
        }
    }

    /// Announces versions that are about to be loaded, so that clients are told "loading" and not "unknown". One that answers already
    /// goes on answering.
    pub fn announce<'k>(&mut self, versions: impl IntoIterator<Item = &'k (String, u64)>) {
        self.change(|models| {
            for (name, version) in versions {
                let versions = match models.get_mut(&**name) {
                    Some(versions) => versions,
                    None => models.entry(name.as_str().into()).or_default(),
                };
                let entry = versions.entry(*version).or_insert(VersionEntry::Loading);
                match entry {
                    VersionEntry::Failed(_) => *entry = VersionEntry::Loading,
                    // Requests go on waiting for it.
                    VersionEntry::Cold(cold) => Arc::make_mut(cold).reason = "it is being loaded".into(),
                    VersionEntry::Loading | VersionEntry::Available(..) => {}
                }
            }
        });
    }

    /// Lists versions that are loaded when somebody asks for them; one that answers goes on answering.
    ///
    /// * `versions`: each with how long its load takes, where that is known
    pub fn shelve<'k>(&mut self, versions: impl IntoIterator<Item = (&'k (String, u64), Option<Duration>)>) {
        self.change(|models| {
            for ((name, version), expected) in versions {
                let versions = match models.get_mut(&**name) {
                    Some(versions) => versions,
                    None => models.entry(name.as_str().into()).or_default(),
                };
                match versions.entry(*version).or_insert(VersionEntry::Loading) {
                    VersionEntry::Available(..) => {}
                    // Whoever waits for it is counted on.
                    VersionEntry::Cold(cold) => {
                        let cold = Arc::make_mut(cold);
                        (cold.reason, cold.info) = (NOT_LOADED_YET.into(), None);
                    }
                    entry => *entry = VersionEntry::Cold(Arc::new(Cold::new(NOT_LOADED_YET, None, expected))),
                }
            }
        });
        self.turn(Readiness::Broken, Readiness::Ready);
    }

    /// Serves a version no more until somebody asks for it; what is in flight is answered. Of one that is not loaded, only the reason is
    /// another one.
    ///
    /// * `reason`: why, and what loads it again
    /// * `expected`: how long that takes, where it is known
    pub fn cool(&mut self, name: &str, version: u64, reason: &str, expected: Option<Duration>) {
        self.change(|models| match models.get_mut(name).and_then(|versions| versions.get_mut(&version)) {
            Some(VersionEntry::Cold(cold)) => Arc::make_mut(cold).reason = reason.into(),
            Some(entry @ VersionEntry::Available(..)) => {
                let info = entry.available().map(|served| served.model.info.clone());
                *entry = VersionEntry::Cold(Arc::new(Cold::new(reason, info, expected)));
            }
            Some(VersionEntry::Loading | VersionEntry::Failed(_)) | None => {}
        });
    }

    /// Counts a version that makes room for another model.
    pub fn note_eviction(&self, name: &str, version: u64) {
        self.metrics.events().note_eviction(name, version);
    }

    /// Whether a version is loaded when somebody asks for it, and is not now.
    pub fn is_cold(&self, name: &str, version: u64) -> bool {
        let current = self.registry.current();
        let entry = current.models.get(name).and_then(|versions| versions.get(&version));
        matches!(entry, Some(VersionEntry::Cold(_)))
    }

    /// From now on requests for versions that are not loaded call this.
    pub fn load_on_demand(&mut self, take_call: impl Fn(ColdCall) + Send + Sync + 'static) {
        // There is one control task, and it says so once.
        let _ = self.registry.loads.set(Box::new(take_call));
    }

    /// A version that answers, for a request that waits for it.
    pub fn target(&self, name: &str, version: u64) -> Option<Target> {
        let current = self.registry.current();
        let served = current.models.get(name)?.get(&version)?.available()?.clone();
        Some(Target { served, course: None, cascade: None, caller: None })
    }

    /// When a version that answers was used last, and whether a request uses it now.
    pub fn usage(&self, name: &str, version: u64) -> Option<(Instant, bool)> {
        let current = self.registry.current();
        let served = current.models.get(name)?.get(&version)?.available()?;
        // The current snapshot has it, also in the ways of its traffic, and whoever has it beside that uses it. An earlier snapshot that somebody looks at in this moment
        // looks like use, too.
        let holds = 1 + current.ways.get(name).map_or(0, |ways| ways.holds(served));
        let is_used = Arc::strong_count(served) > holds || Arc::strong_count(&served.sessions) > 1;
        Some((served.last_use.at(), is_used))
    }

    /// Points the labels of a model at its versions from now on, and forgets those that it had. Nothing is loaded for it.
    pub fn label(&mut self, name: &str, labels: &BTreeMap<String, u64>) {
        if self.registry.current().labels.get(name).map_or(labels.is_empty(), |current| current == labels) {
            return;
        }
        self.replace(|next| {
            if labels.is_empty() {
                next.labels.remove(name);
            } else {
                next.labels.insert(name.into(), labels.clone());
            }
        });
    }

    /// Where the labels of a model point.
    pub fn labels(&self, name: &str) -> BTreeMap<String, u64> {
        self.registry.current().labels.get(name).cloned().unwrap_or_default()
    }

    /// Has the requests that name no version of these models follow a cascade from now on, or none. Nothing is loaded for it.
    pub fn cascades<'n>(&mut self, rules: impl IntoIterator<Item = (&'n str, Option<CascadeRule>)>) {
        rules.into_iter().for_each(|(name, rule)| self.cascade(name, rule));
    }

    fn cascade(&mut self, name: &str, rule: Option<CascadeRule>) {
        if self.registry.current().cascades.get(name).map(|cascade| &cascade.rule) == rule.as_ref() {
            return;
        }
        let name: Arc<str> = name.into();
        let cascade = rule.map(|rule| {
            let metrics = Arc::new(self.metrics.traffic().cascades.of(&name, &rule.first));
            Arc::new(Cascade { rule, metrics, standing: FirstStanding::Missing })
        });
        self.replace(|next| match cascade {
            Some(cascade) => drop(next.cascades.insert(name, cascade)),
            None => drop(next.cascades.remove(&name)),
        });
    }

    /// Shares the requests of these models out among their versions so from now on. Where that is how it is done already, nothing begins
    /// anew.
    pub fn share_out<'s>(&mut self, sections: impl IntoIterator<Item = (&'s str, &'s TrafficSection)>) {
        for (name, section) in sections {
            let is_so = match self.registry.current().traffic.get(name) {
                Some(traffic) => traffic.section() == section,
                None => section.is_empty(),
            };
            if is_so {
                continue;
            }
            self.replace(|next| {
                if section.is_empty() {
                    next.traffic.remove(name);
                } else {
                    next.traffic.insert(name.into(), Arc::new(Traffic::new(section)));
                }
            });
        }
    }

    /// Serves a model from now on, in the place of what had its name and version.
    ///
    /// * `retire`: called once, when the model is no longer served and the last request that uses it is answered
    pub fn serve(&mut self, LoadedModel { model, workers, .. }: LoadedModel, retire: Retire) {
        let info = &model.info;
        let metrics = self.metrics.model(&model.name, model.version, &info.labels, info.max_batch_size);
        let metrics = Arc::new(metrics);
        model.batcher.observe(Box::new(Counting(metrics.clone())));
        let (name, version) = (model.name.clone(), model.version);
        self.metrics.events().note_load(&name, version);
        let decoding = self.decoders.share();
        let sessions = Arc::new(Sessions::new(workers, retire));
        let claims = Arc::new(Claims::new(self.decoders.threads()));
        let number = next_number();
        let last_use = LastUse::new(Instant::now());
        let served = Arc::new(Served { number, model, metrics, decoding, claims, last_use, sessions });
        self.change(|models| {
            models.entry(name).or_default().insert(version, VersionEntry::Available(served, None));
        });
        self.turn(Readiness::Broken, Readiness::Ready);
    }

    /// Gives the classes of a version that answers other names; its sessions stay. Counts of classes keep the names that they had.
    ///
    /// * `labels`: one a class
    pub fn relabel(&mut self, name: &str, version: u64, labels: Arc<[Arc<str>]>) {
        self.change(|models| {
            if let Some(VersionEntry::Available(served, failure)) =
                models.get_mut(name).and_then(|it| it.get_mut(&version))
            {
                let model = served.model.relabelled(labels);
                let (metrics, sessions) = (served.metrics.clone(), served.sessions.clone());
                let (decoding, claims) = (served.decoding.clone(), served.claims.clone());
                // Its rows are what they were, under other names.
                let (number, last_use) = (served.number, served.last_use.clone());
                *served = Arc::new(Served { number, model, metrics, decoding, claims, last_use, sessions });
                *failure = None;
            }
        });
    }

    /// Serves a version no more that cannot answer any longer, and says why. Where it was the last one, no traffic should
    /// come.
    ///
    /// * `next_try`: when it is loaded again
    pub fn break_down(&mut self, name: &str, version: u64, reason: &str, next_try: Option<Instant>) {
        self.change(|models| {
            if let Some(entry) = models.get_mut(name).and_then(|versions| versions.get_mut(&version)) {
                *entry = VersionEntry::Failed(Arc::new(LoadFailure::new(reason, next_try)));
            }
        });
        if !self.registry.current().has_any() {
            self.turn(Readiness::Ready, Readiness::Broken);
        }
    }

    /// Records why a version cannot be served. One that answers already goes on answering, and says that it is outdated.
    ///
    /// * `next_try`: when it is loaded again
    pub fn fail(&mut self, name: &str, version: u64, reason: &str, next_try: Option<Instant>) {
        self.metrics.events().note_failure(name, version);
        let failed = Arc::new(LoadFailure::new(reason, next_try));
        self.change(|models| {
            let entry = models.entry(name.into()).or_default().entry(version).or_insert(VersionEntry::Loading);
            match entry {
                VersionEntry::Available(_, failure) => *failure = Some(failed),
                entry => *entry = VersionEntry::Failed(failed),
            }
        });
    }

    /// A version that answers is what is there again: what failed to take its place is gone.
    pub fn settle(&mut self, name: &str, version: u64) {
        let is_outdated = |entry: &VersionEntry| matches!(entry, VersionEntry::Available(_, Some(_)));
        if self.registry.current().models.get(name).and_then(|it| it.get(&version)).is_none_or(|it| !is_outdated(it)) {
            return;
        }
        self.change(|models| {
            if let Some(VersionEntry::Available(_, failure)) = models.get_mut(name).and_then(|it| it.get_mut(&version))
            {
                *failure = None;
            }
        });
    }

    /// Serves a version no more that is about to be loaded anew.
    pub fn make_room(&mut self, name: &str, version: u64) {
        self.change(|models| {
            if let Some(entry) = models.get_mut(name).and_then(|versions| versions.get_mut(&version)) {
                *entry = VersionEntry::Loading;
            }
        });
    }

    /// Serves a version no more, and forgets that there was one.
    pub fn remove(&mut self, name: &str, version: u64) {
        self.replace(|Snapshot { models, labels, cascades, traffic, .. }| {
            if let Some(versions) = models.get_mut(name) {
                versions.remove(&version);
                if versions.is_empty() {
                    models.remove(name);
                    labels.remove(name);
                    cascades.remove(name);
                    traffic.remove(name);
                }
            }
        });
    }

    /// Ends the time series of a version that is not there any more and of which nothing is in flight, and those of its model where it
    /// was the last one.
    pub fn end_series(&self, name: &str, version: u64) {
        let current = self.registry.current();
        let versions = current.models.get(name);
        if versions.is_none_or(|versions| !versions.contains_key(&version)) {
            self.metrics.end_version(name, version);
        }
        if versions.is_none() {
            self.metrics.end_model(name);
        }
    }

    /// The repository has been looked at: what is not known from now on does not exist.
    pub fn note_survey(&mut self) {
        if !self.registry.current().is_surveyed {
            self.replace(|next| next.is_surveyed = true);
        }
    }

    /// Opens the gate: everything that was announced has been loaded or has failed.
    pub fn set_ready(&mut self) {
        self.note_survey();
        self.turn(Readiness::Loading, Readiness::Ready);
    }

    /// How many classes a version has that answers.
    pub fn classes(&self, name: &str, version: u64) -> Option<usize> {
        let current = self.registry.current();
        current.models.get(name)?.get(&version)?.available().map(|served| served.model.classes())
    }

    /// Every version of a model and where it stands.
    pub fn versions(&self, name: &str) -> Vec<ModelStatus> {
        self.registry.current().versions(name).unwrap_or_default()
    }

    /// Every version and where it stands.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.registry.current().list()
    }

    fn turn(&self, from: Readiness, to: Readiness) {
        self.registry.readiness.send_if_modified(|readiness| {
            let turns = *readiness == from;
            if turns {
                *readiness = to;
            }
            turns
        });
    }

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<Arc<str>, BTreeMap<u64, VersionEntry>>)) {
        self.replace(|next| change(&mut next.models));
    }

    fn replace(&mut self, change: impl FnOnce(&mut Snapshot)) {
        let mut next = Snapshot::clone(&self.registry.current());
        change(&mut next);
        next.find_ways(self.metrics.traffic());
        let mut cascades = std::mem::take(&mut next.cascades);
        cascade::settle(&mut cascades, |name| next.default(name)?.1.available().cloned());
        next.cascades = cascades;
        // What was loaded once comes again, and its requests before it.
        let before = if next.has_been_loaded() { self.registry.largest_batch_bytes() } else { 0 };
        self.registry.largest_batch_bytes.store(next.largest_batch_bytes().max(before), Ordering::Relaxed);
        self.registry.current.store(Arc::new(next));
        self.registry.readiness.send_modify(|_| {});
    }
}

/// Shows what a model's workers do to the metrics.
struct Counting(Arc<ModelMetrics>);

impl WorkerObserver for Counting {
    fn ran(&self, run: &FinishedRun) {
        let awaited = run.images.saturating_sub(run.shadows);
        if awaited > 0 {
            self.0.note_run(awaited, run.time, run.fill, run.succeeded);
        }
    }

    fn answered(&self, images: usize, time: Duration) {
        self.0.note_answers(images, time);
    }

    fn restarted(&self) {
        self.0.note_restart();
    }
}
