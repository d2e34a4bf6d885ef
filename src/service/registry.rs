//! What is served, as a snapshot: requests look at the current one.
//!
//! A request never waits for a lock, and what it found stays valid until it is answered. Only `writer` changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::{
    Error, ErrorKind, ErrorSubject, Readiness, Shown, SplitKeys, Target, VersionPick,
    cascade::{CascadeStatus, Cascades},
    cold::{Cold, ColdCall, TakeCall},
    failure::LoadFailure,
    served::Served,
    traffic::{Routing, Traffic},
};
use crate::{
    model::{ModelState, ModelStatus, ServedModel},
    telemetry::{RunStatistics, ServingState, Subject, TrafficFamilies, VersionState},
};

/// When a client should ask again for a model that is loading.
const LOADING_RETRY: Duration = Duration::from_secs(2);

/// The current snapshot, and whether traffic may come.
pub(super) struct Registry {
    pub(super) current: ArcSwap<Snapshot>,
    /// Of the current snapshot; on the way of every request, so it is kept.
    pub(super) largest_batch_bytes: AtomicUsize,
    pub(super) readiness: watch::Sender<Readiness>,
    /// Whoever loads what is asked for; nobody where everything is loaded.
    pub(super) loads: OnceLock<TakeCall>,
}

impl Registry {
    pub(super) fn new() -> Self {
        let readiness = watch::Sender::new(Readiness::Loading);
        Self {
            current: ArcSwap::default(),
            largest_batch_bytes: AtomicUsize::new(0),
            readiness,
            loads: OnceLock::new(),
        }
    }

    /// The bytes of the largest batch that a model takes, as a tensor of floats in a message.
    pub(super) fn largest_batch_bytes(&self) -> usize {
        self.largest_batch_bytes.load(Ordering::Relaxed)
    }

    /// What is served now. To be let go soon: as long as it is held, so is every model in it.
    pub(super) fn current(&self) -> Guard<Arc<Snapshot>> {
        self.current.load()
    }

    /// Asks for a version that is not loaded.
    pub(super) fn call(&self, call: ColdCall) {
        if let Some(take) = self.loads.get() {
            take(call);
        }
    }
}

/// The models by name, then version, as they stood at one moment.
#[derive(Clone, Default)]
pub(super) struct Snapshot {
    pub(super) models: BTreeMap<Arc<str>, BTreeMap<u64, VersionEntry>>,
    /// Names of versions, by model.
    pub(super) labels: BTreeMap<Arc<str>, BTreeMap<String, u64>>,
    pub(super) cascades: Cascades,
    /// How requests are shared out among versions, by model, where they are.
    pub(super) traffic: BTreeMap<Arc<str>, Arc<Traffic>>,
    /// The ways that come of it for the versions that answer.
    pub(super) ways: BTreeMap<Arc<str>, Arc<Routing>>,
    /// The headers that decide.
    pub(super) keys: Arc<[Arc<str>]>,
    /// Whether the repository has been looked at: until then, a name that is not here may well be there.
    pub(super) is_surveyed: bool,
}

#[derive(Clone)]
pub(super) enum VersionEntry {
    Loading,
    /// Where there is a failure, it answers from earlier files than those that are there.
    Available(Arc<Served>, Option<Arc<LoadFailure>>),
    Failed(Arc<LoadFailure>),
    /// It is loaded once somebody asks for it.
    Cold(Arc<Cold>),
}

/// What a request finds.
pub(super) enum FoundVersion {
    Answers(Target),
    /// A version that has to be loaded first, by name and number.
    Cold(Arc<str>, u64, Arc<Cold>),
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

/// What a message has beside its tensor: names, shapes, parameters.
const BESIDE_THE_TENSOR: usize = 64 << 10;

impl Snapshot {
    pub(super) fn largest_batch_bytes(&self) -> usize {
        let bytes = |served: &Arc<Served>| {
            let numbers = served.model.batcher.shape().image_len() * served.model.info.max_batch_size;
            numbers * size_of::<f32>() + BESIDE_THE_TENSOR
        };
        self.served().map(bytes).max().unwrap_or(0)
    }

    /// Whether anything is unloaded that will be loaded again.
    pub(super) fn has_been_loaded(&self) -> bool {
        let mut entries = self.models.values().flat_map(BTreeMap::values);
        entries.any(|entry| matches!(entry, VersionEntry::Cold(cold) if cold.info.is_some()))
    }

    /// Finds the ways of shared-out requests anew, where anything has changed.
    pub(super) fn find_ways(&mut self, families: &Arc<TrafficFamilies>) {
        let none = BTreeMap::new();
        let ways = self.traffic.iter().map(|(name, traffic)| {
            let served: Vec<_> = self
                .models
                .get(name)
                .into_iter()
                .flat_map(BTreeMap::values)
                .filter_map(VersionEntry::available)
                .collect();
            let labels = self.labels.get(name).unwrap_or(&none);
            (name.clone(), Arc::new(Routing::of(traffic, name, &served, labels, families)))
        });
        self.ways = ways.collect();
        let keys: BTreeSet<_> = self.traffic.values().filter_map(|traffic| traffic.key().cloned()).collect();
        self.keys = keys.into_iter().collect();
    }

    /// Every version that answers.
    pub(super) fn served(&self) -> impl Iterator<Item = &Arc<Served>> {
        self.models.values().flat_map(BTreeMap::values).filter_map(VersionEntry::available)
    }

    pub(super) fn list(&self) -> Vec<ModelStatus> {
        self.models
            .iter()
            .flat_map(|(name, versions)| {
                versions.iter().map(move |(version, entry)| self.status_of(name, *version, entry))
            })
            .collect()
    }

    fn status_of(&self, name: &Arc<str>, version: u64, entry: &VersionEntry) -> ModelStatus {
        let (state, info, outdated) = match entry {
            VersionEntry::Loading => (ModelState::Loading, None, None),
            VersionEntry::Available(served, failure) => {
                let outdated = failure.as_ref().map(|failure| format!("serves its earlier files: {failure}"));
                (ModelState::Available, Some(served.model.info.clone()), outdated)
            }
            VersionEntry::Failed(failure) => (ModelState::Failed(failure.to_string()), None, None),
            VersionEntry::Cold(cold) => (ModelState::NotLoaded(cold.reason.to_string()), cold.info.clone(), None),
        };
        let labels = self.labels.get(name).into_iter().flatten().filter(|(_, labelled)| **labelled == version);
        let labels = labels.map(|(label, _)| label.clone()).collect();
        let turned_back = self.ways.get(name).and_then(|ways| ways.turned_back(version));
        ModelStatus { name: name.clone(), version, state, info, outdated, turned_back, labels }
    }

    pub(super) fn cascade_list(&self) -> Vec<CascadeStatus> {
        self.cascades.iter().map(|(name, cascade)| cascade.status(name)).collect()
    }

    pub(super) fn versions(&self, name: &str) -> Result<Vec<ModelStatus>, Error> {
        let (name, versions) = self.models.get_key_value(name).ok_or_else(|| self.unknown_model(name))?;
        Ok(versions.iter().map(|(version, entry)| self.status_of(name, *version, entry)).collect())
    }

    pub(super) fn status(&self, name: &str, pick: VersionPick<'_>) -> Result<ModelStatus, Error> {
        let mut versions = self.versions(name)?;
        let version = self.number(name, pick)?;
        let position = match version {
            Some(version) => versions.iter().position(|status| status.version == version),
            None => {
                let default = self.default(name).map(|(version, _)| version);
                let position = default.and_then(|default| versions.iter().position(|status| status.version == default));
                position.or(versions.len().checked_sub(1))
            }
        };
        position.map(|position| versions.swap_remove(position)).ok_or_else(|| {
            let known = versions.iter().map(|status| status.version.to_string()).collect::<Vec<_>>().join(", ");
            let (name, wanted) = (Shown(name), version.unwrap_or_default());
            let message = format!("model `{name}` has no version {wanted}; there is {known}");
            Error::new(ErrorKind::NotFound, message).about(model(name.0))
        })
    }

    /// Whom a request for a model counts for that has no version.
    pub(super) fn subject(&self, name: &str) -> Subject {
        self.models.get_key_value(name).map_or(Subject::Unknown, |(name, _)| Subject::Known(name.clone()))
    }

    /// The version that answers where none is named, or would once it is loaded: the highest that `[traffic]` does not name, else the
    /// highest. What is meant must not depend on what happens to be loaded.
    pub(super) fn default(&self, name: &str) -> Option<(u64, &VersionEntry)> {
        let versions = self.models.get(name)?;
        let answering = || versions.iter().rev().filter(|(_, entry)| entry.answers());
        let ways = self.ways.get(name);
        let default = answering().find(|(version, _)| ways.is_none_or(|ways| !ways.names(**version)));
        default.or_else(|| answering().next()).map(|(version, entry)| (*version, entry))
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
            let (name, label) = (Shown(name), Shown(label));
            // A label points at a version once that answers.
            if self.models.get(name.0).is_some_and(|it| it.values().any(|entry| matches!(entry, VersionEntry::Loading)))
            {
                let message =
                    format!("model `{name}` has no version labelled `{label}` yet, and one is loading; try again soon");
                return Error::new(ErrorKind::Unavailable, message).retry_after(LOADING_RETRY).about(model(name.0));
            }
            let known = labels.into_iter().flatten().map(|(label, version)| format!("{label} ({version})"));
            let known = known.collect::<Vec<_>>().join(", ");
            let known = if known.is_empty() {
                "there is none, [versions] labels gives some".into()
            } else {
                format!("there is {known}")
            };
            let message = format!("model `{name}` has no version labelled `{label}`; {known}");
            Error::new(ErrorKind::NotFound, message).about(model(name.0))
        })
    }

    /// What every version that answers has done; of one model, or of one version of it, where they are named.
    pub(super) fn statistics(&self, name: Option<&str>, version: Option<u64>) -> Result<Vec<VersionStatistics>, Error> {
        if let Some(name) = name {
            match version {
                Some(version) => self.answers(name, VersionPick::Number(version)).map(drop)?,
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
                    waiting: if let VersionEntry::Cold(cold) = entry { Some(cold.waiting()) } else { None },
                    serving: entry.available().map(|served| serving_state(&served.model)),
                })
            })
            .collect()
    }

    /// The version that a request to work gets. The hot path: two look-ups and a count.
    pub(super) fn routed(&self, name: &str, pick: VersionPick<'_>, keys: &SplitKeys) -> Result<FoundVersion, Error> {
        if pick == VersionPick::Highest
            && let Some(ways) = self.ways.get(name)
            // Where the default has to be loaded first, others do not get its share.
            && self.default(name).is_some_and(|(_, entry)| entry.available().is_some())
            && let Some((served, course)) = ways.way(name, keys)
        {
            let cascade = self.cascades.get(name).cloned();
            return Ok(FoundVersion::Answers(Target { served, course: Some(course), cascade, caller: None }));
        }
        self.find(name, pick)
    }

    /// The version that a request means, where it answers at once.
    pub(super) fn target(&self, name: &str, pick: VersionPick<'_>) -> Result<Target, Error> {
        match self.find(name, pick)? {
            FoundVersion::Answers(target) => Ok(target),
            FoundVersion::Cold(name, version, cold) => {
                let reason = &cold.reason;
                let message = format!(
                    "model `{name}` version {version} is not loaded, and what it looks like is known once it is: send it a picture, or load \
                     it by `resnetd models load {name}`; {reason}"
                );
                Err(Error::new(ErrorKind::Unavailable, message).retry_after(LOADING_RETRY))
            }
        }
    }

    /// The name of a model that answers, if need be after it was loaded.
    pub(super) fn answers(&self, name: &str, pick: VersionPick<'_>) -> Result<Arc<str>, Error> {
        Ok(match self.find(name, pick)? {
            FoundVersion::Answers(target) => target.model().name.clone(),
            FoundVersion::Cold(name, ..) => name,
        })
    }

    /// Whether any version answers, if need be after it was loaded.
    pub(super) fn has_any(&self) -> bool {
        let mut entries = self.models.values().flat_map(BTreeMap::values);
        entries.any(VersionEntry::answers)
    }

    /// The version that is meant, by default where none is named.
    pub(super) fn find(&self, name: &str, pick: VersionPick<'_>) -> Result<FoundVersion, Error> {
        if let Some((name, versions)) = self.models.get_key_value(name)
            && let Some((version, entry)) = match self.number(name, pick)? {
                Some(version) => versions.get(&version).map(|entry| (version, entry)),
                None => self.default(name),
            }
        {
            match entry {
                VersionEntry::Available(served, _) => {
                    let cascade = self.cascades.get(name).filter(|_| pick == VersionPick::Highest).cloned();
                    return Ok(FoundVersion::Answers(Target {
                        served: served.clone(),
                        course: None,
                        cascade,
                        caller: None,
                    }));
                }
                VersionEntry::Cold(cold) => return Ok(FoundVersion::Cold(name.clone(), version, cold.clone())),
                VersionEntry::Loading | VersionEntry::Failed(_) => {}
            }
        }
        let status = self.status(name, pick)?;
        Err(match status.state {
            ModelState::Failed(reason) => {
                let message = format!("model `{name}` version {} is not served: {reason}", status.version);
                Error::new(ErrorKind::NotFound, message).about(model(name))
            }
            ModelState::Loading | ModelState::Available | ModelState::NotLoaded(_) => {
                let message = format!("model `{name}` version {} is loading; try again soon", status.version);
                Error::new(ErrorKind::Unavailable, message).retry_after(LOADING_RETRY)
            }
        })
    }

    fn unknown_model(&self, name: &str) -> Error {
        if !self.is_surveyed {
            let message = format!(
                "the server has just started and does not know its models yet; ask for `{}` again soon",
                Shown(name)
            );
            return Error::new(ErrorKind::Unavailable, message).retry_after(LOADING_RETRY).about(model(name));
        }
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

impl VersionEntry {
    /// Whether requests are answered, if need be once it was loaded for them.
    fn answers(&self) -> bool {
        matches!(self, Self::Available(..) | Self::Cold(_))
    }

    pub(super) fn available(&self) -> Option<&Arc<Served>> {
        if let Self::Available(served, _) = self { Some(served) } else { None }
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
        threads: model.info.threads(),
        memory_bytes: model.info.memory_bytes,
    }
}
