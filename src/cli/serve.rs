//! `resnetd serve`: listeners, models, signals; then the doors.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use tokio::{
    net::{TcpListener, TcpSocket},
    signal::unix::{Signal, SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use super::{
    ConfigArgs, auth::FollowedAuth, handed_over::HandedOver, io_threads, repositories::Repositories, tls::FollowedTls,
};
use crate::{
    config::{
        Config, ControlMode, FairKey, Flags, LoadMode, LoadReporting, MOST_LOADED, PlatformDialect, ServerSection,
        parse_address,
    },
    lifecycle::{Lifecycle, LoadOptions, ModelDefaults, ModelManager, OnDemand, RepositoryOptions},
    model::Machine,
    runtime::Runtime,
    server::{
        self, DoorOptions, Entrance, FairBy, Listeners, LoadReports, Management, Platforms, ServeError, VertexRoutes,
    },
    service::{RequestLimits, Service, cores},
    telemetry::{self, Metrics, TraceExport, Tracer},
};

#[derive(Debug, clap::Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// Where HTTP listens [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    http: Option<SocketAddr>,
    /// Where gRPC listens [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR", value_parser = parse_address)]
    grpc: Option<SocketAddr>,
}

pub(super) fn run(args: &ServeArgs) -> anyhow::Result<()> {
    // Before anything is opened: what was handed over is known by its number.
    let handed_over = HandedOver::take()?;
    let config = args.config.load(Flags { http: args.http, grpc: args.grpc, serving: true, ..Flags::default() })?;
    args.config.check_repository()?;
    telemetry::start_log(&config.log).with_context(|| format!("`log.level` is {:?}", config.log.level))?;
    let threads = if config.server.io_threads > 0 { config.server.io_threads } else { io_threads::default_count() };
    let tokio = io_threads::start(threads)?;
    let outcome = tokio.block_on(serve(config, handed_over));
    // Decoding that nobody waits for any more must not hold the process.
    tokio.shutdown_background();
    outcome
}

async fn serve(config: Config, mut handed_over: HandedOver) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone(), Duration::from_millis(config.server.shutdown_grace_ms))?;
    // Of whoever means "look again", or of a terminal that is closed: from now on it does not end the process.
    let hangup = signal(SignalKind::hangup())?;
    // Who comes to a socket that outlives us waits there until the models are loaded.
    let opens_at_once = handed_over.is_empty();
    let http = entrance(&mut handed_over, "http", || bind(config.server.http, "--http"))?;
    let grpc = entrance(&mut handed_over, "grpc", || bind(config.server.grpc, "--grpc"))?;
    let management = match handed_over.entrance("management")? {
        Some(handed_over) => Some(handed_over),
        None => bind_management(&config)?.map(Entrance::from),
    };
    let config = config.served_at(http.address(), grpc.address(), management.as_ref().and_then(Entrance::address))?;
    let tls = FollowedTls::start(&config.tls)?;
    let runtime = Runtime::load()?;
    let metrics = Metrics::new(config.metrics.predictions);
    let (tracer, traces) = TraceExport::start(&config.tracing, metrics.spans())?;
    let (service, writer) = Service::new(limits(&config), config.server.decode_threads, metrics);
    let auth = FollowedAuth::start(&config.auth, service.key_metrics())?;
    let machine = Machine::new(runtime, cores);
    let lifecycle = Lifecycle::start(writer, machine, load_options(&config))?;
    let repositories = Arc::new(Repositories::start(&config, &service)?);
    let manager = Arc::new(lifecycle.follow(repository_options(&config, &repositories), service.clone())?);
    tracing::info!(
        %http,
        %grpc,
        management = management.as_ref().map(ToString::to_string),
        tls = config.tls.is_on(),
        keys = config.auth.has_keys(),
        tokens = config.auth.oidc.is_on(),
        cores = cores(),
        version = env!("CARGO_PKG_VERSION"),
        "listening"
    );
    warn_of_open_doors(&config);
    let management = management.map(|entrance| Management { entrance, manager: manager.clone() });
    let listeners = Listeners { http, grpc, management };
    let opened = CancellationToken::new();
    if opens_at_once {
        opened.cancel();
    }
    let doors = tokio::spawn(open(
        opened.clone(),
        listeners,
        service.clone(),
        DoorOptions { tls: tls.doors(), auth: auth.doors(&config.auth), ..options(&config, tracer) },
        stop.clone(),
    ));
    let loaded = tokio::select! {
        // A signal during a long load must not wait for it.
        () = stop.cancelled() => Ok(()),
        loaded = load(&lifecycle, &manager, &service, &repositories, config.models.control) => loaded,
    };
    if loaded.is_ok() {
        opened.cancel();
    }
    look_on_hangup(hangup, manager, repositories, (tls, auth));
    let outcome = match loaded {
        Ok(()) => doors.await.map_err(Into::into).and_then(|served| Ok(served?)),
        Err(error) => {
            stop.cancel();
            doors.abort();
            Err(error)
        }
    };
    leave(lifecycle, traces, outcome).await
}

/// The doors, from the moment that they are opened; told to stop before, nobody was let in.
async fn open(
    opened: CancellationToken,
    listeners: Listeners,
    service: Service,
    options: DoorOptions,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Ok(()),
        () = opened.cancelled() => server::serve(listeners, service, options, stop.clone().cancelled_owned()).await,
    }
}

/// Waits until every model's last run has ended. What still works then, a load or a run without end, is left to the end of the
/// process, which takes nothing away under it.
async fn leave(lifecycle: Lifecycle, traces: Option<TraceExport>, outcome: anyhow::Result<()>) -> anyhow::Result<()> {
    // Beside it, so that a collector that does not answer takes no time of its own.
    let told = traces.map(|traces| tokio::task::spawn_blocking(|| traces.close(LAST_RUN)));
    let closed = tokio::task::spawn_blocking(|| lifecycle.close(LAST_RUN)).await?;
    if let Some(told) = told {
        told.await?;
    }
    // Nothing is awaited any more, so all that is left to say is said by this thread.
    telemetry::leave_log_to_this_thread();
    if let Err(still_running) = closed {
        tracing::info!("leaving without waiting: {still_running}");
    }
    if outcome.is_ok() {
        tracing::info!("stopped");
    }
    outcome
}

async fn load(
    lifecycle: &Lifecycle,
    manager: &ModelManager,
    service: &Service,
    repositories: &Repositories,
    control: ControlMode,
) -> anyhow::Result<()> {
    repositories.begin().await?;
    manager.look().await.map_err(anyhow::Error::msg)?.await;
    let answers = || service.list().iter().any(|model| model.state.answers());
    if control == ControlMode::Watch && !answers() {
        bail!("no model could be loaded; the log says why for each");
    }
    lifecycle.set_ready().await;
    tracing::info!("ready");
    Ok(())
}

/// Every SIGHUP looks at the repository.
fn look_on_hangup(
    mut hangup: Signal,
    manager: Arc<ModelManager>,
    repositories: Arc<Repositories>,
    (tls, auth): (FollowedTls, FollowedAuth),
) {
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::info!(
                "SIGHUP: the repository, the certificates and the keys (the issuer's, too) are looked at; settings of the server itself are read when it starts"
            );
            tls.look_at_once().await;
            auth.look_at_once().await;
            repositories.look().await;
            if let Err(error) = manager.look().await {
                tracing::warn!("{error}; what is served goes on");
            }
        }
    });
}

fn repository_options(config: &Config, repositories: &Repositories) -> RepositoryOptions {
    let models = &config.models;
    let interval =
        Some(models.watch_interval_ms).filter(|interval| *interval > 0 && models.control == ControlMode::Watch);
    RepositoryOptions {
        dirs: repositories.dirs().to_owned(),
        defaults: ModelDefaults { batching: config.batching.clone(), runtime: config.runtime.clone() },
        watch_interval: interval.map(Duration::from_millis),
        settle: Duration::from_millis(models.settle_ms),
        explicit: (models.control == ControlMode::Explicit).then(|| models.preload.clone()),
        on_demand: models.load == LoadMode::OnDemand,
    }
}

fn load_options(config: &Config) -> LoadOptions {
    let threads = match config.models.load_threads {
        0 => LoadOptions::default_threads_beside_traffic(),
        set => set,
    };
    LoadOptions {
        time_limit: Duration::from_millis(config.models.load_timeout_ms),
        threads_beside_traffic: threads,
        overlap: config.models.overlap,
        on_demand: (config.models.load == LoadMode::OnDemand).then(|| OnDemand {
            max_loaded: Some(config.models.max_loaded).filter(|most| *most < MOST_LOADED),
            max_bytes: Some(config.models.max_bytes).filter(|bytes| *bytes > 0),
            ..OnDemand::default()
        }),
        ..LoadOptions::default()
    }
}

pub(super) fn limits(config: &Config) -> RequestLimits {
    RequestLimits {
        max_body_bytes: config.limits.max_body_bytes,
        max_images_per_request: config.limits.max_images_per_request,
        max_in_flight_bytes: config.limits.max_in_flight_bytes,
        max_image_pixels: config.limits.max_image_pixels,
        max_request_pixels: config.limits.max_request_pixels,
        default_timeout: match config.limits.default_timeout_ms {
            0 => None,
            timeout => Some(Duration::from_millis(timeout)),
        },
        max_timeout: Duration::from_millis(config.limits.max_timeout_ms),
        target_queue: match config.limits.target_queue_ms {
            0 => None,
            milliseconds => Some(Duration::from_millis(milliseconds)),
        },
        cache_bytes: config.cache.max_bytes,
        single_flight: config.cache.single_flight,
    }
}

fn options(config: &Config, tracer: Tracer) -> DoorOptions {
    let server = &config.server;
    DoorOptions {
        drain_delay: Duration::from_millis(server.drain_delay_ms),
        shutdown_grace: Duration::from_millis(server.shutdown_grace_ms),
        idle_timeout: Duration::from_millis(server.idle_timeout_ms),
        body_timeout: Duration::from_millis(server.body_timeout_ms),
        keepalive_interval: Duration::from_millis(server.keepalive_interval_ms),
        keepalive_timeout: Duration::from_millis(server.keepalive_timeout_ms),
        max_connections: server.max_connections,
        max_connection_age: Duration::from_millis(server.max_connection_age_ms),
        cors_origins: server.cors_origins.clone(),
        docs: server.docs,
        page: server.page,
        fair_by: match &config.limits.fair_by {
            FairKey::None => FairBy::Nobody,
            FairKey::ApiKey => FairBy::ApiKey,
            FairKey::Header(name) => FairBy::Header(name.clone()),
            FairKey::Address => FairBy::Address,
        },
        platforms: platforms(server),
        handshake_timeout: Duration::from_millis(config.tls.handshake_timeout_ms),
        tracer,
        load_reports: match config.metrics.load_reports {
            LoadReporting::Asked => LoadReports::Asked,
            LoadReporting::Always => LoadReports::Always,
        },
        ..DoorOptions::default()
    }
}

fn platforms(server: &ServerSection) -> Platforms {
    let is_on = |dialect| server.dialects.contains(&dialect);
    let vertex =
        || VertexRoutes { predict: server.vertex_predict_route.clone(), health: server.vertex_health_route.clone() };
    Platforms {
        sagemaker: is_on(PlatformDialect::Sagemaker),
        torchserve: is_on(PlatformDialect::Torchserve),
        vertex: is_on(PlatformDialect::Vertex).then(vertex),
        default_model: Some(server.default_model.clone()).filter(|name| !name.is_empty()),
    }
}

/// Said once, where it is not by chance that everybody is answered, or that keys can be read on their way.
fn warn_of_open_doors(config: &Config) {
    let listed = |addresses: Vec<(&str, SocketAddr)>| {
        let listed: Vec<_> = addresses.iter().map(|(setting, address)| format!("{setting} = {address}")).collect();
        Some(listed.join(", ")).filter(|listed| !listed.is_empty())
    };
    if let Some(addresses) = listed(config.open_addresses()) {
        tracing::warn!(
            %addresses,
            "whoever reaches these addresses is answered, without a key: make one with `resnetd keys add NAME --file FILE` and set [auth] keys_file, \
             set [auth.oidc] issuer or [tls] client_ca, or let nobody reach them who should not"
        );
    }
    if let Some(addresses) = listed(config.cleartext_addresses()) {
        // Of a target of its own: a server cannot see a proxy that ends TLS in front of it, and whoever has one turns this line off.
        tracing::warn!(
            target: "cleartext",
            %addresses,
            "keys and tokens come to these addresses without TLS, and whoever is on their way can read them: set [tls] cert and key; behind a proxy \
             that ends TLS let nobody else reach them (`cleartext=off` in [log] level turns this line off)"
        );
    }
}

/// The door for operators, where one is wanted.
fn bind_management(config: &Config) -> anyhow::Result<Option<TcpListener>> {
    if config.server.management.is_empty() {
        return Ok(None);
    }
    let address = parse_address(&config.server.management).map_err(anyhow::Error::msg)?;
    bind(address, "[server] management").map(Some)
}

/// What was handed over for a door, or else what it binds itself.
fn entrance(
    handed_over: &mut HandedOver,
    door: &str,
    bind: impl FnOnce() -> anyhow::Result<TcpListener>,
) -> anyhow::Result<Entrance> {
    match handed_over.entrance(door)? {
        Some(handed_over) => Ok(handed_over),
        None => bind().map(Entrance::from),
    }
}

fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    listen(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("{address} is in use by another process: stop it, or choose another with {flag}")
        }
        _ => anyhow::anyhow!("cannot listen on {address}: {error}; choose another with {flag}"),
    })
}

/// The connections that the system keeps until they are accepted, as far as it allows so many. With the usual 128, a burst of 500 made
/// whoever came next try again after a second.
const BACKLOG: u32 = 4096;

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Else a server that is started again waits until the system has forgotten the old one's connections.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// A session that still runs when everything else is gone gets so long before it is left alone.
const LAST_RUN: Duration = Duration::from_secs(2);

/// The first SIGTERM or SIGINT drains, a second one ends the process at once; so does an engine that does not end.
fn stop_on_signals(stop: CancellationToken, grace: Duration) -> io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
        let reason = tokio::select! {
            _ = terminate.recv() => "second signal",
            _ = interrupt.recv() => "second signal",
            () = tokio::time::sleep(grace + LAST_RUN) => "a run of the engine does not end",
        };
        tracing::warn!("leaving at once: {reason}");
        super::interrupt::end(1);
    });
    Ok(())
}
