//! Models come and go: what the repository asks for is compared with what is served, loaded, put in place, retired, freed.
//!
//! `manager` (a thread that looks at the disk, and is asked) ─▶ `keeper` (what counts by `settle`, and how it is called by `labels`) ─▶
//! `wanted` (what should be served) ─▶ `decide` (pure: load, relabel, fail, retire) ─▶ `control` (one thread, the only writer of the
//! registry, with its `loads`, `failures`, `rounds` and `ends`) ─▶ `loader` (a thread a load) ─▶ registry
//!
//! Where models are loaded on demand, a round only lists them; `callers` are the requests that wait for one, `room` (pure) says what
//! makes room for it, `demands` does it.
//!
//! `watch` looks whether what is served is as fast as it was measured; where it is not, `control` loads it once more, measured anew.
//!
//! The start of the server is the first round, a reload the next one. Nothing of it runs on an I/O thread: a request sees
//! a new snapshot of the registry, and the control task frees what no request uses any more.
//!
//! Must not know requests, doors or the command line.

mod callers;
mod cascades;
mod closing;
mod command;
mod control;
mod core_watch;
mod decide;
mod demands;
mod ends;
mod failures;
mod folders;
mod keeper;
mod labels;
mod loader;
mod loads;
mod manager;
mod room;
mod rounds;
mod serving;
mod settle;
mod told;
mod wanted;
mod watch;

use std::{
    io,
    sync::mpsc::{self, Sender},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::oneshot;

pub use keeper::RepositoryOptions;
pub use loader::{LoadModel, LoadOptions};
pub use manager::ModelManager;
pub use room::OnDemand;
pub use rounds::Round;
pub use wanted::{FolderSource, ModelDefaults, Source, WantedModel, wanted_models};

use crate::{
    model::LoadedModel,
    service::{RegistryWriter, Service},
};
use command::{Command, Tries};
use control::Control;

/// The way to the control task. Dropped, the task ends by itself when the last request has let go of the last model;
/// [`Lifecycle::close`] waits for that.
pub struct Lifecycle {
    commands: Sender<Command>,
    control: Option<JoinHandle<()>>,
}

/// The models that did not end in time, by name and version; their threads are inside the engine still.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("still running: {}", .0.join(", "))]
pub struct StillRunning(pub Vec<String>);

impl Lifecycle {
    /// Starts the control task, which alone changes the registry from now on.
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn start(mut writer: RegistryWriter, loader: impl LoadModel, options: LoadOptions) -> io::Result<Self> {
        let (commands, inbox) = mpsc::channel();
        if options.on_demand.is_some() {
            let commands = commands.clone();
            // Without a control task the call is dropped, and whoever made it looks again.
            writer.load_on_demand(move |call| drop(commands.send(Command::Called(call))));
        }
        let control = Control::new(writer, loader, options, commands.clone());
        let control = std::thread::Builder::new().name("models".to_owned()).spawn(move || control.run(&inbox))?;
        Ok(Self { commands, control: Some(control) })
    }

    /// Makes `wanted` what is served: loads what is missing, replaces what has changed, retires the rest. What cannot be
    /// loaded is reported in the log and in the registry, and what served stays.
    ///
    /// Returns at once; the round tells when every load of it has ended. Dropping it changes nothing.
    pub fn apply(&self, wanted: Vec<WantedModel>) -> Round {
        let (done, ended) = oneshot::channel();
        let wanted = cascades::judged(wanted);
        let labels = wanted.iter().filter_map(|version| Some((version.name.to_string(), version.labels()?.clone())));
        let labels = labels.collect();
        self.send(Command::Apply { wanted, labels, tries: Tries::Now, done });
        Round::new(ended)
    }

    /// Follows a repository from the first [`ModelManager::look`] on.
    ///
    /// * `service`: that of this lifecycle's models
    ///
    /// # Errors
    /// If the system gives no thread.
    pub fn follow(&self, options: RepositoryOptions, service: Service) -> io::Result<ModelManager> {
        ModelManager::start(options, service, self.commands.clone())
    }

    /// Puts a model in place that somebody else has loaded, instead of what has its name and version. The round ends once it
    /// is served.
    pub fn serve(&self, model: LoadedModel) -> Round {
        let (done, ended) = oneshot::channel();
        self.send(Command::Serve { model, done });
        Round::new(ended)
    }

    /// Opens the gate: traffic may come. The round ends once the probes say so.
    pub fn set_ready(&self) -> Round {
        let (done, ended) = oneshot::channel();
        self.send(Command::SetReady { done });
        Round::new(ended)
    }

    /// Retires every model and waits until the models' threads have ended, `limit` at most.
    ///
    /// # Errors
    /// [`StillRunning`] after `limit`, or where a load is under way, which is not waited for: the process should leave without
    /// running destructors, because a thread is inside the engine.
    pub fn close(mut self, limit: Duration) -> Result<(), StillRunning> {
        let (done, ended) = mpsc::channel();
        self.send(Command::Close { limit, done });
        let still_running = ended.recv().unwrap_or_default();
        if !still_running.is_empty() {
            return Err(StillRunning(still_running));
        }
        if let Some(control) = self.control.take() {
            // It has nothing left to do; had it panicked, nothing would be served any more either way.
            let _ = control.join();
        }
        Ok(())
    }

    fn send(&self, command: Command) {
        // Without a control task there is nobody to tell; whoever waits for the answer notices.
        let _ = self.commands.send(command);
    }
}

impl Drop for Lifecycle {
    fn drop(&mut self) {
        let (done, _) = mpsc::channel();
        self.send(Command::Close { limit: Duration::MAX, done });
    }
}
