//! Loading one version of a model, on a thread of its own.

use std::time::Duration;

use super::wanted::{Source, WantedModel};
use crate::{
    model::{
        LoadSteps, LoadedModel, Machine, Manifest,
        load::{load_built_in, load_folder},
    },
    service::cores,
};

/// What turns a wanted version into a model that answers. Called on threads of the control task, several at a time.
pub trait LoadModel: Send + Sync + 'static {
    /// Loads it; blocks as long as that takes.
    ///
    /// * `steps`: told what is done, for whoever waits
    ///
    /// # Errors
    /// Why it cannot be served, and how to mend it.
    fn load(&self, wanted: &WantedModel, steps: &LoadSteps) -> Result<LoadedModel, String>;
}

impl LoadModel for Machine {
    fn load(
        &self,
        WantedModel { version, source, .. }: &WantedModel,
        steps: &LoadSteps,
    ) -> Result<LoadedModel, String> {
        let loaded = match source {
            Source::Folder(folder, manifest) => load_folder(self, folder, *version, Manifest::clone(manifest), steps),
            Source::BuiltIn(model, manifest) => load_built_in(self, model, Manifest::clone(manifest), steps),
            Source::Broken(reason) => return Err(reason.clone()),
        };
        loaded.map_err(|error| error.to_string())
    }
}

/// How models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// The most models that are loaded side by side.
    pub threads: usize,
    /// A load that takes longer has failed; its thread is left behind.
    pub time_limit: Duration,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { threads: cores(), time_limit: Duration::from_secs(600) }
    }
}
