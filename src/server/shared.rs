//! What both doors share: the service, how connections are treated, and the names of requests.

use std::{sync::Arc, time::Duration};

use hyper::{HeaderMap, Method};

use super::{
    audited::{AuditedManager, Who},
    coding::Unpacker,
    fair_by::{Clients, FairBy},
    gate::{AuthOptions, Gate},
    load_report::LoadReports,
    origin,
    platforms::Platforms,
    request_id::RequestIds,
    request_log::SlowRequests,
    threads::Threads,
};
use crate::{
    service::{Error, ErrorKind, ManageModels, Service},
    telemetry::Tracer,
    tls::ServerTls,
};

/// How the server treats its connections, and how it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorOptions {
    /// From the stop signal until connections are told to close; requests are accepted meanwhile.
    pub drain_delay: Duration,
    /// From the stop signal until what is still in flight is cut. Longer than `drain_delay`.
    pub shutdown_grace: Duration,
    /// A connection is told to close at about this age (10 % more or less, by chance): over HTTP/1 with its next answer.
    pub max_connection_age: Duration,
    /// The most connections of one door; further ones wait in the listener's backlog.
    pub max_connections: usize,
    /// How long an HTTP connection may take to send a request's head, and may idle between two requests. Longer than the
    /// idle time of the load balancer in front, or that one now and then sends into a closing connection.
    pub idle_timeout: Duration,
    /// How long a request's body may take to arrive.
    pub body_timeout: Duration,
    /// How often a silent gRPC connection is asked whether it is alive.
    pub keepalive_interval: Duration,
    /// How long it may take to answer that.
    pub keepalive_timeout: Duration,
    /// The most calls at a time of one gRPC connection.
    pub max_concurrent_streams: u32,
    /// The most requests of one `ClassifyStream` that are worked on at a time.
    pub stream_concurrency: usize,
    /// The origins whose pages may read the answers (CORS); `*` for all.
    pub cors_origins: Vec<String>,
    /// Whether `/docs` shows the API's description to people.
    pub docs: bool,
    /// Whether `/` gives browsers the page.
    pub page: bool,
    /// Requests that took longer are logged at level info instead of debug.
    pub slow_request: Duration,
    /// What tells clients apart that take turns.
    pub fair_by: FairBy,
    /// What is answered beside our own routes.
    pub platforms: Platforms,
    /// TLS, where the doors speak it: then all of them do.
    pub tls: Option<ServerTls>,
    /// Whose keys are let in, where keys are wanted: then at all doors.
    pub auth: Option<AuthOptions>,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
    /// Decides which requests are recorded, and keeps what they do.
    pub tracer: Tracer,
    /// Which answers say how loaded the server is.
    pub load_reports: LoadReports,
}

impl Default for DoorOptions {
    fn default() -> Self {
        Self {
            drain_delay: Duration::from_secs(5),
            shutdown_grace: Duration::from_secs(30),
            max_connection_age: Duration::from_secs(300),
            max_connections: 4096,
            idle_timeout: Duration::from_secs(75),
            body_timeout: Duration::from_secs(30),
            keepalive_interval: Duration::from_secs(60),
            keepalive_timeout: Duration::from_secs(20),
            max_concurrent_streams: 256,
            stream_concurrency: 32,
            cors_origins: Vec::new(),
            docs: true,
            page: true,
            slow_request: Duration::from_secs(1),
            fair_by: FairBy::default(),
            platforms: Platforms::default(),
            tls: None,
            auth: None,
            handshake_timeout: Duration::from_secs(10),
            tracer: Tracer::off(),
            load_reports: LoadReports::default(),
        }
    }
}

/// What both doors share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) service: Service,
    pub(super) options: DoorOptions,
    pub(super) clients: Clients,
    pub(super) gate: Gate,
    pub(super) ids: Arc<RequestIds>,
    pub(super) unpacker: Unpacker,
    pub(super) threads: Threads,
    pub(super) slow: SlowRequests,
    /// At the management address only.
    pub(super) manager: Option<Arc<dyn ManageModels>>,
}

impl Shared {
    /// Whether a page in a browser may ask this, at the management address.
    ///
    /// # Errors
    /// `INVALID_ARGUMENT` where it may not.
    pub(super) fn check_origin(&self, method: &Method, headers: &HeaderMap) -> Result<(), Error> {
        match self.manager {
            Some(_) => origin::check(method, headers, &self.options.cors_origins),
            None => Ok(()),
        }
    }

    /// Whoever brings models and takes them away.
    ///
    /// # Errors
    /// `NOT_FOUND` where this is not the management address.
    pub(super) fn manager(&self, who: Who) -> Result<AuditedManager, Error> {
        let manager = self.manager.clone().ok_or_else(|| {
            let message = "models are loaded, unloaded and labelled at the management address only: ask there, or set \
                           [server] management to have one";
            Error::new(ErrorKind::NotFound, message)
        })?;
        Ok(AuditedManager::new(manager, who))
    }
}
