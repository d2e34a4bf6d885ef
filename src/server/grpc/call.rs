//! What a handler knows of its call.

use std::{sync::Arc, time::Instant};

use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::{
    server::request_id::RequestId,
    service::Charge,
    telemetry::{TraceContext, TraceParent},
};

/// What a handler knows of its call, from the request's extensions.
#[derive(Clone, Debug)]
pub(super) struct GrpcCall {
    pub(super) id: RequestId,
    /// When the head of the request was there.
    pub(super) arrived: Instant,
    /// The memory that it takes.
    pub(super) charge: Arc<Charge>,
    pub(super) parent: Option<TraceParent>,
    /// Fires when the connection is told to close.
    pub(super) leaving: CancellationToken,
}

impl GrpcCall {
    /// What the call's lines of log carry.
    pub(super) fn trace(&self) -> TraceContext {
        TraceContext { request_id: self.id.as_str().into(), parent: self.parent }
    }

    /// The context that [`GrpcDoor`](super::GrpcDoor) left with the request.
    pub(super) fn of<T>(request: &tonic::Request<T>) -> Result<Self, Status> {
        request.extensions().get::<Self>().cloned().ok_or_else(|| Status::internal("a call without a context"))
    }
}
