//! Calls of gRPC on the HTTP port: what one door hands to the services of the other, without knowing it.

use std::{pin::Pin, sync::Arc};

use hyper::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;

use super::{activity::InWork, client_address::ClientAddress};
use crate::{
    service::{Error, Payer},
    tls::ClientName,
};

/// What a call has from its connection.
#[derive(Clone)]
pub(super) struct CallOrigin {
    /// Whoever pays for its memory.
    pub(super) payer: Payer,
    /// Fires when the connection is told to close: for calls that would never end by themselves.
    pub(super) leaving: CancellationToken,
    /// The connection is not idle while this lives.
    pub(super) in_work: InWork,
    /// Where the connection comes from.
    pub(super) address: ClientAddress,
    /// Who the client is, where it had to show a certificate.
    pub(super) client_name: Option<ClientName>,
}

/// Answers calls of gRPC and gRPC-Web. One that is not admitted is answered with the reason, in gRPC's form.
pub(super) type AnswerCalls = Arc<dyn Fn(Request<Body>, CallOrigin, Result<(), Error>) -> AnswerToCall + Send + Sync>;

/// An answer under way. Dropped when the client leaves, and with it all that was under way for it.
pub(super) type AnswerToCall = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
