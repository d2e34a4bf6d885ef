//! The one way from a request to an answer, under every door: admit → preprocess → submit → await → answer.
//!
//! Knows models and stages. Must not know HTTP, gRPC or the command line, nor how models come and go.

mod answer;
mod arrival;
mod error;
mod limits;
mod line;
mod readiness;
mod registry;
mod request;
mod served;
mod target;

use std::{num::NonZeroUsize, sync::Arc, thread::available_parallelism};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

pub use crate::{
    batching::Priority,
    model::{ModelInfo, ModelState, ModelStatus, TensorInfo},
    telemetry::TraceContext,
};
pub use answer::{Answer, NamedOutput, Prediction, Timing};
pub use arrival::Arrival;
pub use error::{Error, ErrorKind, Shown};
pub use limits::RequestLimits;
pub use readiness::Readiness;
pub use registry::RegistryWriter;
pub use request::{ClassesWanted, DEFAULT_TOP_K, Request, Wanted};
pub use served::Retire;
pub use target::{Item, Target};

use crate::telemetry::Metrics;
use error::SHORTEST_RETRY;
use registry::Registry;

const KIB: usize = 1024;

/// Answers requests for all models. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    limits: RequestLimits,
    /// One permit for each KiB of the bodies in work.
    bodies: Arc<Semaphore>,
    /// One permit for each thread that may decode: decoding is the expensive, attackable step.
    decoders: Arc<Semaphore>,
}

impl Service {
    /// A service that knows no model yet and is [`Readiness::Loading`], and the one way to give it models.
    ///
    /// * `decode_threads`: how many images are decoded side by side; 0: as many as there are cores
    pub fn new(limits: RequestLimits, decode_threads: usize, metrics: Metrics) -> (Self, RegistryWriter) {
        let metrics = Arc::new(metrics);
        let registry = Arc::new(Registry::new());
        let threads = if decode_threads > 0 { decode_threads } else { cores() };
        let inner = Inner {
            registry: registry.clone(),
            metrics: metrics.clone(),
            limits,
            bodies: Arc::new(Semaphore::new((limits.max_in_flight_bytes / KIB).min(Semaphore::MAX_PERMITS))),
            decoders: Arc::new(Semaphore::new(threads)),
        };
        (Self { inner: Arc::new(inner) }, RegistryWriter::new(registry, metrics))
    }

    /// Every model and version, sorted by name, then version.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.registry().current().list()
    }

    /// One version of a model, the highest available one for `None`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn find(&self, name: &str, version: Option<u64>) -> Result<ModelStatus, Error> {
        self.registry().current().status(name, version)
    }

    /// Every version of a model, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn versions(&self, name: &str) -> Result<Vec<ModelStatus>, Error> {
        self.registry().current().versions(name)
    }

    /// The version of a model that answers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and, while it loads, [`ErrorKind::Unavailable`].
    pub fn target(&self, name: &str, version: Option<u64>) -> Result<Target, Error> {
        self.registry().current().target(name, version)
    }

    /// All metrics in Prometheus' text format 0.0.4.
    pub fn metrics_text(&self) -> String {
        self.metrics().text(&self.registry().current().states())
    }

    /// Whether traffic may come.
    pub fn readiness(&self) -> Readiness {
        *self.registry().readiness.borrow()
    }

    /// Follows [`Service::readiness`]. Wakes up as well when the state of any model changes.
    pub fn readiness_watch(&self) -> watch::Receiver<Readiness> {
        self.registry().readiness.subscribe()
    }

    /// Turns [`Readiness::Draining`]; requests are still answered. Never goes back.
    pub fn start_draining(&self) {
        self.registry().readiness.send_replace(Readiness::Draining);
    }

    /// How large a request may be.
    pub fn limits(&self) -> &RequestLimits {
        &self.inner.limits
    }

    /// Reserves memory for a body of `bytes`, before it is read. Held until the request is answered.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where the bodies in work leave no room.
    pub fn admit_body(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        let wanted = u32::try_from(bytes.div_ceil(KIB)).unwrap_or(u32::MAX);
        self.inner.bodies.clone().try_acquire_many_owned(wanted).map_err(|_| {
            let limit = self.limits().max_in_flight_bytes;
            let message = format!("the requests in work have {limit} bytes already, the limit; try again later");
            Error::new(ErrorKind::Overloaded, message).retry_after(SHORTEST_RETRY)
        })
    }

    fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }
}

/// The cores that this process may use: its affinity and the container's CPU quota, not the host's count.
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}
