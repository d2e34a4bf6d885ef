//! One line of log per request, whichever door it came through.

use std::{
    fmt::Display,
    sync::Arc,
    time::{Duration, Instant},
};

use tracing::{debug, error, field::display, info};

use super::request_id::RequestId;
use crate::{
    service::ErrorKind,
    telemetry::{Seldom, TraceId},
    tls::ClientName,
};

/// The most lines about slow requests in ten seconds: whoever sends a body in 30 seconds can be slow 4,096 times at once.
const MOST_SLOW_LINES: u64 = 100;

/// Which requests are slow, and how many of them are told of at level info. Clones count together.
#[derive(Clone)]
pub(super) struct SlowRequests {
    after: Duration,
    lines: Arc<Seldom>,
}

impl SlowRequests {
    pub(super) fn new(after: Duration) -> Self {
        Self { after, lines: Arc::new(Seldom::new(MOST_SLOW_LINES)) }
    }
}

/// A request being answered. Logs when it is finished, or that the client left when it is dropped before.
pub(super) struct RequestLog<'a> {
    protocol: &'static str,
    id: &'a RequestId,
    trace_id: Option<TraceId>,
    key: Option<Arc<str>>,
    client: Option<ClientName>,
    started: Instant,
    slow: Duration,
    slow_lines: &'a Seldom,
    finished: bool,
}

impl<'a> RequestLog<'a> {
    pub(super) fn start(protocol: &'static str, id: &'a RequestId, slow: &'a SlowRequests) -> Self {
        Self {
            protocol,
            id,
            trace_id: None,
            key: None,
            client: None,
            started: Instant::now(),
            slow: slow.after,
            slow_lines: &slow.lines,
            finished: false,
        }
    }

    /// The same for a request that came at `arrived`.
    pub(super) fn since(mut self, arrived: Instant) -> Self {
        self.started = arrived;
        self
    }

    /// The same for a request that belongs to a trace.
    pub(super) fn in_trace(mut self, trace_id: Option<TraceId>) -> Self {
        self.trace_id = trace_id;
        self
    }

    /// The same for a request of a key of this name.
    pub(super) fn of_key(mut self, name: Option<&Arc<str>>) -> Self {
        self.key = name.cloned();
        self
    }

    /// The same for a request of somebody whose certificate is known.
    pub(super) fn of_client(mut self, client: Option<ClientName>) -> Self {
        self.client = client;
        self
    }

    /// The same for a request whose client determined how long it took: one whose body came slowly and never whole, a stream. Whoever
    /// has thousands of them cut at once would write thousands of lines of slow requests.
    pub(super) fn at_its_clients_pace(mut self) -> Self {
        self.slow = Duration::MAX;
        self
    }

    /// Logs the answer: our own failure at level error, a slow one at info unless there are too many, everything else at debug.
    ///
    /// Overload, loading and draining are states that clients are told about, not failures: at error, each would flood the log.
    pub(super) fn finish(
        mut self,
        what: impl Display,
        status: impl Display,
        failure: Option<ErrorKind>,
        message: &str,
    ) {
        let is_our_failure = failure == Some(ErrorKind::Internal);
        self.finished = true;
        let Self { protocol, id, .. } = self;
        let trace_id = self.trace_id.map(display);
        let (client, key) = (self.client.as_ref().map(display), self.key.as_deref());
        let elapsed = self.started.elapsed();
        let ms = elapsed.as_secs_f64() * 1e3;
        if is_our_failure {
            error!(protocol, request_id = %id, trace_id, client, key, request = %what, %status, ms, message);
        } else if elapsed > self.slow
            && let Some(left_out) = self.slow_lines.turn()
        {
            let left_out = (left_out > 0).then_some(left_out);
            info!(protocol, request_id = %id, trace_id, client, key, request = %what, %status, ms, slow = true, left_out, message);
        } else {
            debug!(protocol, request_id = %id, trace_id, client, key, request = %what, %status, ms, message);
        }
    }
}

impl Drop for RequestLog<'_> {
    fn drop(&mut self) {
        if !self.finished {
            let ms = self.started.elapsed().as_secs_f64() * 1e3;
            let trace_id = self.trace_id.map(display);
            let (client, key) = (self.client.as_ref().map(display), self.key.as_deref());
            debug!(protocol = self.protocol, request_id = %self.id, trace_id, client, key, ms, "the client left before the answer");
        }
    }
}
