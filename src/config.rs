//! The configuration: defaults < file < environment < flags.
//!
//! A leaf that only the command line reads: it hands each room the settings that concern it.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::settings::{Batching, RuntimeSettings, SettingError, in_range, overlay};

/// Environment variables that begin so are settings: `RESNETD__BATCHING__MAX_BATCH_SIZE`.
const ENVIRONMENT_PREFIX: &str = "RESNETD__";

/// Everything that can be set. `config/resnetd.toml` shows every key at its default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: ServerSection,
    /// `[models]`
    pub models: ModelsSection,
    /// `[limits]`
    pub limits: LimitsSection,
    /// `[batching]`, the defaults of every model.
    pub batching: Batching,
    /// `[runtime]`, the defaults of every model.
    pub runtime: RuntimeSettings,
    /// `[log]`
    pub log: LogSection,
    /// `[metrics]`
    pub metrics: MetricsSection,
}

/// `[server]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSection {
    /// Where HTTP listens.
    pub http: SocketAddr,
    /// Where gRPC listens.
    pub grpc: SocketAddr,
    /// How long requests are still accepted after SIGTERM, in milliseconds.
    pub drain_delay_ms: u64,
    /// From SIGTERM until what is still in flight is cut, in milliseconds; longer than `drain_delay_ms`.
    pub shutdown_grace_ms: u64,
    /// The age at which a connection is told to close, in milliseconds; up to a tenth more by chance.
    pub max_connection_age_ms: u64,
    /// How long an HTTP connection may take to send a request's head, and may idle between two, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds.
    pub body_timeout_ms: u64,
    /// The most connections of one door; further ones wait.
    pub max_connections: usize,
    /// Threads for connections; 0: one for every four cores.
    pub io_threads: usize,
    /// Images decoded side by side; 0: one a core.
    pub decode_threads: usize,
    /// The origins whose pages may read answers (CORS), `https://example.com` for instance; `*` for all, none by default.
    pub cors_origins: Vec<String>,
}

impl Default for ServerSection {
    fn default() -> Self {
        Self {
            http: SocketAddr::from(([127, 0, 0, 1], 8000)),
            grpc: SocketAddr::from(([127, 0, 0, 1], 8001)),
            drain_delay_ms: 5_000,
            shutdown_grace_ms: 25_000,
            max_connection_age_ms: 300_000,
            idle_timeout_ms: 75_000,
            body_timeout_ms: 30_000,
            max_connections: 4_096,
            io_threads: 0,
            decode_threads: 0,
            cors_origins: Vec::new(),
        }
    }
}

/// `[models]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelsSection {
    /// The model repository.
    pub dir: PathBuf,
    /// A model whose loading takes longer, measuring included, has failed; in milliseconds.
    pub load_timeout_ms: u64,
}

impl Default for ModelsSection {
    fn default() -> Self {
        Self { dir: PathBuf::from("models"), load_timeout_ms: 600_000 }
    }
}

/// `[limits]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// The largest body of a request or gRPC message, in bytes.
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
}

impl Default for LimitsSection {
    fn default() -> Self {
        Self {
            max_body_bytes: 32 << 20,
            max_image_pixels: 100_000_000,
            max_images_per_request: 64,
            max_request_pixels: 400_000_000,
            max_in_flight_bytes: 1 << 30,
            default_timeout_ms: 60_000,
            max_timeout_ms: 3_600_000,
        }
    }
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

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path}: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        cause: String,
    },
    /// A key or a value is wrong.
    #[error("{origin}: {cause}")]
    Setting {
        /// The file, the environment or the flags.
        origin: String,
        /// Which, and what is allowed.
        cause: SettingError,
    },
}

/// What the command line sets.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--models`
    pub models: Option<PathBuf>,
    /// `--http`
    pub http: Option<SocketAddr>,
    /// `--grpc`
    pub grpc: Option<SocketAddr>,
}

impl Config {
    /// Lays all layers over these defaults.
    ///
    /// * `file`: the configuration file, where one was named
    /// * `environment`: all variables of the process
    ///
    /// # Errors
    /// [`ConfigError`] with the key, the value and what is allowed.
    pub fn load(
        self,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (String, String)>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let mut config = self;
        if let Some(path) = file {
            let text = fs::read_to_string(path).map_err(|cause| ConfigError::Read { path: path.into(), cause })?;
            let table = text.parse::<Table>().map_err(|error| ConfigError::Syntax {
                path: path.into(),
                cause: error.to_string().trim().to_owned(),
            })?;
            config = config.with(table, &path.display().to_string())?;
        }
        for (name, value) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                config = config.with(nested(key, &value), &format!("environment variable {name}"))?;
            }
        }
        if let Some(models) = &flags.models {
            config.models.dir.clone_from(models);
        }
        config.server.http = flags.http.unwrap_or(config.server.http);
        config.server.grpc = flags.grpc.unwrap_or(config.server.grpc);
        Ok(config)
    }

    fn with(&self, table: Table, origin: &str) -> Result<Self, ConfigError> {
        let setting = |cause| ConfigError::Setting { origin: origin.to_owned(), cause };
        let config = overlay(self, table).map_err(setting)?;
        config.validate().map_err(setting)?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), SettingError> {
        const DAY_MS: u64 = 86_400_000;
        let server = &self.server;
        in_range("server.drain_delay_ms", &server.drain_delay_ms, 0..=DAY_MS)?;
        in_range("server.shutdown_grace_ms", &server.shutdown_grace_ms, server.drain_delay_ms..=DAY_MS)?;
        in_range("server.max_connection_age_ms", &server.max_connection_age_ms, 1_000..=DAY_MS)?;
        in_range("server.idle_timeout_ms", &server.idle_timeout_ms, 100..=DAY_MS)?;
        in_range("server.body_timeout_ms", &server.body_timeout_ms, 100..=DAY_MS)?;
        in_range("server.max_connections", &server.max_connections, 1..=1_000_000)?;
        in_range("server.io_threads", &server.io_threads, 0..=1024)?;
        in_range("server.decode_threads", &server.decode_threads, 0..=1024)?;
        in_range("models.load_timeout_ms", &self.models.load_timeout_ms, 1_000..=DAY_MS)?;
        in_range("limits.max_body_bytes", &self.limits.max_body_bytes, 1_024..=1 << 30)?;
        in_range("limits.max_image_pixels", &self.limits.max_image_pixels, 1..=1_000_000_000)?;
        in_range("limits.max_in_flight_bytes", &self.limits.max_in_flight_bytes, self.limits.max_body_bytes..=1 << 40)?;
        in_range(
            "limits.max_request_pixels",
            &self.limits.max_request_pixels,
            self.limits.max_image_pixels..=1_000_000_000_000,
        )?;
        in_range("limits.max_timeout_ms", &self.limits.max_timeout_ms, 1..=DAY_MS)?;
        in_range("limits.default_timeout_ms", &self.limits.default_timeout_ms, 0..=self.limits.max_timeout_ms)?;
        in_range("limits.max_images_per_request", &self.limits.max_images_per_request, 1..=4_096)?;
        self.batching.validate()?;
        self.runtime.validate()
    }
}

/// `BATCHING__MAX_BATCH_SIZE` and `16` as a table of tables. What is no TOML value is a string.
fn nested(key: &str, text: &str) -> Table {
    let value = format!("value = {text}")
        .parse::<Table>()
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()));
    let mut keys = key.split("__").map(str::to_lowercase).collect::<Vec<_>>();
    let innermost = keys.pop().unwrap_or_default();
    let table = Table::from_iter([(innermost, value)]);
    keys.into_iter().rev().fold(table, |inner, key| Table::from_iter([(key, Value::Table(inner))]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_environment(name: &str, value: &str) -> Result<Config, ConfigError> {
        Config::default().load(None, [(name.to_owned(), value.to_owned())], &Flags::default())
    }

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        let shipped = include_str!("../config/resnetd.toml").parse::<Table>().unwrap();
        assert_eq!(shipped, Table::try_from(Config::default()).unwrap());
    }

    #[test]
    fn a_later_layer_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        fs::write(&file, "[batching]\nmax_batch_size = 16\nqueue_capacity = 9\n[server]\nhttp = \"0.0.0.0:1\"")
            .unwrap();
        let environment = [("RESNETD__BATCHING__MAX_BATCH_SIZE".to_owned(), "32".to_owned())];
        let flags = Flags { http: Some(SocketAddr::from(([127, 0, 0, 1], 2))), ..Flags::default() };

        let config = Config::default().load(Some(&file), environment, &flags).unwrap();

        assert_eq!((config.batching.max_batch_size, config.batching.queue_capacity), (32, 9));
        assert_eq!(config.server.http.to_string(), "127.0.0.1:2");
    }

    #[test]
    fn text_and_numbers_come_from_the_environment() {
        assert_eq!(with_environment("RESNETD__LOG__LEVEL", "debug").unwrap().log.level, "debug");
        assert_eq!(with_environment("RESNETD__MODELS__DIR", "/m").unwrap().models.dir, PathBuf::from("/m"));
        assert_eq!(with_environment("RESNETD__SERVER__HTTP", "[::]:80").unwrap().server.http.port(), 80);
    }

    #[test]
    fn a_mistake_is_named_with_key_value_and_range() {
        let message = |name, value| with_environment(name, value).unwrap_err().to_string();
        let unknown = message("RESNETD__BATCHING__MAX_BATCHSIZE", "8");
        assert!(
            unknown.contains("RESNETD__BATCHING__MAX_BATCHSIZE") && unknown.contains("max_batch_size"),
            "{unknown}"
        );
        let range = message("RESNETD__BATCHING__MAX_BATCH_SIZE", "2000");
        assert!(range.contains("batching.max_batch_size` is 2000, allowed is 0 to 1024"), "{range}");
        let kind = message("RESNETD__SERVER__DRAIN_DELAY_MS", "soon");
        assert!(kind.contains("server.drain_delay_ms") && kind.contains("soon"), "{kind}");
        let choice = message("RESNETD__RUNTIME__PROVIDER", "gpu");
        assert!(choice.contains("gpu") && choice.contains("openvino"), "{choice}");
    }
}
