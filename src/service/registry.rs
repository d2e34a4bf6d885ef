//! What is served, as a snapshot: requests look at the current one.
//!
//! A request never waits for a lock, and what it found stays valid until it is answered. Only `writer` changes it.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, Guard};
use tokio::sync::watch;

use super::{
    Error, ErrorKind, ErrorSubject, Readiness, Shown, SplitKeys, Target, VersionPick,
    cascade::Cascades,
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
}

#[derive(Clone)]
pub(super) enum VersionEntry {
    Loading,
    /// Where there is a failure, it answers from earlier files than those that are there.
    Available(Arc<Served>, Option<Arc<LoadFailure>>),
    Failed(Arc<LoadFailure>),
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
        };
        let labels = self.labels.get(name).into_iter().flatten().filter(|(_, labelled)| **labelled == version);
        let labels = labels.map(|(label, _)| label.clone()).collect();
        let turned_back = self.ways.get(name).and_then(|ways| ways.turned_back(version));
        ModelStatus { name: name.clone(), version, state, info, outdated, turned_back, labels }
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
                let default = self.default(name).map(|served| served.model.version);
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

    /// The version that answers where none is named: the highest that `[traffic]` does not name, else the highest.
    pub(super) fn default(&self, name: &str) -> Option<&Arc<Served>> {
        let versions = self.models.get(name)?;
        let answering = || versions.values().rev().filter_map(VersionEntry::available);
        let ways = self.ways.get(name);
        let is_default = |served: &&Arc<Served>| ways.is_none_or(|ways| !ways.names(served.model.version));
        answering().find(is_default).or_else(|| answering().next())
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

    /// The version that a request to work gets. The hot path: two look-ups and a count.
    pub(super) fn routed(&self, name: &str, pick: VersionPick<'_>, keys: &SplitKeys) -> Result<Target, Error> {
        if pick == VersionPick::Highest
            && let Some((served, course)) = self.ways.get(name).and_then(|ways| ways.way(name, keys))
        {
            return Ok(Target { served, course: Some(course), cascade: self.cascades.get(name).cloned() });
        }
        self.target(name, pick)
    }

    /// The version that is meant, by default where none is named.
    pub(super) fn target(&self, name: &str, pick: VersionPick<'_>) -> Result<Target, Error> {
        if let Some(versions) = self.models.get(name) {
            let served = match self.number(name, pick)? {
                Some(version) => versions.get(&version).and_then(VersionEntry::available),
                None => self.default(name),
            };
            if let Some(served) = served {
                let cascade = self.cascades.get(name).filter(|_| pick == VersionPick::Highest).cloned();
                return Ok(Target { served: served.clone(), course: None, cascade });
            }
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

impl VersionEntry {
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
    }
}
