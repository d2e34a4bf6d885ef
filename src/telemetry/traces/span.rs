//! A request that is recorded, and what it does while that is under way.
//!
//! A span is made when it ends, from two readings of the clock that runs evenly; only its beginning as a whole is told by the clock on the
//! wall.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use opentelemetry::{
    KeyValue, Value,
    trace::{Link, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState},
};
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator, SpanData, SpanLinks};

use super::{
    runs::{RunKey, SeenRun},
    spans::{Recorded, SpanQueue},
};
use crate::telemetry::trace_parent::{TraceId, TraceParent};

/// A request whose way is recorded. Shared by all that is done for it.
#[derive(Debug)]
pub struct TracedRequest {
    queue: SpanQueue,
    trace_id: u128,
    /// The door's span, which all others are under.
    span_id: SpanId,
    /// The caller's.
    parent: SpanId,
    state: TraceState,
    /// One moment on both clocks.
    began: (Instant, SystemTime),
}

impl TracedRequest {
    pub(super) fn new(
        queue: SpanQueue,
        trace_id: u128,
        parent: Option<TraceParent>,
        state: TraceState,
        arrived: Instant,
    ) -> Self {
        let wall = SystemTime::now();
        let began = (arrived, wall.checked_sub(arrived.elapsed()).unwrap_or(wall));
        let parent = parent.map_or(SpanId::INVALID, |parent| parent.span_id.into());
        Self { queue, trace_id, span_id: RandomIdGenerator::default().new_span_id(), parent, state, began }
    }

    /// Of the whole trace.
    pub fn trace_id(&self) -> TraceId {
        TraceId(self.trace_id)
    }

    /// The door's place in the trace, as the header `traceresponse` tells a caller.
    pub fn place(&self) -> TraceParent {
        let span_id = u64::from_be_bytes(self.span_id.to_bytes());
        TraceParent { trace_id: self.trace_id, span_id, sampled: true }
    }

    /// Something that begins now, under the door's span.
    pub fn phase(self: &Arc<Self>, name: &'static str) -> OpenSpan {
        OpenSpan {
            request: self.clone(),
            name: Cow::Borrowed(name),
            kind: SpanKind::Internal,
            start: Instant::now(),
            attributes: Vec::new(),
            is_over: false,
        }
    }

    /// The span of the door itself, since the request came.
    pub(super) fn at_the_door(self: Arc<Self>) -> OpenSpan {
        let start = self.began.0;
        OpenSpan {
            request: self,
            name: Cow::Borrowed("request"),
            kind: SpanKind::Server,
            start,
            attributes: Vec::new(),
            is_over: false,
        }
    }

    fn wall(&self, at: Instant) -> SystemTime {
        let (instant, wall) = self.began;
        match at.checked_duration_since(instant) {
            Some(later) => wall + later,
            None => wall.checked_sub(instant.saturating_duration_since(at)).unwrap_or(wall),
        }
    }
}

/// A span under way. Dropped before its end, it says that whoever waited for it left.
#[derive(Debug)]
#[must_use = "a span that is dropped says that it was given up"]
pub struct OpenSpan {
    request: Arc<TracedRequest>,
    name: Cow<'static, str>,
    kind: SpanKind,
    start: Instant,
    attributes: Vec<KeyValue>,
    is_over: bool,
}

/// Why a span ends that nobody ended.
const GIVEN_UP: &str = "given up: whoever waited left, or something before it failed";

impl OpenSpan {
    /// The request that it belongs to.
    pub fn request(&self) -> &Arc<TracedRequest> {
        &self.request
    }

    /// When it began.
    pub fn start(&self) -> Instant {
        self.start
    }

    /// What it is called; few names, never a client's.
    pub fn named(mut self, name: impl Into<Cow<'static, str>>) -> Self {
        self.name = name.into();
        self
    }

    /// It began then.
    pub fn since(mut self, start: Instant) -> Self {
        self.start = start;
        self
    }

    /// Something to know of it.
    pub fn with(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.attributes.push(KeyValue::new(key, value));
        self
    }

    /// It ended well.
    pub fn end(self) {
        self.end_at(Instant::now());
    }

    /// It ended well, at that time.
    pub fn end_at(mut self, end: Instant) {
        let (span, _) = self.take(end, Status::Unset, None);
        self.request.queue.put(Recorded::Span(span));
    }

    /// It failed.
    pub fn fail(mut self, why: impl Into<Cow<'static, str>>) {
        self.put_failed(why.into());
    }

    /// It was the part that the request had in a run of the network, which is linked to it.
    ///
    /// * `model`: and its version
    /// * `images`: of the run
    /// * `time`: that the run took, from the beginning of this span on
    pub fn end_in_run(mut self, key: RunKey, (model, version): (&Arc<str>, u64), images: usize, time: Duration) {
        let link = self.request.queue.ids.context(key);
        let (span, (start, end)) = self.take(self.start + time, Status::Unset, Some(link));
        let seen = SeenRun { key, model: model.clone(), version, images, start, end };
        self.request.queue.put(Recorded::InRun(span, Box::new(seen)));
    }

    /// It is of no interest.
    pub fn forget(mut self) {
        self.is_over = true;
    }

    fn put_failed(&mut self, why: Cow<'static, str>) {
        let (span, _) = self.take(Instant::now(), Status::error(why), None);
        self.request.queue.put(Recorded::Span(span));
    }

    fn take(
        &mut self,
        end: Instant,
        status: Status,
        link: Option<SpanContext>,
    ) -> (Box<SpanData>, (SystemTime, SystemTime)) {
        self.is_over = true;
        let request = &self.request;
        let is_door = self.kind == SpanKind::Server;
        let span_id = if is_door { request.span_id } else { RandomIdGenerator::default().new_span_id() };
        let parent_span_id = if is_door { request.parent } else { request.span_id };
        let (start, end) = (request.wall(self.start), request.wall(end.max(self.start)));
        let mut links = SpanLinks::default();
        links.links.extend(link.map(Link::with_context));
        let state = request.state.clone();
        let span = SpanData {
            span_context: SpanContext::new(request.trace_id.into(), span_id, TraceFlags::SAMPLED, false, state),
            parent_span_id,
            parent_span_is_remote: is_door && request.parent != SpanId::INVALID,
            span_kind: self.kind.clone(),
            name: std::mem::take(&mut self.name),
            start_time: start,
            end_time: end,
            attributes: std::mem::take(&mut self.attributes),
            dropped_attributes_count: 0,
            events: Default::default(),
            links,
            status,
            instrumentation_scope: Default::default(),
        };
        (Box::new(span), (start, end))
    }
}

impl Drop for OpenSpan {
    fn drop(&mut self) {
        if !self.is_over {
            self.put_failed(Cow::Borrowed(GIVEN_UP));
        }
    }
}
