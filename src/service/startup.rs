//! Filling the registry at the start: the models of a repository, or the one that the binary carries.

use std::path::Path;

use super::Service;
use crate::{
    model::{
        Manifest, ModelFolder, RESNET20_CIFAR10,
        load::{load_built_in, load_folder},
        repository::{RepositoryError, scan},
    },
    runtime::Runtime,
    service::cores,
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

impl Service {
    /// Loads every model of `repository`, one after the other; blocks. A model that cannot be loaded is reported in the
    /// log and in the registry, and the others are served. A repository that is missing or empty gives the built-in model.
    ///
    /// * `only`: the one model to load, by name
    ///
    /// # Errors
    /// If the repository exists and cannot be read.
    pub fn load_models(
        &self,
        runtime: &Runtime,
        repository: &Path,
        only: Option<&str>,
        defaults: &ModelDefaults,
    ) -> Result<(), RepositoryError> {
        let folders = if repository.is_dir() { scan(repository)? } else { Vec::new() };
        if folders.is_empty() {
            tracing::info!(repository = %repository.display(), "no models there: serving the built-in {}", RESNET20_CIFAR10.name);
            self.load_built_in(runtime, defaults);
            return Ok(());
        }
        let wanted = folders.iter().filter(|folder| only.is_none_or(|name| name == folder.name));
        let plans: Vec<_> = wanted.filter_map(|folder| self.plan(folder, defaults)).collect();
        for Plan { folder, manifest, versions } in &plans {
            for &version in versions {
                let loaded = load_folder(runtime, folder, version, manifest.clone(), cores());
                self.conclude(&folder.name, version, loaded);
            }
        }
        Ok(())
    }

    /// Announces what is going to be loaded, so that clients are told "loading" and not "unknown".
    fn plan<'a>(&self, folder: &'a ModelFolder, defaults: &ModelDefaults) -> Option<Plan<'a>> {
        let ModelFolder { name, path, versions } = folder;
        let Some(&highest) = versions.last() else {
            tracing::warn!(model = name, folder = %path.display(), "passed over: it has no VERSION/model.onnx");
            return None;
        };
        match Manifest::read(path, &defaults.batching, &defaults.runtime) {
            Ok(manifest) => {
                let picked = manifest.versions.policy.pick(versions);
                if picked.is_empty() {
                    self.fail(name, highest, "[versions] policy in its model.toml picks none of the versions on disk");
                }
                picked.iter().for_each(|&version| self.registry().announce(name, version));
                Some(Plan { folder, manifest, versions: picked })
            }
            Err(error) => {
                self.fail(name, highest, &error.to_string());
                None
            }
        }
    }

    fn load_built_in(&self, runtime: &Runtime, defaults: &ModelDefaults) {
        let built_in = &RESNET20_CIFAR10;
        self.registry().announce(built_in.name, built_in.version);
        let loaded = built_in
            .manifest(&defaults.batching, &defaults.runtime)
            .map_err(Into::into)
            .and_then(|manifest| load_built_in(runtime, built_in, manifest, cores()));
        self.conclude(built_in.name, built_in.version, loaded);
    }

    fn fail(&self, name: &str, version: u64, reason: &str) {
        tracing::error!(model = name, version, "not served: {reason}");
        self.registry().fail(name, version, reason);
    }

    fn conclude(&self, name: &str, version: u64, loaded: Result<crate::model::ServedModel, crate::model::ModelError>) {
        match loaded {
            Ok(model) => {
                let info = &model.info;
                tracing::info!(
                    model = name,
                    version,
                    architecture = &*info.architecture,
                    classes = model.classes(),
                    input = ?info.input.shape,
                    provider = info.provider,
                    precision = info.precision,
                    probability_drift = info.probability_drift,
                    instances = info.instances,
                    intra_threads = info.intra_threads,
                    max_batch_size = info.max_batch_size,
                    choice = info.choice,
                    "serving"
                );
                if let Some(inspection) = &info.inspection {
                    tracing::info!(model = name, version, "its graph is {inspection}");
                    if let Some(contradiction) = inspection.contradiction(name) {
                        tracing::warn!(
                            model = name,
                            version,
                            "{contradiction}; rename its folder, or put the right graph there"
                        );
                    }
                }
                self.registry().serve(model);
            }
            Err(error) => self.fail(name, version, &error.to_string()),
        }
    }
}

struct Plan<'a> {
    folder: &'a ModelFolder,
    manifest: Manifest,
    versions: Vec<u64>,
}
