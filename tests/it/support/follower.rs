//! A repository on disk and a service that follows it, whose loader does what the test says.

use std::{
    collections::BTreeMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex},
    time::Duration,
};

use resnetd::{
    lifecycle::{
        Lifecycle, LoadModel, LoadOptions, ModelDefaults, ModelManager, OnDemand, RepositoryOptions, WantedModel,
    },
    model::{LoadSteps, LoadedModel, ModelState},
    runtime::scripted::ScriptedExecutor,
    server::{self, DoorOptions, Listeners},
    service::{RequestLimits, Service},
    telemetry::Metrics,
};
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinHandle};

use super::{
    PATIENCE, next_tick,
    server::{logits, scripted_model},
};

/// What the loader of these tests was asked to load, and what it is told to do then.
#[derive(Default)]
pub(crate) struct Script {
    loads: Mutex<Vec<String>>,
    /// Loads of these fail.
    pub(crate) corrupt: Mutex<Vec<String>>,
    /// What these take, in bytes.
    pub(crate) sizes: Mutex<BTreeMap<String, u64>>,
    /// The networks of these; all others answer at once.
    pub(crate) networks: Mutex<BTreeMap<String, ScriptedExecutor>>,
    /// Loads of these wait until they are taken out.
    pub(crate) held: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Script {
    /// What it was asked to load so far.
    pub(crate) fn loads(&self) -> Vec<String> {
        self.loads.lock().unwrap().clone()
    }

    /// Lets every load go on.
    pub(crate) fn release(&self) {
        self.held.lock().unwrap().clear();
        self.changed.notify_all();
    }
}

struct Scripted(Arc<Script>);

impl LoadModel for Scripted {
    fn load(&self, wanted: &WantedModel, _: &LoadSteps) -> Result<LoadedModel, String> {
        let name = format!("{}/{}", wanted.name, wanted.version);
        self.0.loads.lock().unwrap().push(name.clone());
        let held = self.0.held.lock().unwrap();
        drop(self.0.changed.wait_timeout_while(held, PATIENCE, |held| held.contains(&name)).unwrap());
        if self.0.corrupt.lock().unwrap().contains(&name) {
            return Err("its graph is cut off".to_owned());
        }
        let network = self.0.networks.lock().unwrap().get(&name).cloned();
        let network = network.unwrap_or_else(|| ScriptedExecutor::answering(&logits()));
        let mut loaded = scripted_model(wanted.version, network, 64, 8);
        loaded.model.name = wanted.name.clone();
        loaded.bytes = self.0.sizes.lock().unwrap().get(&name).copied().unwrap_or(0);
        Ok(loaded)
    }
}

/// A repository, and a service that follows it.
pub(crate) struct Follower {
    pub(crate) folder: TempDir,
    pub(crate) script: Arc<Script>,
    pub(crate) service: Service,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) manager: Arc<ModelManager>,
}

impl Follower {
    /// Nobody looks at the repository unless the test does.
    pub(crate) fn of(models: &[&str]) -> Self {
        Self::with(models, |_| (), |_| ())
    }

    /// Models are loaded when somebody asks for them; a load does not wait for room.
    pub(crate) fn on_demand(models: &[&str], change: impl FnOnce(&mut OnDemand)) -> Self {
        let mut limits = OnDemand { patience: Duration::ZERO, ..OnDemand::default() };
        change(&mut limits);
        Self::with(models, |options| options.on_demand = true, |options| options.on_demand = Some(limits))
    }

    pub(crate) fn with(
        models: &[&str],
        change: impl FnOnce(&mut RepositoryOptions),
        load: impl FnOnce(&mut LoadOptions),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        models.iter().for_each(|model| put(folder.path(), model));
        let mut options = RepositoryOptions {
            dirs: vec![folder.path().join("models")],
            defaults: ModelDefaults::default(),
            watch_interval: None,
            settle: Duration::from_secs(3600),
            explicit: None,
            on_demand: false,
        };
        fs::create_dir_all(&options.dirs[0]).unwrap();
        change(&mut options);
        let script = Arc::new(Script::default());
        let (service, writer) = Service::new(RequestLimits::default(), 1, Metrics::default());
        let mut load_options = LoadOptions { threads: 2, ..LoadOptions::default() };
        load(&mut load_options);
        let lifecycle = Lifecycle::start(writer, Scripted(script.clone()), load_options).unwrap();
        let manager = Arc::new(lifecycle.follow(options, service.clone()).unwrap());
        Self { folder, script, service, lifecycle, manager }
    }

    /// Opens the doors.
    pub(crate) async fn doors(&self) -> Doors {
        self.lifecycle.set_ready().await;
        let listen = async || TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (http_listener, grpc_listener) = (listen().await, listen().await);
        let (http, grpc) = (http_listener.local_addr().unwrap(), grpc_listener.local_addr().unwrap());
        let listeners = Listeners { http: http_listener.into(), grpc: grpc_listener.into(), management: None };
        let service = self.service.clone();
        let served = tokio::spawn(async move {
            drop(server::serve(listeners, service, DoorOptions::default(), std::future::pending()).await);
        });
        Doors { http, grpc, served }
    }

    /// The place of something in the repository.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join("models").join(name)
    }

    /// A version of a model, `name/version`, appears whole.
    pub(crate) fn put(&self, version: &str) {
        put(self.folder.path(), version);
    }

    /// Writes a file in place.
    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::write(self.at(name), text).unwrap();
    }

    /// As SIGHUP does; waits for the loads that come of it.
    pub(crate) async fn look(&self) {
        self.manager.look().await.unwrap().await;
    }

    /// What answers, as `name/version`, with `+label` for each label.
    pub(crate) fn answering(&self) -> Vec<String> {
        let available = self.service.list().into_iter().filter(|status| status.state == ModelState::Available);
        available
            .map(|status| {
                let labels: String = status.labels.iter().map(|label| format!("+{label}")).collect();
                format!("{}/{}{labels}", status.name, status.version)
            })
            .collect()
    }
}

/// The doors of a service, on free ports. Dropped, they are closed.
pub(crate) struct Doors {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    served: JoinHandle<()>,
}

impl Drop for Doors {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// A version of a model, which appears whole.
fn put(root: &Path, version: &str) {
    let place = root.join("models").join(version);
    let staged = root.join("staged");
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::create_dir_all(&staged).unwrap();
    fs::write(staged.join("model.onnx"), "a graph").unwrap();
    next_tick(root);
    fs::rename(staged, place).unwrap();
}
