//! Which models there are, and where each version of them stands.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use tokio::sync::watch;

use super::{Error, ErrorKind, Readiness};
use crate::model::{ModelState, ModelStatus, ServedModel};

/// When a client should ask again for a model that is loading.
const LOADING_RETRY: Duration = Duration::from_secs(2);

/// The models by name, then version.
pub struct Registry {
    models: RwLock<BTreeMap<Arc<str>, BTreeMap<u64, Entry>>>,
    pub(super) readiness: watch::Sender<Readiness>,
}

enum Entry {
    Loading,
    Available(Arc<ServedModel>),
    Failed(String),
}

impl Default for Registry {
    fn default() -> Self {
        Self { models: RwLock::default(), readiness: watch::Sender::new(Readiness::Loading) }
    }
}

impl Registry {
    /// Announces a version that is about to be loaded.
    pub fn announce(&self, name: &str, version: u64) {
        self.put(name, version, Entry::Loading);
    }

    /// Serves a model from now on.
    pub fn serve(&self, model: ServedModel) {
        let model = Arc::new(model);
        self.put(&model.name, model.version, Entry::Available(model.clone()));
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

    /// The model that a request means. The hot path: one read lock, two look-ups, one count.
    pub(super) fn served(&self, name: &str, version: Option<u64>) -> Result<Arc<ServedModel>, Error> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let found = models.get(name).and_then(|versions| match version {
            Some(version) => versions.get(&version).and_then(Entry::available),
            None => versions.values().rev().find_map(Entry::available),
        });
        if let Some(model) = found {
            return Ok(model.clone());
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
    fn available(&self) -> Option<&Arc<ServedModel>> {
        if let Self::Available(model) = self { Some(model) } else { None }
    }

    fn status(&self, name: &Arc<str>, version: u64) -> ModelStatus {
        let (state, info) = match self {
            Self::Loading => (ModelState::Loading, None),
            Self::Available(model) => (ModelState::Available, Some(model.info.clone())),
            Self::Failed(reason) => (ModelState::Failed(reason.clone()), None),
        };
        ModelStatus { name: name.clone(), version, state, info }
    }
}

fn unknown_model(models: &BTreeMap<Arc<str>, BTreeMap<u64, Entry>>, name: &str) -> Error {
    let known = models.keys().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    let served = if known.is_empty() { "no model is served yet".to_owned() } else { format!("served are: {known}") };
    Error::new(ErrorKind::NotFound, format!("there is no model `{name}`; {served}"))
}
