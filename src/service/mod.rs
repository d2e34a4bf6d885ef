//! The one way from a request to an answer, under every door: admit → preprocess → submit → top-k.
//!
//! Knows models and stages. Must not know HTTP, gRPC or the command line.

mod classify;
mod error;
mod readiness;
mod registry;
mod startup;

use std::{num::NonZeroUsize, sync::Arc, thread::available_parallelism, time::Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, watch};

pub use crate::model::{ModelInfo, ModelState, ModelStatus, TensorInfo};
pub use error::{Error, ErrorKind};
pub use readiness::{Limits, Readiness};
pub use registry::Registry;
pub use startup::ModelDefaults;

use crate::{
    model::ServedModel,
    telemetry::{Metrics, Protocol, RequestMeter},
};

const KIB: usize = 1024;

/// The default number of classes in an answer.
pub const DEFAULT_TOP_K: usize = 5;

/// One request: some images for one model.
#[derive(Clone, Debug)]
pub struct ClassifyRequest {
    /// The model's name, as in the route.
    pub model: String,
    /// A version, or the highest that is served.
    pub version: Option<u64>,
    /// The files as they came, at least one.
    pub images: Vec<Bytes>,
    /// What the client asked of the answer.
    pub options: ClassifyOptions,
    /// When the client stops waiting.
    pub deadline: Option<Instant>,
}

/// What the client asks of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassifyOptions {
    /// How many classes an image gets; 1 to the number of classes. `None`: [`DEFAULT_TOP_K`], or all where there are fewer.
    pub top_k: Option<usize>,
    /// Classes below this probability are left out; 0 to 1.
    pub min_probability: f32,
}

/// One class of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Prediction {
    /// The class's index in the network's output.
    pub index: usize,
    /// The class's name; its index in digits where the model has no labels.
    pub label: Arc<str>,
    /// After the model's activation; 0 to 1 for softmax and sigmoid.
    pub probability: f32,
}

/// Where the time of a request went, in milliseconds. With several images: the longest of each phase.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// Decoding, resizing and cropping, without waiting for a thread.
    pub preprocess_ms: f64,
    /// From the end of preprocessing until a worker took the image.
    pub queue_ms: f64,
    /// The network's run, shared by the images of the batch.
    pub inference_ms: f64,
    /// From the door to the answer.
    pub total_ms: f64,
}

/// The answer to a [`ClassifyRequest`].
#[derive(Clone, Debug)]
pub struct Classification {
    /// The model that answered.
    pub model: Arc<str>,
    /// Its version.
    pub version: u64,
    /// Which ResNet it is, `resnet50` or `resnet20-cifar`, for instance.
    pub architecture: Arc<str>,
    /// One entry per image, in order; the most probable class first.
    pub predictions: Vec<Vec<Prediction>>,
    /// Where the time went.
    pub timing: Timing,
    /// The size of the largest batch that one of the images ran in.
    pub batch_size: usize,
}

/// Answers requests for all models. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Registry,
    metrics: Arc<Metrics>,
    limits: Limits,
    /// One permit for each KiB of the bodies in work.
    bodies: Arc<Semaphore>,
    /// One permit for each thread that may decode: decoding is the expensive, attackable step.
    decoders: Arc<Semaphore>,
}

impl Service {
    /// A service that knows no model yet and is [`Readiness::Loading`].
    ///
    /// * `decode_threads`: how many images are decoded side by side; 0: as many as there are cores
    pub fn new(limits: Limits, decode_threads: usize) -> Self {
        Self::with_metrics(limits, decode_threads, Metrics::default())
    }

    /// The same, counting in `metrics`.
    pub fn with_metrics(limits: Limits, decode_threads: usize, metrics: Metrics) -> Self {
        let metrics = Arc::new(metrics);
        let threads = if decode_threads > 0 { decode_threads } else { cores() };
        let inner = Inner {
            registry: Registry::new(metrics.clone()),
            metrics,
            limits,
            bodies: Arc::new(Semaphore::new((limits.max_in_flight_bytes / KIB).min(Semaphore::MAX_PERMITS))),
            decoders: Arc::new(Semaphore::new(threads)),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The models, for whoever loads them.
    pub fn registry(&self) -> &Registry {
        &self.inner.registry
    }

    /// Every model and version, sorted by name, then version.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.inner.registry.list()
    }

    /// One version of a model, the highest available one for `None`.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn find(&self, name: &str, version: Option<u64>) -> Result<ModelStatus, Error> {
        self.inner.registry.status(name, version)
    }

    /// Every version of a model, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn versions(&self, name: &str) -> Result<Vec<ModelStatus>, Error> {
        self.inner.registry.versions(name)
    }

    /// The model that a request means, ready to answer.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and, while it loads, [`ErrorKind::Unavailable`].
    pub fn served(&self, name: &str, version: Option<u64>) -> Result<Arc<ServedModel>, Error> {
        self.inner.registry.served(name, version).map(|served| served.model)
    }

    /// Starts to measure a request to classify, for the metrics. To be ended with its outcome.
    ///
    /// * `model`: as the client wrote it; a name that is not known is not told on
    /// * `started`: when the request came
    pub fn measure(&self, protocol: Protocol, model: &str, version: Option<u64>, started: Instant) -> RequestMeter<'_> {
        let subject = self.inner.registry.subject(model, version);
        RequestMeter::start(&self.inner.metrics, subject, protocol, started)
    }

    /// All metrics in Prometheus' text format 0.0.4.
    pub fn metrics_text(&self) -> String {
        self.inner.metrics.text(&self.inner.registry.states())
    }

    /// Whether traffic may come.
    pub fn readiness(&self) -> Readiness {
        *self.inner.registry.readiness.borrow()
    }

    /// Follows [`Service::readiness`]. Wakes up as well when the state of any model changes.
    pub fn readiness_watch(&self) -> watch::Receiver<Readiness> {
        self.inner.registry.readiness.subscribe()
    }

    /// Turns [`Readiness::Draining`]; requests are still answered. Never goes back.
    pub fn start_draining(&self) {
        self.inner.registry.readiness.send_replace(Readiness::Draining);
    }

    /// How large a request may be.
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }
}

/// The cores that this process may use: its affinity and the container's CPU quota, not the host's count.
pub fn cores() -> usize {
    available_parallelism().map_or(1, NonZeroUsize::get)
}
