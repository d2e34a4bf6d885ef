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
    auth::InUse,
    server::{
        audited::Who,
        client_address::ClientAddress,
        request_id::RequestId,
        request_log::{RequestLog, SlowRequests},
    },
    service::{Asker, Charge, ClientId, Error, ErrorKind},
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
    /// Whose key it showed, and what decides between versions of a model.
    pub(super) asker: Asker,
    /// Who asks, where clients have to show certificates.
    pub(super) client_name: Option<ClientName>,
    /// Where its connection comes from.
    pub(super) address: ClientAddress,
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

    /// Who asks.
    pub(super) fn who(&self) -> Who {
        let (asker, client_name, id) = (self.asker.clone(), self.client_name.clone(), self.id.clone());
        Who { asker, client_name, address: Some(self.address), id }
    }

    /// Its line of log, from now on.
    pub(super) fn log<'a>(&'a self, slow: &'a SlowRequests) -> RequestLog<'a> {
        let log = RequestLog::start("grpc", &self.id, slow).of_client(self.client_name.clone());
        log.of_key(self.asker.key_name()).in_trace(self.trace_id())
    }

    /// The trace that it is recorded in.
    pub(super) fn recorded(&self) -> Option<TraceId> {
        self.traced.as_deref().map(TracedRequest::trace_id)
    }

    /// A further request of a stream that this call opened, and what it takes of its key's limits.
    ///
    /// # Errors
    /// With what the stream ends: the key was revoked, or may not ask any more.
    pub(super) fn again(&self) -> Result<(Self, Result<Option<InUse>, Error>), Error> {
        let (asker, in_use) = self.asker.again()?;
        Ok((Self { asker, ..self.clone() }, in_use))
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
        Self::before(request).cloned()
    }

    /// The same before the handler takes the call: what it refuses then is logged and counted for it.
    pub(super) fn before<T>(request: &tonic::Request<T>) -> Result<&Self, Status> {
        let missing = || convert::status(&Error::new(ErrorKind::Internal, "a call without a context"));
        request.extensions().get::<Self>().ok_or_else(missing)
    }
}
