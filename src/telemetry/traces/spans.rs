//! The bounded queue between requests and the thread that sends.

use opentelemetry::trace::SpanContext;
use opentelemetry_sdk::trace::SpanData;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use super::{
    counts::SpanCounts,
    runs::{RunIds, SeenRun},
};

/// Something that was recorded.
pub(super) enum Recorded {
    /// A span that is whole.
    Span(Box<SpanData>),
    /// A request's span of a run, and the run.
    InRun(Box<SpanData>, Box<SeenRun>),
}

impl Recorded {
    pub(super) fn context(&self) -> &SpanContext {
        let (Self::Span(span) | Self::InRun(span, _)) = self;
        &span.span_context
    }
}

/// The queue's end at the requests.
#[derive(Clone, Debug)]
pub(super) struct SpanQueue {
    sender: Sender<Recorded>,
    counts: SpanCounts,
    pub(super) ids: RunIds,
}

impl SpanQueue {
    pub(super) fn new(capacity: usize, counts: SpanCounts, ids: RunIds) -> (Self, Receiver<Recorded>) {
        let (sender, receiver) = channel(capacity);
        (Self { sender, counts, ids }, receiver)
    }

    /// Never waits: what finds no room is lost. Where nobody reads any more, the process is about to end.
    pub(super) fn put(&self, recorded: Recorded) {
        if self.sender.try_send(recorded).is_err() {
            self.counts.queue_full.inc();
        }
    }
}
