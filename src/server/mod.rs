//! The doors: HTTP and gRPC over one [`Service`].
//!
//! [`serve`] is given its listeners and its stop signal, so that a test can use port 0 and a command line can use signals.
//! `status` holds the one table from errors to the wire, `connections` the life of a connection; `http` and `grpc` turn
//! bytes into requests and answers into bytes.
//!
//! Must not know a stage of the line, the configuration file or the command line.

mod activity;
mod audited;
mod calls;
mod client_address;
mod coding;
mod connections;
mod door_span;
mod entrance;
mod error;
mod fair_by;
mod gate;
pub mod grpc;
mod handshakes;
mod http;
mod load_report;
mod needs;
mod origin;
mod places;
mod platforms;
mod request_id;
mod request_log;
mod several;
mod shared;
mod status;
mod tfserving;
mod threads;
mod unread;
mod v2;
mod wire;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{info, warn};

use crate::{
    service::{ErrorKind, ManageModels, Service},
    tls::TlsSpoken,
};
use coding::Unpacker;
use connections::Life;
use fair_by::Clients;
use gate::Gate;
use request_id::RequestIds;
use request_log::SlowRequests;
use shared::Shared;
use threads::Threads;

pub use entrance::Entrance;
pub use error::ServeError;
pub use fair_by::FairBy;
pub use gate::AuthOptions;
#[doc(hidden)]
pub use http::{explained_as_json, explained_as_png, take_apart, take_inference_apart, take_prediction_apart};
pub use load_report::LoadReports;
pub use needs::OpenToAll;
pub use platforms::{Platforms, VertexRoutes};
pub use shared::DoorOptions;

/// What the doors call a kind of error: `INVALID_ARGUMENT`.
pub fn error_code(kind: ErrorKind) -> &'static str {
    status::wire_status(kind).2
}

/// The description of the HTTP API, an OpenAPI document: what `GET /openapi.json` answers.
pub fn openapi() -> Bytes {
    http::describe()
}

/// Where clients come in.
pub struct Listeners {
    /// HTTP/1.1 and HTTP/2; calls of gRPC and gRPC-Web too.
    pub http: Entrance,
    /// gRPC over HTTP/2.
    pub grpc: Entrance,
    /// For operators: as the HTTP port, and models can be loaded and unloaded there.
    pub management: Option<Management>,
}

/// The door for operators.
pub struct Management {
    /// Where they come in.
    pub entrance: Entrance,
    /// Whoever does what they ask.
    pub manager: Arc<dyn ManageModels>,
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
    let threads = Threads::new();
    let shared = Shared {
        service: service.clone(),
        options: options.clone(),
        clients: Clients::new(options.fair_by.clone()),
        gate: Gate::new(options.auth.clone()),
        ids: Arc::new(RequestIds::new()),
        unpacker: Unpacker::new(threads.clone()),
        threads,
        slow: SlowRequests::new(options.slow_request),
        manager: None,
    };
    let life = |door, spoken| Life::new((door, spoken), &options, service.door_metrics(door), &closing, &cut, &tasks);
    let grpc = Arc::new(grpc::GrpcDoor::new(shared.clone())?);
    if let Some(Management { entrance, manager }) = listeners.management {
        let shared = Shared { manager: Some(manager), ..shared.clone() };
        let calls = Arc::new(grpc::GrpcDoor::new(shared.clone())?).calls();
        tasks.spawn(http::door(shared).accept(entrance, life("management", TlsSpoken::Http), calls));
    }
    tasks.spawn(http::door(shared).accept(listeners.http, life("http", TlsSpoken::Http), grpc.calls()));
    tasks.spawn(grpc.accept(listeners.grpc, life("grpc", TlsSpoken::Http2)));

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
