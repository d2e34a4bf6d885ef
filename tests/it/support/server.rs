//! A real server on port 0 whose network does what the test says.

use std::{net::SocketAddr, time::Duration};

use resnetd::{
    lifecycle::{Lifecycle, LoadModel, LoadOptions, Source, WantedModel},
    model::{LoadSteps, LoadedModel, RESNET20_CIFAR10},
    runtime::scripted::ScriptedExecutor,
    server::{self, DoorOptions, Listeners, ServeError, grpc::proto::classifier_client::ClassifierClient},
    service::{ErrorKind, Readiness, RequestLimits, Service},
    telemetry::Metrics,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

pub(crate) use super::scripted_model::{LABELS, MODEL, scripted_model};
use super::{PATIENCE, http::HttpClient, repository::served};

/// What the scripted network says of every image: logarithms, so that softmax gives 1/10, 4/10, 3/10, 2/10.
pub(crate) fn logits() -> [f32; 4] {
    [1.0_f32.ln(), 4.0_f32.ln(), 3.0_f32.ln(), 2.0_f32.ln()]
}

/// A server under test. Dropped, it is gone with everything in flight.
pub(crate) struct TestServer {
    // The first field, because fields are dropped in their order.
    _release: Option<ReleaseWhenDropped>,
    pub(crate) http_address: SocketAddr,
    pub(crate) grpc_address: SocketAddr,
    pub(crate) service: Service,
    pub(crate) lifecycle: Lifecycle,
    stop: CancellationToken,
    served: JoinHandle<Result<(), ServeError>>,
}

/// A blocked network holds the thread of its worker, which the end of the model waits for: a test that fails would hang.
pub(crate) struct ReleaseWhenDropped(pub(crate) ScriptedExecutor);

impl Drop for ReleaseWhenDropped {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// How the server under test is set up.
pub(crate) struct Builder {
    executor: ScriptedExecutor,
    limits: RequestLimits,
    options: DoorOptions,
    capacity: usize,
    max_batch_size: usize,
    predictions: bool,
    stage: Stage,
}

/// How far the start of a server has come.
enum Stage {
    /// Nobody has looked for models yet.
    Started,
    Loading,
    Ready,
}

impl TestServer {
    /// A server that answers with [`logits`] at once.
    pub(crate) async fn start() -> Self {
        Self::builder(ScriptedExecutor::answering(&logits())).start().await
    }

    /// A server of the built-in model, as a repository has it: `resnet20-cifar10`, version 1, labelled `stable`. On a runtime with
    /// several threads.
    pub(crate) async fn with_a_trained_model() -> Self {
        Self::with_models(&[RESNET20_CIFAR10.name], |_| ()).await
    }

    /// The same under each of these names, behind doors that `change` has set up.
    pub(crate) async fn with_models(names: &[&str], change: impl FnOnce(&mut DoorOptions)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for name in names {
            let model = folder.path().join(name);
            std::fs::create_dir_all(model.join("1")).expect("a folder");
            std::fs::write(model.join("1/model.onnx"), RESNET20_CIFAR10.graph).expect("the graph");
            std::fs::write(model.join("labels.txt"), RESNET20_CIFAR10.labels).expect("its labels");
            let manifest = format!("{}\n[versions]\nlabels = {{ stable = 1 }}\n", RESNET20_CIFAR10.manifest);
            std::fs::write(model.join("model.toml"), manifest).expect("its manifest");
        }
        let (service, lifecycle) = served(folder.path());
        lifecycle.set_ready().await;
        let mut options = quick();
        change(&mut options);
        serving(service, lifecycle, options, None).await
    }

    pub(crate) fn builder(executor: ScriptedExecutor) -> Builder {
        Builder {
            executor,
            limits: RequestLimits::default(),
            options: quick(),
            capacity: 64,
            max_batch_size: 1,
            predictions: false,
            stage: Stage::Ready,
        }
    }

    /// A new HTTP connection.
    pub(crate) async fn http(&self) -> HttpClient {
        HttpClient::connect(self.http_address).await
    }

    /// A new gRPC connection.
    pub(crate) async fn channel(&self) -> Channel {
        channel(self.grpc_address).await
    }

    /// A client on a new gRPC connection.
    pub(crate) async fn grpc(&self) -> ClassifierClient<Channel> {
        ClassifierClient::new(self.channel().await)
    }

    /// Images of the scripted model between admission and answer.
    pub(crate) fn in_flight(&self) -> usize {
        let target = self.service.target(MODEL, None).expect("the scripted model");
        let model = target.model();
        model.capacity - model.permits.available_permits()
    }

    /// Gives the stop signal.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// Waits until the server has left.
    pub(crate) async fn left(self) -> Result<(), ServeError> {
        let served = tokio::time::timeout(PATIENCE * 2, self.served).await;
        served.expect("the server leaves").expect("the server does not panic")
    }
}

/// A new connection of tonic's.
pub(crate) async fn channel(address: SocketAddr) -> Channel {
    let address = format!("http://{address}");
    Channel::from_shared(address).expect("an address").connect().await.expect("the door is open")
}

/// Doors that close at once.
fn quick() -> DoorOptions {
    DoorOptions { drain_delay: Duration::ZERO, shutdown_grace: PATIENCE, ..DoorOptions::default() }
}

impl Builder {
    pub(crate) fn limits(mut self, limits: RequestLimits) -> Self {
        self.limits = limits;
        self
    }

    pub(crate) fn options(mut self, change: impl FnOnce(&mut DoorOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// The most images of the model between admission and answer.
    pub(crate) fn capacity(mut self, capacity: usize) -> Self {
        self.capacity = capacity;
        self
    }

    /// The most images of one run.
    pub(crate) fn max_batch_size(mut self, size: usize) -> Self {
        self.max_batch_size = size;
        self
    }

    /// Counts the answered classes in the metrics.
    pub(crate) fn count_predictions(mut self) -> Self {
        self.predictions = true;
        self
    }

    /// Leaves the service in its state while models are loading.
    pub(crate) fn still_loading(mut self) -> Self {
        self.stage = Stage::Loading;
        self
    }

    /// Leaves the service as it is before anybody has looked for models.
    pub(crate) fn just_started(mut self) -> Self {
        self.stage = Stage::Started;
        self
    }

    pub(crate) async fn start(self) -> TestServer {
        let release = ReleaseWhenDropped(self.executor.clone());
        let (service, writer) = Service::new(self.limits, 1, Metrics::new(self.predictions));
        let options = LoadOptions { threads: 1, ..LoadOptions::default() };
        let lifecycle = Lifecycle::start(writer, NeverLoads, options).expect("a thread");
        match self.stage {
            Stage::Ready => {
                let broken = WantedModel {
                    name: "broken".into(),
                    version: 1,
                    source: Source::Broken("model.toml: no such key `crop`".to_owned()),
                };
                lifecycle.apply(vec![broken]).await;
                lifecycle.serve(scripted_model(3, self.executor, self.capacity, self.max_batch_size)).await;
                lifecycle.set_ready().await;
                let mut readiness = service.readiness_watch();
                readiness.wait_for(|readiness| *readiness == Readiness::Ready).await.expect("the service lives");
            }
            Stage::Loading => {
                // Its load takes as long as the server lives.
                drop(lifecycle.apply(vec![loading()]));
                let mut changes = service.readiness_watch();
                while service.versions("unknown").is_err_and(|it| it.kind == ErrorKind::Unavailable) {
                    changes.changed().await.expect("the service lives");
                }
            }
            Stage::Started => {}
        }
        serving(service, lifecycle, self.options, Some(release)).await
    }
}

/// Opens the doors of a service on free ports.
async fn serving(
    service: Service,
    lifecycle: Lifecycle,
    options: DoorOptions,
    release: Option<ReleaseWhenDropped>,
) -> TestServer {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let (http, grpc) = (listen().await.expect("a port"), listen().await.expect("a port"));
    let (http_address, grpc_address) = (http.local_addr().expect("an address"), grpc.local_addr().expect("an address"));
    let listeners = Listeners { http: http.into(), grpc: grpc.into(), management: None };
    let stop = CancellationToken::new();
    let served = tokio::spawn({
        let (service, stop) = (service.clone(), stop.clone());
        server::serve(listeners, service, options, async move { stop.cancelled().await })
    });
    TestServer { _release: release, http_address, grpc_address, service, lifecycle, stop, served }
}

/// The scripted model while it loads.
fn loading() -> WantedModel {
    WantedModel { name: MODEL.into(), version: 3, source: Source::BuiltIn(&RESNET20_CIFAR10, Box::default()) }
}

/// A loader under which every load lasts for ever.
struct NeverLoads;

impl LoadModel for NeverLoads {
    fn load(&self, _: &WantedModel, _: &LoadSteps) -> Result<LoadedModel, String> {
        loop {
            std::thread::park();
        }
    }
}
