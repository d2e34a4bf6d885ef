//! The one way from a request to an answer, under every door: admit → preprocess → submit → await → answer.
//!
//! Knows models and stages. Must not know HTTP, gRPC or the command line, nor how models come and go.

mod account;
mod admission;
mod answer;
mod answered;
mod arrival;
mod asker;
mod cascade;
mod chosen;
mod claims;
mod classes;
mod cold;
mod content;
mod crops;
mod decoders;
mod ensemble;
mod error;
mod escalation;
mod explain;
mod failure;
mod flights;
mod held;
mod last_use;
mod limits;
mod line;
mod manage;
mod outputs;
mod pick;
mod picture;
mod preparing;
mod readiness;
mod registry;
mod reporting;
mod request;
mod row_cache;
mod row_key;
mod scarcity;
mod served;
mod server_load;
mod several;
mod sharing;
mod spans;
mod stats;
mod target;
mod traffic;
mod warming;
mod watched;
mod writer;

use std::{num::NonZeroUsize, sync::Arc, thread::available_parallelism, time::Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub use crate::{
    batching::{ClientId, ExpectedRun, Priority, QueueView},
    model::{ModelInfo, ModelState, ModelStatus, TensorInfo},
    postprocess::{ClassMap, labels_difference, top_k},
    preprocess::Framing,
    telemetry::{
        CacheState, ModelCounts, ModelLatencies, PhaseTimes, Quantiles, RunStatistics, RunsOfSize, ShadowOutcome,
        TimedCount, TraceContext,
    },
};
pub use account::{Charge, Payer};
pub use answer::{Answer, NamedOutput, Prediction, Timing};
pub use arrival::Arrival;
pub use asker::Asker;
pub use cascade::{CascadeRule, CascadeStatus};
pub use chosen::MOST_EXPLAINED;
pub use cold::{ColdCall, still_loading};
pub use crops::{ExplainCrops, ExplainedCrop};
pub use error::{Error, ErrorKind, ErrorSubject, Shown, shortened};
pub use explain::{ExplainRequest, ExplainView, Explained, ExplainedClass, Explanation};
pub use limits::RequestLimits;
pub use manage::{LabelTarget, ManageModels, Managed};
pub use outputs::{FEATURES, LOGITS, PROBABILITIES};
pub use pick::VersionPick;
pub use readiness::Readiness;
pub use registry::VersionStatistics;
pub use request::{ClassesWanted, DEFAULT_TOP_K, Request, Wanted};
pub use served::Retire;
pub use server_load::ServerLoad;
pub use several::{SeveralAnswers, SeveralRequest};
pub use stats::{ServerStats, VersionStats};
pub use target::{Item, Target};
pub use traffic::{ShadowView, SplitKeys, TrafficView};
pub use writer::RegistryWriter;

use crate::telemetry::{DoorMetrics, KeyMetrics, Metrics, ScrapeState, StoreMeter};
use account::Account;
use decoders::Decoders;
use registry::Registry;
use server_load::LastLoad;
use sharing::Sharing;

/// Answers requests for all models. Cheap to clone.
#[derive(Clone)]
pub struct Service {
    inner: Arc<Inner>,
}

struct Inner {
    registry: Arc<Registry>,
    metrics: Arc<Metrics>,
    limits: RequestLimits,
    account: Arc<Account>,
    decoders: Decoders,
    sharing: Option<Sharing>,
    last_load: LastLoad,
    began: Instant,
}

impl Service {
    /// A service that knows no model yet and is [`Readiness::Loading`], and the one way to give it models.
    ///
    /// * `decode_threads`: how many images are decoded side by side; 0: as many as there are cores
    pub fn new(limits: RequestLimits, decode_threads: usize, metrics: Metrics) -> (Self, RegistryWriter) {
        let metrics = Arc::new(metrics);
        let registry = Arc::new(Registry::new());
        let threads = if decode_threads > 0 { decode_threads } else { cores() };
        let decoders = Decoders::new(threads);
        let inner = Inner {
            registry: registry.clone(),
            metrics: metrics.clone(),
            limits,
            account: Arc::new(Account::new(limits.max_in_flight_bytes)),
            decoders: decoders.clone(),
            sharing: Sharing::new(&limits, threads),
            last_load: LastLoad::default(),
            began: Instant::now(),
        };
        (Self { inner: Arc::new(inner) }, RegistryWriter::new(registry, metrics, decoders, decode_threads == 0))
    }

    /// Every model and version, sorted by name, then version.
    pub fn list(&self) -> Vec<ModelStatus> {
        self.registry().current().list()
    }

    /// Every cascade, sorted by the model whose it is.
    pub fn cascades(&self) -> Vec<CascadeStatus> {
        self.registry().current().cascade_list()
    }

    /// One version of a model.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn find<'v>(&self, name: &str, version: impl Into<VersionPick<'v>>) -> Result<ModelStatus, Error> {
        self.registry().current().status(name, version.into())
    }

    /// Every version of a model, sorted.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`], with what is served in the message.
    pub fn versions(&self, name: &str) -> Result<Vec<ModelStatus>, Error> {
        self.registry().current().versions(name)
    }

    /// The version of a model that answers at once.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and, while it loads or where a request has to load it first, [`ErrorKind::Unavailable`].
    pub fn target<'v>(&self, name: &str, version: impl Into<VersionPick<'v>>) -> Result<Target, Error> {
        self.registry().current().target(name, version.into())
    }

    /// The name of a model of which a version answers requests, if need be after it was loaded for the first of them.
    ///
    /// # Errors
    /// As for [`Service::target`].
    pub fn answers<'v>(&self, name: &str, version: impl Into<VersionPick<'v>>) -> Result<Arc<str>, Error> {
        self.registry().current().answers(name, version.into())
    }

    /// What has been done by every version that answers, or by those of one model, or by one of them.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] for a name that is not known; for a version as [`Service::target`].
    pub fn statistics(&self, name: Option<&str>, version: Option<u64>) -> Result<Vec<VersionStatistics>, Error> {
        self.registry().current().statistics(name, version)
    }

    /// All metrics in Prometheus' text format 0.0.4.
    pub fn metrics_text(&self) -> String {
        self.scraped(Metrics::text)
    }

    /// The same as OpenMetrics, with the traces of recorded requests as exemplars.
    pub fn open_metrics_text(&self) -> String {
        self.scraped(Metrics::open_metrics_text)
    }

    fn scraped(&self, write: impl FnOnce(&Metrics, &ScrapeState<'_>) -> String) -> String {
        let now = ScrapeState {
            versions: &self.registry().current().states(),
            in_flight_bytes: self.in_flight_bytes(),
            cache: self.cache_state(),
            cores: cores(),
            decode_threads: self.inner.decoders.threads(),
        };
        write(self.metrics(), &now)
    }

    /// The metrics of a door.
    pub fn door_metrics(&self, door: &'static str) -> DoorMetrics {
        self.metrics().door(door)
    }

    /// What is counted of API keys.
    pub fn key_metrics(&self) -> KeyMetrics {
        self.metrics().keys().clone()
    }

    /// The metrics of a store that models come from.
    pub fn store_metrics(&self, store: &str) -> StoreMeter {
        self.metrics().store(store)
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

    /// The most bytes of a body or a message, as it comes and, where it is packed, as it is unpacked: what was set, else 32 MiB or as
    /// many as the largest batch of a served model has, where that is more and fits the account of memory.
    pub fn max_body_bytes(&self) -> usize {
        match self.limits().max_body_bytes {
            0 => {
                let largest = self.registry().largest_batch_bytes().min(self.limits().max_in_flight_bytes);
                largest.max(RequestLimits::LEAST_BODY_BYTES)
            }
            set => set,
        }
    }

    /// How large a request may be.
    pub fn limits(&self) -> &RequestLimits {
        &self.inner.limits
    }

    /// Whoever pays for the requests of a connection that just came.
    ///
    /// * `cut`: ends the connection at once
    pub fn payer(&self, cut: CancellationToken) -> Payer {
        self.inner.account.payer(cut)
    }

    /// A charge on the account of memory, for a request that is nobody's but its own.
    ///
    /// # Errors
    /// [`ErrorKind::Overloaded`] where the requests in work leave no room.
    pub fn open_charge(&self) -> Result<Arc<Charge>, Error> {
        self.payer(CancellationToken::new()).open_charge()
    }

    /// The bytes that the requests in work take.
    pub fn in_flight_bytes(&self) -> usize {
        self.inner.account.used()
    }

    /// What is kept of answers.
    fn cache_state(&self) -> CacheState {
        self.inner.sharing.as_ref().map(Sharing::state).unwrap_or_default()
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
