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
    decoders::Share,
    failure::LoadFailure,
    registry::{Registry, Snapshot, VersionEntry},
    served::{Retire, Served, Sessions, next_number},
};
use crate::{
    batching::{FinishedRun, WorkerObserver},
    model::{LoadedModel, ModelStatus},
    telemetry::{Metrics, ModelMetrics},
};

/// The only way to change what is served. Each change is a new snapshot; whoever has the old one keeps it.
pub struct RegistryWriter {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    decode_threads: usize,
}

impl RegistryWriter {
    pub(super) fn new(registry: Arc<Registry>, metrics: Arc<Metrics>, decode_threads: usize) -> Self {
        Self { registry, metrics, decode_threads }
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
            let metrics = Arc::new(self.metrics.cascades.of(&name, &rule.first));
            Arc::new(Cascade { rule, metrics, standing: FirstStanding::Missing })
        });
        self.replace(|next| match cascade {
            Some(cascade) => drop(next.cascades.insert(name, cascade)),
            None => drop(next.cascades.remove(&name)),
        });
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
        let decoding = Share::new(self.decode_threads);
        let sessions = Arc::new(Sessions::new(workers, retire));
        let claims = Arc::new(Claims::new(self.decode_threads));
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
        self.replace(|Snapshot { models, labels, cascades }| {
            if let Some(versions) = models.get_mut(name) {
                versions.remove(&version);
                if versions.is_empty() {
                    models.remove(name);
                    labels.remove(name);
                    cascades.remove(name);
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
        let mut cascades = std::mem::take(&mut next.cascades);
        cascade::settle(&mut cascades, |name| next.highest(name).cloned());
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
        self.0.note_run(run.images, run.time, run.fill, run.succeeded);
    }

    fn answered(&self, images: usize, time: Duration) {
        self.0.note_answers(images, time);
    }

    fn restarted(&self) {
        self.0.note_restart();
    }
}
