//! What the control task is told, and the words that it is told in.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        mpsc::{SendError, Sender},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use super::wanted::{VersionKey, WantedModel};
use crate::{
    batching::{WorkerObserver, Workers},
    model::LoadedModel,
    service::ColdCall,
};

/// Names of versions, by model.
pub(super) type Labels = BTreeMap<String, BTreeMap<String, u64>>;

/// What the control task is told.
pub(super) enum Command {
    /// Make this what is served; say so when every load of it has ended.
    Apply { wanted: Vec<WantedModel>, labels: Labels, tries: Tries, done: oneshot::Sender<()> },
    /// A request waits for a version that is not loaded.
    Called(ColdCall),
    /// Serve a model no more until somebody asks for it.
    Cool { model: String, done: oneshot::Sender<()> },
    /// Put a model in place.
    Serve { model: LoadedModel, done: oneshot::Sender<()> },
    /// Traffic may come.
    SetReady { done: oneshot::Sender<()> },
    /// A load has ended. `load` tells it from an earlier one of the same version that was left behind.
    Loaded { load: u64, outcome: Result<Made, String> },
    /// Nobody uses a model any more.
    Retired { key: VersionKey, workers: Workers },
    /// Every worker of a model has broken. `served` tells it from another one that took its place.
    Broken { served: u64, key: VersionKey },
    /// Its threads are gone.
    Freed { end: u64 },
    /// Retire everything, and end; say what still runs when the models are gone, or after `limit`.
    Close { limit: Duration, done: std::sync::mpsc::Sender<Vec<String>> },
}

/// What becomes in a round of a load that failed and is to be tried again later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tries {
    /// It waits for its time.
    AtTheirTime,
    /// Somebody asked: it is tried now.
    Now,
    /// The same, for this model.
    NowOf(String),
}

impl Tries {
    /// Whether a model that failed waits for its time.
    pub(super) fn rests(&self, model: &str) -> bool {
        match self {
            Self::AtTheirTime => true,
            Self::Now => false,
            Self::NowOf(asked) => asked != model,
        }
    }
}

/// What a load has made.
pub(super) enum Made {
    /// A model with its sessions.
    Model(Box<LoadedModel>),
    /// Other names for the classes of one that is served.
    Labels(Arc<[Arc<str>]>),
}

/// Why a version is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A round wants it.
    Serve,
    /// Its classes have other names, and there are so many; its sessions stay.
    Relabel(usize),
    /// It is served, and at another speed than was measured. Whatever comes of it, it goes on being served.
    MeasureAnew,
}

/// Tells the control task when a model's last worker is gone.
pub(super) struct Breakdown {
    pub(super) served: u64,
    pub(super) key: VersionKey,
    pub(super) commands: Sender<Command>,
}

impl WorkerObserver for Breakdown {
    fn gone(&self) {
        give(&self.commands, Command::Broken { served: self.served, key: self.key.clone() });
    }
}

/// Tells the control task. Where it is gone, the process is about to leave, and what it would have ended is left to the
/// system: freeing a model here would wait for its last run, on whatever thread this is.
pub(super) fn give(commands: &Sender<Command>, command: Command) {
    if let Err(SendError(command)) = commands.send(command) {
        std::mem::forget(command);
    }
}
