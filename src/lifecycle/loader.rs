//! Loading one version of a model, on a thread of its own.

use std::{sync::Arc, time::Duration};

use super::{
    room::OnDemand,
    wanted::{FolderSource, Source, WantedModel},
};
use crate::{
    heap,
    model::{
        Earlier, LoadSteps, LoadedModel, Machine, Manifest,
        load::{load_built_in, load_folder, load_labels},
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

    /// The same for a model that is served at another speed than was measured: it is measured again, whatever is known.
    ///
    /// # Errors
    /// Why it cannot be loaded; what is served stays.
    fn measure_anew(&self, wanted: &WantedModel, steps: &LoadSteps) -> Result<LoadedModel, String> {
        self.load(wanted, steps)
    }

    /// The cores that models may use at this moment.
    fn cores(&self) -> usize {
        cores()
    }

    /// The names of its classes as they are now, for a version that is served.
    ///
    /// * `classes`: how many it has
    ///
    /// # Errors
    /// What is wrong with them; those that it has stay.
    fn labels(&self, wanted: &WantedModel, classes: usize) -> Result<Arc<[Arc<str>]>, String> {
        match &wanted.source {
            Source::Folder(FolderSource { folder, manifest, .. }) => {
                load_labels(folder, manifest, classes).map_err(|error| error.to_string())
            }
            Source::BuiltIn(..) | Source::Broken(_) => Err("it has no file of labels".to_owned()),
        }
    }
}

impl LoadModel for Machine {
    fn cores(&self) -> usize {
        Machine::cores(self)
    }

    fn load(&self, wanted: &WantedModel, steps: &LoadSteps) -> Result<LoadedModel, String> {
        load(self, wanted, Earlier::Counts, steps)
    }

    fn measure_anew(&self, wanted: &WantedModel, steps: &LoadSteps) -> Result<LoadedModel, String> {
        load(self, wanted, Earlier::IsPassedOver, steps)
    }
}

fn load(
    machine: &Machine,
    WantedModel { version, source, .. }: &WantedModel,
    earlier: Earlier,
    steps: &LoadSteps,
) -> Result<LoadedModel, String> {
    let loaded = match source {
        Source::Folder(FolderSource { folder, manifest, .. }) => {
            load_folder(machine, folder, *version, Manifest::clone(manifest), earlier, steps)
        }
        Source::BuiltIn(model, manifest) => load_built_in(machine, model, Manifest::clone(manifest), earlier, steps),
        Source::Broken(reason) => return Err(reason.clone()),
    };
    // The graph as data is gone, and what it took lies between what stays: 5 MB for a ResNet-50.
    heap::give_back();
    loaded.map_err(|error| error.to_string())
}

/// How models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOptions {
    /// The most models that are loaded side by side before traffic comes.
    pub threads: usize,
    /// The same from then on, behind the traffic.
    pub threads_beside_traffic: usize,
    /// A load that takes longer has failed; its thread is left behind.
    pub time_limit: Duration,
    /// How often it is looked whether served models are as fast as they were measured.
    pub watch_interval: Duration,
    /// Whether what is replaced is served until the new one can take its place, which takes the memory of both.
    pub overlap: bool,
    /// Whether what fails is tried again after a while.
    pub retries: bool,
    /// Models are loaded when somebody asks for them; `None`: all at once.
    pub on_demand: Option<OnDemand>,
}

impl LoadOptions {
    /// Half of the cores, so that traffic has the others to itself.
    pub fn default_threads_beside_traffic() -> usize {
        (cores() / 2).max(1)
    }
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            threads: cores(),
            threads_beside_traffic: Self::default_threads_beside_traffic(),
            time_limit: Duration::from_secs(600),
            watch_interval: Duration::from_secs(5),
            overlap: true,
            retries: true,
            on_demand: None,
        }
    }
}
