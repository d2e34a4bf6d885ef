//! What is served, as a snapshot: requests look at the current one, and one writer replaces it.
//!
//! A request never waits for a lock, and what it found stays valid until it is answered. Only the control task of
//! `lifecycle` has the [`RegistryWriter`].

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::{
    Error, ErrorKind, ErrorSubject, Readiness, Shown, Target, VersionPick,
    claims::Claims,
    decoders::Share,
    served::{Retire, Served, next_number},
};
use crate::{
    batching::{FinishedRun, WorkerObserver},
    model::{LoadedModel, ModelState, ModelStatus, ServedModel},
    telemetry::{Metrics, ModelMetrics, RunStatistics, ServingState, Subject, VersionState},
};

/// When a client should ask again for a model that is loading.
const LOADING_RETRY: Duration = Duration::from_secs(2);

/// The current snapshot, and whether traffic may come.
pub(super) struct Registry {
    current: ArcSwap<Snapshot>,
    /// Of the current snapshot; on the way of every request, so it is kept.
    largest_batch_bytes: AtomicUsize,
    pub(super) readiness: watch::Sender<Readiness>,
}

impl Registry {
    pub(super) fn new() -> Self {
        let readiness = watch::Sender::new(Readiness::Loading);
        Self { current: ArcSwap::default(), largest_batch_bytes: AtomicUsize::new(0), readiness }
    }

    /// The bytes of the largest batch that a model takes, as a tensor of floats in a message.
    pub(super) fn largest_batch_bytes(&self) -> usize {
        self.largest_batch_bytes.load(Ordering::Relaxed)
    }

    /// What is served now. To be let go soon: as long as it is held, so is every model in it.
    pub(super) fn current(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }
}

/// The models by name, then version, as they stood at one moment.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    models: BTreeMap<Arc<str>, BTreeMap<u64, Entry>>,
    /// Names of versions, by model.
    labels: BTreeMap<Arc<str>, BTreeMap<String, u64>>,
}

#[derive(Clone)]
enum Entry {
    Loading,
    Available(Arc<Served>),
    Failed(Arc<str>),
}

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

    /// Announces a version that is about to be loaded, so that clients are told "loading" and not "unknown". One that
    /// answers already goes on answering.
    pub fn announce(&mut self, name: &str, version: u64) {
        self.change(|models| {
            let entry = models.entry(name.into()).or_default().entry(version).or_insert(Entry::Loading);
            if let Entry::Failed(_) = entry {
                *entry = Entry::Loading;
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
        let claims = Arc::new(Claims::new(self.decode_threads));
        let number = next_number();
        let served = Arc::new(Served { number, model, metrics, decoding, claims, workers: Some(workers), retire });
        self.change(|models| {
            models.entry(name).or_default().insert(version, Entry::Available(served));
        });
        self.turn(Readiness::Broken, Readiness::Ready);
    }

    /// Serves a version no more that cannot answer any longer, and says why. Where it was the last one, no traffic should
    /// come.
    pub fn break_down(&mut self, name: &str, version: u64, reason: &str) {
        self.change(|models| {
            if let Some(entry) = models.get_mut(name).and_then(|versions| versions.get_mut(&version)) {
                *entry = Entry::Failed(reason.into());
            }
        });
        if self.registry.current().states().iter().all(|version| version.serving.is_none()) {
            self.turn(Readiness::Ready, Readiness::Broken);
        }
    }

    /// Records why a version cannot be served. One that answers already goes on answering.
    pub fn fail(&mut self, name: &str, version: u64, reason: &str) {
        self.change(|models| {
            let entry = models.entry(name.into()).or_default().entry(version).or_insert(Entry::Loading);
            if !matches!(entry, Entry::Available(_)) {
                *entry = Entry::Failed(reason.into());
            }
        });
    }

    /// Serves a version no more, and forgets that there was one.
    pub fn remove(&mut self, name: &str, version: u64) {
        self.replace(|Snapshot { models, labels }| {
            if let Some(versions) = models.get_mut(name) {
                versions.remove(&version);
                if versions.is_empty() {
                    models.remove(name);
                    labels.remove(name);
                }
            }
        });
    }

    /// Opens the gate: everything that was announced has been loaded or has failed.
    pub fn set_ready(&mut self) {
        self.turn(Readiness::Loading, Readiness::Ready);
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

    fn change(&mut self, change: impl FnOnce(&mut BTreeMap<Arc<str>, BTreeMap<u64, Entry>>)) {
        self.replace(|next| change(&mut next.models));
    }

    fn replace(&mut self, change: impl FnOnce(&mut Snapshot)) {
        let mut next = Snapshot::clone(&self.registry.current());
        change(&mut next);
        self.registry.largest_batch_bytes.store(next.largest_batch_bytes(), Ordering::Relaxed);
        self.registry.current.store(Arc::new(next));
        self.registry.readiness.send_modify(|_| {});
    }
}

/// What one version of a model has done since it is served.
#[derive(Clone, Debug)]
pub struct VersionStatistics {
    /// The name in the route.
    pub model: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// The sums.
    pub statistics: RunStatistics,
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

/// What a message has beside its tensor: names, shapes, parameters.
const BESIDE_THE_TENSOR: usize = 64 << 10;

impl Snapshot {
    fn largest_batch_bytes(&self) -> usize {
        let bytes = |served: &Arc<Served>| {
            let numbers = served.model.batcher.shape().image_len() * served.model.info.max_batch_size;
            numbers * size_of::<f32>() + BESIDE_THE_TENSOR
        };
        self.served().map(bytes).max().unwrap_or(0)
    }

    /// Every version that answers.
    pub(super) fn served(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.models.values().flat_map(BTreeMap::values).filter_map(Entry::available)
    }

    pub(super) fn list(&self) -> Vec<ModelStatus> {
        self.models
            .iter()
            .flat_map(|(name, versions)| versions.iter().map(move |(version, entry)| entry.status(name, *version)))
            .collect()
    }

    pub(super) fn versions(&self, name: &str) -> Result<Vec<ModelStatus>, Error> {
        let (name, versions) = self.models.get_key_value(name).ok_or_else(|| self.unknown_model(name))?;
        Ok(versions.iter().map(|(version, entry)| entry.status(name, *version)).collect())
    }

    pub(super) fn status(&self, name: &str, pick: VersionPick<'_>) -> Result<ModelStatus, Error> {
        let mut versions = self.versions(name)?;
        let version = self.number(name, pick)?;
        let position = match version {
            Some(version) => versions.iter().position(|status| status.version == version),
            None => versions
                .iter()
                .rposition(|status| status.state == ModelState::Available)
                .or(versions.len().checked_sub(1)),
        };
        position.map(|position| versions.swap_remove(position)).ok_or_else(|| {
            let known = versions.iter().map(|status| status.version.to_string()).collect::<Vec<_>>().join(", ");
            let (name, wanted) = (Shown(name), version.unwrap_or_default());
            let message = format!("model `{name}` has no version {wanted}; there is {known}");
            Error::new(ErrorKind::NotFound, message).about(model(name.0))
        })
    }

    /// Whom a request for a model counts for.
    pub(super) fn subject(&self, name: &str, pick: VersionPick<'_>) -> Subject {
        match self.models.get_key_value(name) {
            None => Subject::Unknown,
            Some((name, versions)) => self
                .number(name, pick)
                .ok()
                .and_then(|version| available(versions, version))
                .map_or_else(|| Subject::Known(name.clone()), |served| Subject::Served(served.metrics.clone())),
        }
    }

    /// The number of the version that is meant; `None` for the highest.
    fn number(&self, name: &str, pick: VersionPick<'_>) -> Result<Option<u64>, Error> {
        let label = match pick {
            VersionPick::Highest => return Ok(None),
            VersionPick::Number(version) => return Ok(Some(version)),
            VersionPick::Label(label) => label,
        };
        let labels = self.labels.get(name);
        labels.and_then(|labels| labels.get(label)).map(|version| Some(*version)).ok_or_else(|| {
            let known = labels.into_iter().flatten().map(|(label, version)| format!("{label} ({version})"));
            let known = known.collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() {
                "there is none, [versions] labels gives some".into()
            } else {
                format!("there is {known}")
            };
            let (name, label) = (Shown(name), Shown(label));
            let message = format!("model `{name}` has no version labelled `{label}`; {known}");
            Error::new(ErrorKind::NotFound, message).about(model(name.0))
        })
    }

    /// What every version that answers has done; of one model, or of one version of it, where they are named.
    pub(super) fn statistics(&self, name: Option<&str>, version: Option<u64>) -> Result<Vec<VersionStatistics>, Error> {
        if let Some(name) = name {
            match version {
                Some(version) => self.target(name, VersionPick::Number(version)).map(drop)?,
                None => self.versions(name).map(drop)?,
            }
        }
        let named = self.models.iter().filter(|(model, _)| name.is_none_or(|name| name == &***model));
        let versions =
            named.flat_map(|(model, versions)| versions.iter().map(move |(version, entry)| (model, *version, entry)));
        let wanted = versions.filter(|(_, number, _)| version.is_none_or(|version| version == *number));
        let served = wanted.filter_map(|(model, version, entry)| {
            let statistics = entry.available()?.metrics.statistics();
            Some(VersionStatistics { model: model.clone(), version, statistics })
        });
        Ok(served.collect())
    }

    /// Where every version stands, for the metrics.
    pub(super) fn states(&self) -> Vec<VersionState> {
        self.models
            .iter()
            .flat_map(|(name, versions)| {
                versions.iter().map(move |(version, entry)| VersionState {
                    model: name.clone(),
                    version: *version,
                    serving: entry.available().map(|served| serving_state(&served.model)),
                })
            })
            .collect()
    }

    /// The version that a request means. The hot path: two look-ups and a count.
    pub(super) fn target(&self, name: &str, pick: VersionPick<'_>) -> Result<Target, Error> {
        if let Some(versions) = self.models.get(name)
            && let Some(served) = available(versions, self.number(name, pick)?)
        {
            return Ok(Target { served: served.clone() });
        }
        let status = self.status(name, pick)?;
        Err(match status.state {
            ModelState::Failed(reason) => {
                let message = format!("model `{name}` version {} is not served: {reason}", status.version);
                Error::new(ErrorKind::NotFound, message).about(model(name))
            }
            ModelState::Loading | ModelState::Available => {
                let message = format!("model `{name}` version {} is loading; try again soon", status.version);
                Error::new(ErrorKind::Unavailable, message).retry_after(LOADING_RETRY)
            }
        })
    }

    fn unknown_model(&self, name: &str) -> Error {
        let known = self.models.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
        let served =
            if known.is_empty() { "no model is served yet".to_owned() } else { format!("served are: {known}") };
        let message = format!("there is no model `{}`; {served}", Shown(name));
        Error::new(ErrorKind::NotFound, message).about(model(name))
    }
}

/// The model that an error is about; a client's name for it may be of any length.
fn model(name: &str) -> ErrorSubject {
    ErrorSubject::Model(Shown(name).to_string())
}

impl Entry {
    fn available(&self) -> Option<&Arc<Served>> {
        if let Self::Available(served) = self { Some(served) } else { None }
    }

    fn status(&self, name: &Arc<str>, version: u64) -> ModelStatus {
        let (state, info) = match self {
            Self::Loading => (ModelState::Loading, None),
            Self::Available(served) => (ModelState::Available, Some(served.model.info.clone())),
            Self::Failed(reason) => (ModelState::Failed(reason.to_string()), None),
        };
        ModelStatus { name: name.clone(), version, state, info }
    }
}

/// The version that was asked for, or the highest, where it answers.
fn available(versions: &BTreeMap<u64, Entry>, version: Option<u64>) -> Option<&Arc<Served>> {
    match version {
        Some(version) => versions.get(&version).and_then(Entry::available),
        None => versions.values().rev().find_map(Entry::available),
    }
}

/// The load is that of what is nearest to its limit: workers that never rest, or a queue that takes no more.
fn serving_state(model: &ServedModel) -> ServingState {
    let in_work = model.capacity.saturating_sub(model.permits.available_permits());
    let fullness = in_work as f64 / model.capacity.max(1) as f64;
    let (deadline_misses, refused_in_vain) = model.batcher.judgement();
    ServingState {
        deadline_misses,
        refused_in_vain,
        queue_depth: model.batcher.depth(),
        load_ratio: model.batcher.load().max(fullness),
        provider: model.info.provider.clone(),
        precision: model.info.precision.clone(),
        probability_drift: model.info.probability_drift,
    }
}
