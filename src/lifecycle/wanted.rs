//! What should be served: the models of a repository, or the one that the binary carries.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    model::{
        BuiltIn, Manifest, ModelFolder, RESNET20_CIFAR10,
        repository::{RepositoryError, scan},
    },
    settings::{Batching, RuntimeSettings},
};

/// The settings of a model that says nothing else.
#[derive(Clone, Debug, Default)]
pub struct ModelDefaults {
    /// `[batching]`
    pub batching: Batching,
    /// `[runtime]`
    pub runtime: RuntimeSettings,
}

/// A version of a model.
pub(super) type VersionKey = (String, u64);

/// One version of a model that should be served.
#[derive(Clone, Debug)]
pub struct WantedModel {
    /// Its name and route.
    pub name: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// Where it comes from.
    pub source: Source,
}

/// Where a version of a model comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of a repository, with its settings.
    Folder(Arc<ModelFolder>, Box<Manifest>),
    /// The binary.
    BuiltIn(&'static BuiltIn, Box<Manifest>),
    /// It cannot be loaded; why, and how to mend it.
    Broken(String),
}

impl WantedModel {
    pub(super) fn key(&self) -> VersionKey {
        (self.name.to_string(), self.version)
    }

    /// What its model calls its versions.
    pub(super) fn labels(&self) -> BTreeMap<String, u64> {
        match &self.source {
            Source::Folder(_, manifest) => manifest.versions.labels.clone(),
            Source::BuiltIn(..) | Source::Broken(_) => BTreeMap::new(),
        }
    }

    fn broken(name: &str, version: u64, reason: impl ToString) -> Self {
        Self { name: name.into(), version, source: Source::Broken(reason.to_string()) }
    }
}

/// Reads from disk what should be served. A repository that is missing or empty gives the built-in model; a folder whose
/// settings are wrong gives a broken version, so that its clients are told why.
///
/// * `only`: the one model that is wanted, by name
///
/// # Errors
/// If there is something in the repository's place that cannot be read, or is no folder.
pub fn wanted_models(
    repository: &Path,
    only: Option<&str>,
    defaults: &ModelDefaults,
) -> Result<Vec<WantedModel>, RepositoryError> {
    let folders = scan(repository)?;
    if folders.is_empty() {
        tracing::info!(repository = %repository.display(), "no models there: serving the built-in {}", RESNET20_CIFAR10.name);
        return Ok(vec![built_in(defaults)]);
    }
    let folders = folders.into_iter().filter(|folder| only.is_none_or(|name| name == folder.name));
    Ok(folders.flat_map(|folder| versions(folder, defaults)).collect())
}

fn built_in(defaults: &ModelDefaults) -> WantedModel {
    let model = &RESNET20_CIFAR10;
    match model.manifest(&defaults.batching, &defaults.runtime) {
        Ok(manifest) => WantedModel {
            name: model.name.into(),
            version: model.version,
            source: Source::BuiltIn(model, Box::new(manifest)),
        },
        Err(error) => WantedModel::broken(model.name, model.version, error),
    }
}

fn versions(folder: ModelFolder, defaults: &ModelDefaults) -> Vec<WantedModel> {
    let Some(&highest) = folder.versions.last() else {
        tracing::warn!(
            model = folder.name,
            folder = %folder.path.display(),
            "passed over: it has no VERSION/model.onnx"
        );
        return Vec::new();
    };
    let manifest = match Manifest::read(&folder.path, &defaults.batching, &defaults.runtime) {
        Ok(manifest) => manifest,
        Err(error) => return vec![WantedModel::broken(&folder.name, highest, error)],
    };
    let policy = &manifest.versions;
    let missing = policy.missing(&folder.versions);
    if !missing.is_empty() {
        let (model, there) = (&*folder.name, &folder.versions);
        tracing::warn!(
            model,
            "[versions] policy names {missing:?}, and there is {there:?}: put it there, or leave it out"
        );
    }
    let picked = policy.pick(&folder.versions);
    if picked.is_empty() {
        let reason = "[versions] policy in its model.toml picks none of the versions on disk";
        return vec![WantedModel::broken(&folder.name, highest, reason)];
    }
    let dangling = manifest.versions.dangling(&picked);
    if !dangling.is_empty() {
        let model = &*folder.name;
        tracing::warn!(
            model,
            "[versions] labels point {dangling:?} at versions that are not served: point them elsewhere"
        );
    }
    let (name, folder) = (Arc::from(folder.name.as_str()), Arc::new(folder));
    let version = |version| WantedModel {
        name: Arc::clone(&name),
        version,
        source: Source::Folder(folder.clone(), Box::new(manifest.clone())),
    };
    picked.into_iter().map(version).collect()
}
