//! The one writer of what is served: each change is a new snapshot, and whoever has the old one keeps it.
//!
//! Only the control task of `lifecycle` has it.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use super::{
    CascadeRule, Readiness,
    cascade::{self, Cascade, FirstStanding},
    claims::Claims,
    decoders::Decoders,
    failure::LoadFailure,
    registry::{Registry, Snapshot, VersionEntry},
    served::{Retire, Served, Sessions, next_number},
    traffic::Traffic,
};
use crate::{
    batching::{FinishedRun, WorkerObserver},
    model::{LoadedModel, ModelStatus, TrafficSection},
    telemetry::{Metrics, ModelMetrics},
};

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
                if let VersionEntry::Failed(_) = entry {
                    *entry = VersionEntry::Loading;
                }
            }
        });
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
        let decoding = self.decoders.share();
        let sessions = Arc::new(Sessions::new(workers, retire));
        let claims = Arc::new(Claims::new(self.decoders.threads()));
        let number = next_number();
        let served = Arc::new(Served { number, model, metrics, decoding, claims, sessions });
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
                let number = served.number;
                *served = Arc::new(Served { number, model, metrics, decoding, claims, sessions });
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
        if self.registry.current().states().iter().all(|version| version.serving.is_none()) {
            self.turn(Readiness::Ready, Readiness::Broken);
        }
    }

    /// Records why a version cannot be served. One that answers already goes on answering, and says that it is outdated.
    ///
    /// * `next_try`: when it is loaded again
    pub fn fail(&mut self, name: &str, version: u64, reason: &str, next_try: Option<Instant>) {
        self.metrics.note_load_failure(name, version);
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

    /// Opens the gate: everything that was announced has been loaded or has failed.
    pub fn set_ready(&mut self) {
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
        cascade::settle(&mut cascades, |name| next.default(name).cloned());
        next.cascades = cascades;
        self.registry.largest_batch_bytes.store(next.largest_batch_bytes(), Ordering::Relaxed);
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
