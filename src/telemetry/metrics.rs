//! The counters and histograms of requests, and the handles that count them up.
//!
//! [`Metrics`] has the families of one service (no global: two services in one process count apart). A model's handles are
//! found once, when it is served ([`ModelMetrics`]): a request then costs an atomic for a count and one uncontended lock
//! for each histogram, and neither hashes a label nor allocates. Label values come from the models that are known and
//! from fixed lists, never from a client.
//!
//! The names are those of the contract with operators; a change is a breaking change.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use prometheus_client::{
    encoding::text,
    metrics::{family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    count::Count,
    door::{DoorFamilies, DoorMetrics},
    exemplars::{TracedHistogram, observe},
    exposition::{open_metrics, plain},
    keys::KeyMetrics,
    labels::{
        DoorLabels, ModelLabel, OK, PredictionLabels, Protocol, RefusalLabels, RequestLabels, door_labels,
        request_labels,
    },
    model_events::ModelEvents,
    model_metrics::{AnsweredRequests, ModelMetrics},
    process,
    recent::Recent,
    refusal_reason::RefusalReason,
    seen::SeenLabels,
    state::{self, ScrapeState},
    statistics::RunSums,
    stores::{StoreFamilies, StoreMeter},
    trace_parent::TraceId,
    traces::{SpanCounts, SpanFamilies},
    traffic::TrafficFamilies,
};

/// The upper bounds of the time histograms, in seconds: from one run of a small network to a queue that hardly moves.
const SECONDS: [f64; 16] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// The upper bounds of the batch size; a batch has at most 1,024 images.
const IMAGES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

fn traced_seconds() -> TracedHistogram {
    TracedHistogram::new(SECONDS.into_iter())
}

fn images() -> Histogram {
    Histogram::new(IMAGES)
}

/// The metrics of one service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    pub(super) requests: Family<RequestLabels, Count>,
    pub(super) request_duration: Family<DoorLabels, TracedHistogram>,
    pub(super) preprocess_duration: Family<ModelLabel, TracedHistogram>,
    pub(super) queue_duration: Family<ModelLabel, TracedHistogram>,
    pub(super) inference_duration: Family<ModelLabel, Histogram>,
    pub(super) batch_size: Family<ModelLabel, Histogram>,
    pub(super) worker_restarts: Family<ModelLabel, Count>,
    pub(super) events: ModelEvents,
    pub(super) refusals: Family<RefusalLabels, Count>,
    pub(super) cache_hits: Family<ModelLabel, Count>,
    pub(super) cache_misses: Family<ModelLabel, Count>,
    pub(super) shared_runs: Family<ModelLabel, Count>,
    pub(super) predictions: Option<Family<PredictionLabels, Count>>,
    pub(super) in_flight: Gauge,
    doors: DoorFamilies,
    stores: StoreFamilies,
    spans: SpanFamilies,
    keys: KeyMetrics,
    pub(super) seen: SeenLabels,
    traffic: Arc<TrafficFamilies>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(false)
    }
}

impl Metrics {
    /// Metrics at zero.
    ///
    /// * `predictions`: whether the most probable class of every image is counted: one series a label
    pub fn new(predictions: bool) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("resnetd"),
            requests: Family::default(),
            request_duration: Family::new_with_constructor(traced_seconds),
            preprocess_duration: Family::new_with_constructor(traced_seconds),
            queue_duration: Family::new_with_constructor(traced_seconds),
            inference_duration: Family::new_with_constructor(seconds),
            batch_size: Family::new_with_constructor(images),
            worker_restarts: Family::default(),
            events: ModelEvents::default(),
            refusals: Family::default(),
            cache_hits: Family::default(),
            cache_misses: Family::default(),
            shared_runs: Family::default(),
            predictions: predictions.then(Family::default),
            in_flight: Gauge::default(),
            doors: DoorFamilies::default(),
            stores: StoreFamilies::default(),
            spans: SpanFamilies::default(),
            keys: KeyMetrics::default(),
            seen: SeenLabels::default(),
            traffic: Arc::default(),
        };
        metrics.register();
        metrics
    }

    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("requests_total", "Requests to classify, by how they ended", self.requests.clone());
        registry.register(
            "request_duration_seconds",
            "From the head of a request to classify until its answer or refusal",
            self.request_duration.clone(),
        );
        registry.register(
            "preprocess_duration_seconds",
            "Decoding, resizing and cropping of one image, without the wait for a thread",
            self.preprocess_duration.clone(),
        );
        registry.register("queue_duration_seconds", "The wait of one image for a worker", self.queue_duration.clone());
        registry.register(
            "inference_duration_seconds",
            "One run of the network over a whole batch",
            self.inference_duration.clone(),
        );
        registry.register("batch_size", "Images of one run of the network", self.batch_size.clone());
        registry.register(
            "worker_restarts_total",
            "Workers that broke between two runs and began anew",
            self.worker_restarts.clone(),
        );
        registry.register(
            "refused_images_total",
            "Images that were refused although nothing was wrong with them, by the reason",
            self.refusals.clone(),
        );
        for (name, help, family) in [
            ("cache_hits_total", "Images whose row was kept from an earlier answer", &self.cache_hits),
            ("cache_misses_total", "Images whose row was looked for, and was not kept", &self.cache_misses),
            ("shared_runs_total", "Images answered from the run of another request for the same", &self.shared_runs),
        ] {
            registry.register(name, help, family.clone());
        }
        self.events.register(registry);
        registry.register(
            "in_flight_requests",
            "Requests to classify between their head and their answer",
            self.in_flight.clone(),
        );
        self.doors.register(registry);
        self.stores.register(registry);
        self.spans.register(registry);
        self.keys.register(registry);
        self.traffic.register(registry);
        if let Some(predictions) = &self.predictions {
            registry.register("predictions_total", "Images by their most probable class", predictions.clone());
        }
    }

    /// The handles of one version of a model; versions share what has no `version` label.
    ///
    /// * `labels`: the model's, in index order
    /// * `max_batch_size`: the most images of a run
    pub fn model(&self, model: &Arc<str>, version: u64, labels: &[Arc<str>], max_batch_size: usize) -> ModelMetrics {
        let of_model = ModelLabel { model: model.clone() };
        if self.predictions.is_some() {
            self.seen.note_classes(model, labels);
        }
        let answered = Protocol::ALL.map(|protocol| AnsweredRequests {
            requests: self.requests.get_or_create_owned(&request_labels(model, Some(version), protocol, OK)).0,
            duration: self.request_duration.get_or_create_owned(&door_labels(model, protocol)),
        });
        let count = |family: &Family<PredictionLabels, Count>, label: &Arc<str>| {
            family.get_or_create_owned(&PredictionLabels { model: model.clone(), label: label.clone() }).0
        };
        ModelMetrics {
            model: model.clone(),
            version,
            answered,
            preprocess_duration: self.preprocess_duration.get_or_create_owned(&of_model),
            queue_duration: self.queue_duration.get_or_create_owned(&of_model),
            inference_duration: self.inference_duration.get_or_create_owned(&of_model),
            batch_size: self.batch_size.get_or_create_owned(&of_model),
            worker_restarts: self.worker_restarts.get_or_create_owned(&of_model).0,
            refusals: RefusalReason::ALL.map(|reason| {
                let labels = RefusalLabels { model: model.clone(), reason: reason.name() };
                self.refusals.get_or_create_owned(&labels).0
            }),
            began: Instant::now(),
            recent_requests: Recent::new(),
            recent_images: Recent::new(),
            cache_hits: self.cache_hits.get_or_create_owned(&of_model).0,
            cache_misses: self.cache_misses.get_or_create_owned(&of_model).0,
            shared_runs: self.shared_runs.get_or_create_owned(&of_model).0,
            predictions: self
                .predictions
                .as_ref()
                .map_or_else(Vec::new, |family| labels.iter().map(|label| count(family, label)).collect()),
            sums: RunSums::new(max_batch_size),
        }
    }

    /// The handles of a door.
    pub fn door(&self, door: &'static str) -> DoorMetrics {
        self.doors.door(door)
    }

    /// The handles of a store that models come from.
    pub fn store(&self, store: &str) -> StoreMeter {
        self.stores.store(store)
    }

    /// What becomes of spans, where requests are traced.
    pub fn spans(&self) -> SpanCounts {
        self.spans.counts()
    }

    /// What is counted of API keys.
    pub fn keys(&self) -> &KeyMetrics {
        &self.keys
    }

    /// The counts of shared-out and mirrored traffic.
    pub fn traffic(&self) -> &Arc<TrafficFamilies> {
        &self.traffic
    }

    /// What becomes of loads.
    pub fn events(&self) -> &ModelEvents {
        &self.events
    }

    /// Counts a request that was not answered, or not by a model that is served.
    pub(super) fn note_refusal(
        &self,
        model: &Arc<str>,
        version: Option<u64>,
        protocol: Protocol,
        code: &'static str,
        time: Duration,
        trace: Option<TraceId>,
    ) {
        self.seen.note_code(code);
        self.requests.get_or_create(&request_labels(model, version, protocol, code)).0.inc();
        observe(&self.request_duration.get_or_create(&door_labels(model, protocol)), time, trace);
    }

    /// What is counted, without what is only true in this moment.
    pub fn own_text(&self) -> String {
        plain(self.written())
    }

    fn written(&self) -> String {
        let mut text = String::with_capacity(16 << 10);
        // Writing to a string never fails, and neither do our metrics.
        let _ = text::encode_registry(&mut text, &self.registry);
        text
    }

    fn all_written(&self, now: &ScrapeState<'_>) -> String {
        let mut text = self.written();
        let _ = text::encode_registry(&mut text, &state::registry(now));
        text.push_str(&process::text());
        text
    }

    /// Everything in Prometheus' text format 0.0.4.
    pub fn text(&self, now: &ScrapeState<'_>) -> String {
        plain(self.all_written(now))
    }

    /// The same as OpenMetrics 1.0.0, with exemplars.
    pub fn open_metrics_text(&self, now: &ScrapeState<'_>) -> String {
        open_metrics(&self.all_written(now))
    }
}
