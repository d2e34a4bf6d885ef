//! The doors: HTTP and gRPC over one [`Service`].
//!
//! [`serve`] is given its listeners and its stop signal, so that a test can use port 0 and a command line can use signals.
//! `status` holds the one table from errors to the wire, `connections` the life of a connection; `http` and `grpc` turn
//! bytes into requests and answers into bytes.
//!
//! Must not know a stage of the line, the configuration file or the command line.

mod connections;
pub mod grpc;
mod http;
mod request_id;
mod request_log;
mod status;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::service::Service;
use connections::Life;
use request_id::RequestIds;

/// Where clients come in.
#[derive(Debug)]
pub struct Listeners {
    /// HTTP/1.1, and HTTP/2 without TLS.
    pub http: TcpListener,
    /// gRPC over HTTP/2 without TLS.
    pub grpc: TcpListener,
}

/// How the server treats its connections, and how it leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DoorOptions {
    /// From the stop signal until connections are told to close; requests are accepted meanwhile.
    pub drain_delay: Duration,
    /// From the stop signal until what is still in flight is cut. Longer than `drain_delay`.
    pub shutdown_grace: Duration,
    /// A connection is told to close at about this age (10 % more or less, by chance).
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
    /// Requests that took longer are logged at level info instead of debug.
    pub slow_request: Duration,
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
            slow_request: Duration::from_secs(1),
        }
    }
}

/// Why the doors could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The descriptors that are built into the binary are no descriptors.
    #[error("the embedded protocol descriptors are broken, build again: {0}")]
    Descriptors(#[from] tonic_reflection::server::Error),
}

/// What both doors share.
#[derive(Clone)]
struct Shared {
    service: Service,
    options: DoorOptions,
    ids: Arc<RequestIds>,
}

/// Serves until `stop` is ready, then leaves in order.
///
/// At `stop` the service starts draining: readiness and health say so, and requests are still answered. After
/// `drain_delay` the listeners close and connections are told to close; what is in flight is answered, and what is
/// not by `shutdown_grace` is cut. Dropping the future cuts everything at once.
///
/// # Errors
/// [`ServeError`] before the first connection is accepted; never afterwards.
pub async fn serve(
    listeners: Listeners,
    service: Service,
    options: DoorOptions,
    stop: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let closing = CancellationToken::new();
    let tasks = TaskTracker::new();
    let shared = Shared { service: service.clone(), options: options.clone(), ids: Arc::new(RequestIds::new()) };
    let life = |door| Life::new(door, &options, &closing, &cut, &tasks);
    let grpc = grpc::Door::new(shared.clone())?;
    tasks.spawn(http::Door::new(shared).accept(listeners.http, life("http")));
    tasks.spawn(grpc.accept(listeners.grpc, life("grpc")));

    stop.await;
    let cut_at = Instant::now() + options.shutdown_grace;
    info!(
        drain_delay_ms = options.drain_delay.as_millis() as u64,
        "draining: not ready any more, requests are still answered"
    );
    service.start_draining();
    tokio::time::sleep(options.drain_delay.min(options.shutdown_grace)).await;

    closing.cancel();
    tasks.close();
    if tokio::time::timeout_at(cut_at.into(), tasks.wait()).await.is_err() {
        warn!(
            connections = tasks.len(),
            grace_ms = options.shutdown_grace.as_millis() as u64,
            "the grace period is over: connections with requests in flight are cut"
        );
        cut.cancel();
        tasks.wait().await;
    }
    Ok(())
}
