//! What ties a request's lines of log together, here and across services: its id, and the trace that it belongs to.

use std::sync::Arc;

use super::{
    trace_parent::{TraceId, TraceParent},
    traces::{OpenSpan, TracedRequest},
};

/// Travels with a request through the whole line. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TraceContext {
    /// The request's id, as the client knows it: what it sent as `x-request-id`, or what the door made.
    pub request_id: Arc<str>,
    /// The trace that the caller began, if it did.
    pub parent: Option<TraceParent>,
    /// Where its way is recorded, if it is.
    pub traced: Option<Arc<TracedRequest>>,
}

impl TraceContext {
    /// A request that belongs to no trace.
    pub fn new(request_id: impl Into<Arc<str>>) -> Self {
        Self { request_id: request_id.into(), parent: None, traced: None }
    }

    /// The trace that it belongs to, recorded here or not.
    pub fn trace_id(&self) -> Option<TraceId> {
        trace_id(self.traced.as_deref(), self.parent)
    }

    /// The trace that it is recorded in.
    pub fn recorded(&self) -> Option<TraceId> {
        self.traced.as_deref().map(TracedRequest::trace_id)
    }

    /// Something that begins now and is a part of the request's way; `None`, at no cost, where that is not recorded.
    pub fn phase(&self, name: &'static str) -> Option<OpenSpan> {
        self.traced.as_ref().map(|traced| traced.phase(name))
    }
}

/// The trace of a request that is recorded, or whose caller has one.
pub fn trace_id(traced: Option<&TracedRequest>, parent: Option<TraceParent>) -> Option<TraceId> {
    traced.map(TracedRequest::trace_id).or_else(|| parent.map(|parent| TraceId(parent.trace_id)))
}
