//! Decides at the door whether a request is recorded.

use std::{sync::Arc, time::Instant};

use opentelemetry::trace::TraceState;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

use super::{
    sampling::Sampling,
    span::{OpenSpan, TracedRequest},
    spans::SpanQueue,
};
use crate::telemetry::trace_parent::TraceParent;

/// Longer states of other vendors are passed over, as the standard allows.
const MOST_STATE_BYTES: usize = 512;

/// Records requests, or none. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Recorder>>);

#[derive(Debug)]
struct Recorder {
    queue: SpanQueue,
    sampling: Sampling,
}

impl Tracer {
    /// Records no request.
    pub fn off() -> Self {
        Self(None)
    }

    pub(super) fn new(queue: SpanQueue, sampling: Sampling) -> Self {
        Self(Some(Arc::new(Recorder { queue, sampling })))
    }

    /// The door's span of a request, if it is recorded.
    ///
    /// * `parent`, `state`: the headers `traceparent` and `tracestate`; the state is looked at where there is a parent that counts
    /// * `arrived`: when the request came
    pub fn begin<'s>(
        &self,
        parent: Option<TraceParent>,
        state: impl FnOnce() -> Option<&'s str>,
        arrived: Instant,
    ) -> Option<OpenSpan> {
        let Recorder { queue, sampling } = self.0.as_deref()?;
        let trace_id = match parent {
            Some(parent) => parent.trace_id,
            None => u128::from_be_bytes(RandomIdGenerator::default().new_trace_id().to_bytes()),
        };
        if !sampling.keeps(parent, trace_id) {
            return None;
        }
        let state = parent.and_then(|_| state()).filter(|state| state.len() <= MOST_STATE_BYTES);
        let state = state.and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
        Some(Arc::new(TracedRequest::new(queue.clone(), trace_id, parent, state, arrived)).at_the_door())
    }
}

/// Two are the same that record into the same queue.
impl PartialEq for Tracer {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }
}

impl Eq for Tracer {}
