//! What a handler knows of its call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use super::convert;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    server::{
        request_id::RequestId,
        request_log::{RequestLog, SlowRequests},
    },
    service::{Charge, ClientId, Error, ErrorKind, SplitKeys},
    telemetry::{TraceContext, TraceId, TraceParent, TracedRequest, trace_id},
    tls::ClientName,
};

/// What a handler knows of its call, from the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct GrpcCall {
    pub(super) id: RequestId,
    /// When the head of the request was there.
    pub(super) arrived: Instant,
    /// The memory that it takes.
    pub(super) charge: Arc<Charge>,
    /// Whose it is, where clients take turns.
    pub(super) client: Option<ClientId>,
    /// Who asks, where clients have to show certificates.
    pub(super) client_name: Option<ClientName>,
    /// What decides between versions of a model.
    pub(super) keys: SplitKeys,
    pub(super) parent: Option<TraceParent>,
    /// Where the call's way is recorded, if it is.
    pub(super) traced: Option<Arc<TracedRequest>>,
    /// Fires when the connection is told to close.
    pub(super) leaving: CancellationToken,
}

/// Whether a handler has taken the call.
#[derive(Clone, Debug, Default)]
pub(super) struct Taken(Arc<AtomicBool>);

impl Taken {
    pub(super) fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl GrpcCall {
    /// What the call's lines of log carry.
    pub(super) fn trace(&self) -> TraceContext {
        TraceContext { request_id: self.id.as_str().into(), parent: self.parent, traced: self.traced.clone() }
    }

    /// Its line of log, from now on.
    pub(super) fn log<'a>(&'a self, slow: &'a SlowRequests) -> RequestLog<'a> {
        RequestLog::start("grpc", &self.id, slow).of_client(self.client_name.clone()).in_trace(self.trace_id())
    }

    /// The trace that it is recorded in.
    pub(super) fn recorded(&self) -> Option<TraceId> {
        self.traced.as_deref().map(TracedRequest::trace_id)
    }

    /// The trace that it belongs to.
    pub(super) fn trace_id(&self) -> Option<TraceId> {
        trace_id(self.traced.as_deref(), self.parent)
    }

    /// The context that [`GrpcDoor`](super::GrpcDoor) left with the request.
    ///
    /// From here on the handler logs and counts the call.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        if let Some(Taken(taken)) = request.extensions().get() {
            taken.store(true, Ordering::Relaxed);
        }
        let missing = || convert::status(&Error::new(ErrorKind::Internal, "a call without a context"));
        request.extensions().get::<Self>().cloned().ok_or_else(missing)
    }
}
