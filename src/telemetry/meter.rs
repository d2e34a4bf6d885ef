//! A request to classify from its head to its answer, as the metrics see it.

use std::{sync::Arc, time::Instant};

use super::{
    labels::{OK, Protocol},
    metrics::Metrics,
    model_metrics::ModelMetrics,
    trace_parent::TraceId,
};

/// The code of a request whose client left before the answer.
const CANCELLED: &str = "CANCELLED";

/// Whom a request is for. Only names of models that are known become label values.
pub(crate) enum Subject {
    /// A version that answers.
    Served(Arc<ModelMetrics>),
    /// A model that is known and does not answer, or not in this version.
    Known(Arc<str>),
    /// A name that no model has. Its labels `model` and `version` stay empty, or clients could make time series without
    /// end.
    Unknown,
}

/// Counts a request as in flight while it is held, and by its code when it is dropped.
#[must_use = "a request whose meter is dropped counts as left by its client"]
pub struct RequestMeter<'a> {
    metrics: &'a Metrics,
    subject: Subject,
    protocol: Protocol,
    started: Instant,
    code: &'static str,
    trace: Option<TraceId>,
}

impl<'a> RequestMeter<'a> {
    pub(crate) fn start(metrics: &'a Metrics, subject: Subject, protocol: Protocol, started: Instant) -> Self {
        metrics.in_flight.inc();
        Self { metrics, subject, protocol, started, code: CANCELLED, trace: None }
    }

    /// The version that the request is for answers now, and did not before.
    pub(crate) fn is_for(&mut self, served: Arc<ModelMetrics>) {
        self.subject = Subject::Served(served);
    }

    /// The request is recorded there.
    pub(crate) fn in_trace(&mut self, trace: Option<TraceId>) {
        self.trace = trace;
    }

    /// The request has its answer.
    ///
    /// * `error`: the name of the error on the wire, where the answer is a refusal
    pub fn finish(mut self, error: Option<&'static str>) {
        self.code = error.unwrap_or(OK);
    }
}

impl Drop for RequestMeter<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
        let time = self.started.elapsed();
        let refusal =
            |model, version| self.metrics.note_refusal(model, version, self.protocol, self.code, time, self.trace);
        match &self.subject {
            Subject::Served(model) if self.code == OK => model.note_answer(self.protocol, time, self.trace),
            Subject::Served(model) => {
                model.sums.note_fail(time);
                refusal(&model.model, Some(model.version));
            }
            Subject::Known(model) => refusal(model, None),
            Subject::Unknown => refusal(&Arc::from(""), None),
        }
    }
}
