//! Which models there are, and where each version of them stands.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::watch;

use super::{Error, ErrorKind, Readiness};
use crate::{
    model::{ModelState, ModelStatus, ServedModel},
    telemetry::{Metrics, ModelMetrics, ServingState, Subject, VersionState},
};

/// When a client should ask again for a model that is loading.
const LOADING_RETRY: Duration = Duration::from_secs(2);

/// The models by name, then version.
pub struct Registry {
    models: RwLock<BTreeMap<Arc<str>, BTreeMap<u64, Entry>>>,
    metrics: Arc<Metrics>,
    pub(super) readiness: watch::Sender<Readiness>,
}

enum Entry {
    Loading,
    Available(Served),
    Failed(String),
}

/// A model that answers, with its handles on the metrics.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) model: Arc<ServedModel>,
    pub(super) metrics: Arc<ModelMetrics>,
}

impl Registry {
    pub(super) fn new(metrics: Arc<Metrics>) -> Self {
        Self { models: RwLock::default(), metrics, readiness: watch::Sender::new(Readiness::Loading) }
    }

    /// Announces a version that is about to be loaded.
    pub fn announce(&self, name: &str, version: u64) {
        self.put(name, version, Entry::Loading);
    }

    /// Serves a model from now on.
    pub fn serve(&self, model: ServedModel) {
        let metrics = Arc::new(self.metrics.model(&model.name, model.version, &model.info.labels));
        let observer = metrics.clone();
        model.batcher.observe_runs(Box::new(move |images, time| observer.note_run(images, time)));
        let (name, version) = (model.name.clone(), model.version);
        self.put(&name, version, Entry::Available(Served { model: Arc::new(model), metrics }));
    }

    /// Records why a version cannot be served.
    pub fn fail(&self, name: &str, version: u64, reason: &str) {
        self.put(name, version, Entry::Failed(reason.to_owned()));
    }

    /// Opens the gate: everything that was announced has been loaded or has failed.
    pub fn set_ready(&self) {
        self.readiness.send_if_modified(|readiness| {
            let loading = *readiness == Readiness::Loading;
            if loading {
                *readiness = Readiness::Ready;
            }
            loading
        });
    }

    /// How many versions answer.
    pub fn available(&self) -> usize {
        self.list().iter().filter(|model| model.state == ModelState::Available).count()
    }

    fn put(&self, name: &str, version: u64, entry: Entry) {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.entry(name.into()).or_default().insert(version, entry);
        drop(models);
        self.readiness.send_modify(|_| {});
    }

    pub(super) fn list(&self) -> Vec<ModelStatus> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models
            .iter()
            .flat_map(|(name, versions)| versions.iter().map(move |(version, entry)| entry.status(name, *version)))
            .collect()
    }

    pub(super) fn versions(&self, name: &str) -> Result<Vec<ModelStatus>, Error> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let (name, versions) = models.get_key_value(name).ok_or_else(|| unknown_model(&models, name))?;
        Ok(versions.iter().map(|(version, entry)| entry.status(name, *version)).collect())
    }

    pub(super) fn status(&self, name: &str, version: Option<u64>) -> Result<ModelStatus, Error> {
        let mut versions = self.versions(name)?;
        let position = match version {
            Some(version) => versions.iter().position(|status| status.version == version),
            None => versions
                .iter()
                .rposition(|status| status.state == ModelState::Available)
                .or(versions.len().checked_sub(1)),
        };
        position.map(|position| versions.swap_remove(position)).ok_or_else(|| {
            let known = versions.iter().map(|status| status.version.to_string()).collect::<Vec<_>>().join(", ");
            let wanted = version.unwrap_or_default();
            Error::new(ErrorKind::NotFound, format!("model `{name}` has no version {wanted}; there is {known}"))
        })
    }

    /// Whom a request for a model counts for.
    pub(super) fn subject(&self, name: &str, version: Option<u64>) -> Subject {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        match models.get_key_value(name) {
            None => Subject::Unknown,
            Some((name, versions)) => available(versions, version)
                .map_or_else(|| Subject::Known(name.clone()), |served| Subject::Served(served.metrics.clone())),
        }
    }

    /// Where every version stands, for the metrics.
    pub(super) fn states(&self) -> Vec<VersionState> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models
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

    /// The model that a request means. The hot path: one read lock, two look-ups, two counts.
    pub(super) fn served(&self, name: &str, version: Option<u64>) -> Result<Served, Error> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(served) = models.get(name).and_then(|versions| available(versions, version)) {
            return Ok(served.clone());
        }
        drop(models);
        let status = self.status(name, version)?;
        Err(match status.state {
            ModelState::Failed(reason) => {
                let message = format!("model `{name}` version {} is not served: {reason}", status.version);
                Error::new(ErrorKind::NotFound, message)
            }
            // Between the two looks it may have become available; then the next try succeeds.
            ModelState::Loading | ModelState::Available => {
                let message = format!("model `{name}` version {} is loading; try again soon", status.version);
                Error::new(ErrorKind::Unavailable, message).retry_after(LOADING_RETRY)
            }
        })
    }
}

impl Entry {
    fn available(&self) -> Option<&Served> {
        if let Self::Available(served) = self { Some(served) } else { None }
    }

    fn status(&self, name: &Arc<str>, version: u64) -> ModelStatus {
        let (state, info) = match self {
            Self::Loading => (ModelState::Loading, None),
            Self::Available(served) => (ModelState::Available, Some(served.model.info.clone())),
            Self::Failed(reason) => (ModelState::Failed(reason.clone()), None),
        };
        ModelStatus { name: name.clone(), version, state, info }
    }
}

/// The version that was asked for, or the highest, where it answers.
fn available(versions: &BTreeMap<u64, Entry>, version: Option<u64>) -> Option<&Served> {
    match version {
        Some(version) => versions.get(&version).and_then(Entry::available),
        None => versions.values().rev().find_map(Entry::available),
    }
}

/// The load is that of what is nearest to its limit: workers that never rest, or a queue that takes no more.
fn serving_state(model: &ServedModel) -> ServingState {
    let in_work = model.capacity.saturating_sub(model.permits.available_permits());
    let fullness = in_work as f64 / model.capacity.max(1) as f64;
    ServingState {
        queue_depth: model.batcher.depth(),
        load_ratio: model.batcher.load().max(fullness),
        provider: model.info.provider.clone(),
        precision: model.info.precision.clone(),
        probability_drift: model.info.probability_drift,
    }
}

fn unknown_model(models: &BTreeMap<Arc<str>, BTreeMap<u64, Entry>>, name: &str) -> Error {
    let known = models.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    let served = if known.is_empty() { "no model is served yet".to_owned() } else { format!("served are: {known}") };
    Error::new(ErrorKind::NotFound, format!("there is no model `{name}`; {served}"))
}
