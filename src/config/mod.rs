//! The configuration: defaults < file < environment < what a platform says there < flags.
//!
//! A leaf that only the command line reads: it hands each room the settings that concern it.

mod auth;
mod exposure;
mod fair_key;
mod layers;
mod load;
mod oidc;
mod otel;
mod platforms;
mod tls;
mod tracing;
mod values;

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

pub use self::{
    auth::{AuthSection, PublicRoute},
    fair_key::FairKey,
    layers::Refusal,
    load::{ConfigError, Flags},
    oidc::{GrantSection, OidcSection, TokenRight},
    platforms::PlatformDialect,
    tls::{OldestTls, TlsSection},
    tracing::{TraceProtocol, TracingSection},
    values::parse_address,
};
use self::{
    platforms::route_problem,
    values::{address, level_problem},
};
use crate::settings::{Batching, RuntimeSettings, SettingError, at_least, in_range};

/// Everything that can be set. `config/resnetd.toml` shows every key at its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: ServerSection,
    /// `[tls]`
    pub tls: TlsSection,
    /// `[auth]`
    pub auth: AuthSection,
    /// `[models]`
    pub models: ModelsSection,
    /// `[limits]`
    pub limits: LimitsSection,
    /// `[cache]`
    pub cache: CacheSection,
    /// `[batching]`, the defaults of every model.
    pub batching: Batching,
    /// `[runtime]`, the defaults of every model.
    pub runtime: RuntimeSettings,
    /// `[log]`
    pub log: LogSection,
    /// `[metrics]`
    pub metrics: MetricsSection,
    /// `[tracing]`
    pub tracing: TracingSection,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// Where HTTP listens.
    #[serde(deserialize_with = "address")]
    pub http: SocketAddr,
    /// Where gRPC listens.
    #[serde(deserialize_with = "address")]
    pub grpc: SocketAddr,
    /// Where operators load and unload models, `127.0.0.1:8002` for instance; empty: nowhere.
    pub management: String,
    /// How long requests are still accepted after SIGTERM, in milliseconds.
    pub drain_delay_ms: u64,
    /// From SIGTERM until what is still in flight is cut, in milliseconds; longer than `drain_delay_ms`.
    pub shutdown_grace_ms: u64,
    /// The age at which a connection is told to close, over HTTP/1.1 with its next answer, in milliseconds; a tenth more or less by chance.
    pub max_connection_age_ms: u64,
    /// How long an HTTP connection may take to send a request's head, and may idle between two, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// How often a silent connection of HTTP/2 is asked whether it is alive, in milliseconds.
    pub keepalive_interval_ms: u64,
    /// How long it may take to answer that, in milliseconds.
    pub keepalive_timeout_ms: u64,
    /// The most connections of one door; further ones wait.
    pub max_connections: usize,
    /// Threads for connections; 0: one for every four cores.
    pub io_threads: usize,
    /// Images decoded side by side; 0: one a core.
    pub decode_threads: usize,
    /// The origins whose pages may read answers (CORS), `https://example.com` for instance; `*` for all, none by default.
    pub cors_origins: Vec<String>,
    /// Whether `/docs` shows the API's description to people.
    pub docs: bool,
    /// Whether `GET /` gives browsers the page.
    pub page: bool,
    /// Routes of other servers and of platforms that are answered beside our own.
    pub dialects: Vec<PlatformDialect>,
    /// The model that answers on those routes that name none; empty: the only one.
    pub default_model: String,
    /// Where Vertex AI asks for predictions.
    pub vertex_predict_route: String,
    /// Where Vertex AI asks for readiness.
    pub vertex_health_route: String,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8000)),
            grpc: SocketAddr::from(([127, 0, 0, 1], 8001)),
            management: String::new(),
            drain_delay_ms: 5_000,
            shutdown_grace_ms: 25_000,
            max_connection_age_ms: 300_000,
            idle_timeout_ms: 75_000,
            body_timeout_ms: 30_000,
            keepalive_interval_ms: 60_000,
            keepalive_timeout_ms: 20_000,
            max_connections: 4_096,
            io_threads: 0,
            decode_threads: 0,
            cors_origins: Vec::new(),
            docs: true,
            page: true,
            dialects: Vec::new(),
            default_model: String::new(),
            vertex_predict_route: "/predict".to_owned(),
            vertex_health_route: "/health".to_owned(),
        }
    }
}

/// `[models]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsSection {
    /// The model repository: a folder, or the URL of a store.
    pub dir: PathBuf,
    /// Several of them, the first that has a name has it; where there are any, `dir` is not looked at.
    pub dirs: Vec<PathBuf>,
    /// Where the models of a store are kept on this machine; empty: in the user's cache folder.
    pub cache_dir: PathBuf,
    /// The most bytes of a store's models there.
    pub cache_max_bytes: u64,
    /// From one look at a store to the next, in milliseconds; 0: nobody looks.
    pub store_interval_ms: u64,
    /// Who says what is served: the repository, or calls to the management address.
    pub control: ControlMode,
    /// Where calls do: what is loaded at the start, `*` for everything.
    pub preload: Vec<String>,
    /// When models are loaded.
    pub load: LoadMode,
    /// With `on_demand`: the most versions that are loaded side by side.
    pub max_loaded: usize,
    /// With `on_demand`: the most bytes that they take together; 0: no limit.
    pub max_bytes: u64,
    /// From one look at the repository to the next, in milliseconds; 0: nobody looks.
    pub watch_interval_ms: u64,
    /// How long files must be unchanged that did not appear by a rename, in milliseconds.
    pub settle_ms: u64,
    /// The most models that are loaded side by side while others are served; 0: half of the cores.
    pub load_threads: usize,
    /// Whether a version is served until the one that replaces it answers.
    pub overlap: bool,
    /// A model whose loading takes longer, measuring included, has failed; in milliseconds.
    pub load_timeout_ms: u64,
}

impl Default for ModelsSection {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("models"),
            dirs: Vec::new(),
            cache_dir: PathBuf::new(),
            cache_max_bytes: 10 << 30,
            store_interval_ms: 10_000,
            control: ControlMode::Watch,
            preload: vec!["*".to_owned()],
            load: LoadMode::All,
            max_loaded: MOST_LOADED,
            max_bytes: 0,
            watch_interval_ms: 2_000,
            settle_ms: 5_000,
            load_threads: 0,
            overlap: true,
            load_timeout_ms: 600_000,
        }
    }
}

/// The default of `[models] max_loaded`: more than a machine holds, and so no limit.
pub const MOST_LOADED: usize = 1_000_000;

/// When models are loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LoadMode {
    /// When the server starts, and when they come.
    All,
    /// When somebody asks for them.
    OnDemand,
}

impl ModelsSection {
    /// The repositories, the first that has a name has it.
    pub fn repositories(&self) -> &[PathBuf] {
        if self.dirs.is_empty() { std::slice::from_ref(&self.dir) } else { &self.dirs }
    }
}

/// Who says what is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlMode {
    /// What is in the repository is served.
    Watch,
    /// What was asked for is.
    Explicit,
}

impl ModelsSection {
    fn validate_limits(&self) -> Result<(), SettingError> {
        let refuse = |key: &str, problem: String| Err(SettingError::Key { key: format!("models.{key}"), problem });
        match (self.load, self.max_loaded, self.max_bytes) {
            (LoadMode::All, MOST_LOADED, 0) => Ok(()),
            (LoadMode::All, MOST_LOADED, bytes) => refuse(
                "max_bytes",
                format!("is {bytes} and `models.load` is \"all\": set load = \"on_demand\", or leave max_bytes out"),
            ),
            (LoadMode::All, loaded, _) => refuse(
                "max_loaded",
                format!("is {loaded} and `models.load` is \"all\": set load = \"on_demand\", or leave max_loaded out"),
            ),
            (LoadMode::OnDemand, 0, _) => refuse(
                "max_loaded",
                format!(
                    "is 0, and nothing could be loaded: set 1 or more, or leave it out for no limit ({MOST_LOADED})"
                ),
            ),
            (LoadMode::OnDemand, loaded, _) => in_range("models.max_loaded", &loaded, 1..=MOST_LOADED),
        }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// The largest body of a request or gRPC message, in bytes; 0: 32 MiB, or the largest batch of a served model where that is more.
    pub max_body_bytes: usize,
    /// The largest image, width times height.
    pub max_image_pixels: u64,
    /// The most images of one request.
    pub max_images_per_request: usize,
    /// The most pixels of all images of one request.
    pub max_request_pixels: u64,
    /// The most bytes that all requests take together, on both doors: bodies, messages, copies, pictures being decoded.
    pub max_in_flight_bytes: usize,
    /// The deadline of a request that has none, in milliseconds; 0: none.
    pub default_timeout_ms: u64,
    /// The latest deadline of a request, in milliseconds.
    pub max_timeout_ms: u64,
    /// The longest wait for a worker, in milliseconds: an image that would wait longer is refused; 0: the queue's capacity decides.
    pub target_queue_ms: u64,
    /// What tells clients apart that take turns.
    pub fair_by: FairKey,
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            max_body_bytes: 0,
            max_image_pixels: 100_000_000,
            max_images_per_request: 64,
            max_request_pixels: 400_000_000,
            max_in_flight_bytes: 1 << 30,
            default_timeout_ms: 60_000,
            max_timeout_ms: 3_600_000,
            target_queue_ms: 0,
            fair_by: FairKey::None,
        }
    }
}

/// `[cache]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSection {
    /// Rows of answers are kept up to so many bytes; 0: none.
    pub max_bytes: usize,
    /// Whether requests for the same at the same time share one run.
    pub single_flight: bool,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSection {
    /// `error`, `warn`, `info`, `debug`, `trace`, or a filter such as `info,resnetd::server=debug`.
    pub level: String,
    /// For people or for machines.
    pub format: LogFormat,
}

impl Default for LogSection {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// `[metrics]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricsSection {
    /// Whether the most probable class of every image is counted, by label.
    pub predictions: bool,
    /// Which answers say how loaded the server is.
    pub load_reports: LoadReporting,
}

/// Which answers have a load report of ORCA's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadReporting {
    /// Those to requests with `endpoint-load-metrics-format`.
    #[default]
    Asked,
    /// All.
    Always,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Config {
    /// Judges what is in force.
    fn validate(&self) -> Result<(), SettingError> {
        const DAY_MS: u64 = 86_400_000;
        let server = &self.server;
        self.validate_management()?;
        in_range("server.drain_delay_ms", &server.drain_delay_ms, 0..=DAY_MS)?;
        in_range("server.shutdown_grace_ms", &server.shutdown_grace_ms, 0..=DAY_MS)?;
        at_least(
            ("server.shutdown_grace_ms", &server.shutdown_grace_ms),
            ("server.drain_delay_ms", &server.drain_delay_ms),
        )?;
        in_range("server.max_connection_age_ms", &server.max_connection_age_ms, 1_000..=DAY_MS)?;
        in_range("server.idle_timeout_ms", &server.idle_timeout_ms, 100..=DAY_MS)?;
        in_range("server.body_timeout_ms", &server.body_timeout_ms, 100..=DAY_MS)?;
        in_range("server.keepalive_interval_ms", &server.keepalive_interval_ms, 100..=DAY_MS)?;
        in_range("server.keepalive_timeout_ms", &server.keepalive_timeout_ms, 100..=DAY_MS)?;
        in_range("server.max_connections", &server.max_connections, 1..=1_000_000)?;
        in_range("server.io_threads", &server.io_threads, 0..=1024)?;
        in_range("server.decode_threads", &server.decode_threads, 0..=1024)?;
        for (key, route) in [
            ("server.vertex_predict_route", &server.vertex_predict_route),
            ("server.vertex_health_route", &server.vertex_health_route),
        ] {
            if let Some(problem) = route_problem(route) {
                return Err(SettingError::Key { key: key.to_owned(), problem });
            }
        }
        self.tls.validate()?;
        self.auth.validate()?;
        in_range("models.load_timeout_ms", &self.models.load_timeout_ms, 1_000..=DAY_MS)?;
        if self.models.watch_interval_ms != 0 {
            in_range("models.watch_interval_ms", &self.models.watch_interval_ms, 100..=DAY_MS)?;
        }
        in_range("models.cache_max_bytes", &self.models.cache_max_bytes, 1 << 20..=1 << 50)?;
        if self.models.store_interval_ms != 0 {
            in_range("models.store_interval_ms", &self.models.store_interval_ms, 100..=DAY_MS)?;
        }
        in_range("models.settle_ms", &self.models.settle_ms, 0..=DAY_MS)?;
        in_range("models.load_threads", &self.models.load_threads, 0..=1024)?;
        self.models.validate_limits()?;
        let least_in_flight = match self.limits.max_body_bytes {
            0 => 32 << 20,
            _ => 1_024,
        };
        if self.limits.max_body_bytes != 0 {
            in_range("limits.max_body_bytes", &self.limits.max_body_bytes, 1_024..=1 << 30)?;
        }
        in_range("limits.max_image_pixels", &self.limits.max_image_pixels, 1..=1_000_000_000)?;
        in_range("limits.max_in_flight_bytes", &self.limits.max_in_flight_bytes, least_in_flight..=1 << 40)?;
        at_least(
            ("limits.max_in_flight_bytes", &self.limits.max_in_flight_bytes),
            ("limits.max_body_bytes", &self.limits.max_body_bytes),
        )?;
        in_range("limits.max_request_pixels", &self.limits.max_request_pixels, 1..=1_000_000_000_000)?;
        at_least(
            ("limits.max_request_pixels", &self.limits.max_request_pixels),
            ("limits.max_image_pixels", &self.limits.max_image_pixels),
        )?;
        in_range("limits.max_timeout_ms", &self.limits.max_timeout_ms, 1..=DAY_MS)?;
        in_range("limits.default_timeout_ms", &self.limits.default_timeout_ms, 0..=DAY_MS)?;
        in_range("limits.target_queue_ms", &self.limits.target_queue_ms, 0..=DAY_MS)?;
        at_least(
            ("limits.max_timeout_ms", &self.limits.max_timeout_ms),
            ("limits.default_timeout_ms", &self.limits.default_timeout_ms),
        )?;
        in_range("limits.max_images_per_request", &self.limits.max_images_per_request, 1..=4_096)?;
        in_range("cache.max_bytes", &self.cache.max_bytes, 0..=1 << 40)?;
        if let Some(problem) = level_problem(&self.log.level) {
            return Err(SettingError::Key { key: "log.level".to_owned(), problem });
        }
        self.tracing.validate()?;
        self.batching.validate()?;
        self.runtime.validate()
    }
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::*;

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        let shipped = include_str!("../../config/resnetd.toml").parse::<Table>().unwrap();
        assert_eq!(shipped, Table::try_from(Config::default()).unwrap());
    }
}
