//! The configuration: defaults < file < environment < flags.
//!
//! A leaf that only the command line reads: it hands each room the settings that concern it.

mod layers;
mod values;

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

pub use self::{layers::Refusal, values::parse_address};
use self::{
    layers::{Layer, judge, of_variable},
    values::{address, level_problem},
};
use crate::{
    files,
    settings::{Batching, RuntimeSettings, SettingError, at_least, in_range, parse},
};

/// It says some dozens of things.
const LARGEST_FILE: u64 = 1 << 20;

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
    #[serde(deserialize_with = "address")]
    pub http: SocketAddr,
    /// Where gRPC listens.
    #[serde(deserialize_with = "address")]
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
    #[error("cannot read the configuration {}: {cause}", files::shown(path))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// The file is no TOML.
    #[error("{}: {cause}", files::shown(path))]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        cause: String,
    },
    /// An environment variable that is a setting cannot be read as text.
    #[error("environment variable {name}: its value is no UTF-8; a folder with such a name is given with --models")]
    NotUnicode {
        /// Its name.
        name: String,
    },
    /// A key or a value is wrong.
    #[error("{0}")]
    Setting(Refusal),
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
    /// Lays all layers over these defaults, and judges what is then in force.
    ///
    /// * `file`: the configuration file, where one was named; a pipe will do
    /// * `environment`: all variables of the process
    ///
    /// # Errors
    /// [`ConfigError`] with the layer, the key, the value and what is allowed.
    pub fn load(
        self,
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        flags: &Flags,
    ) -> Result<Self, ConfigError> {
        let mut layers = Vec::new();
        if let Some(path) = file {
            let text = read(path).map_err(|cause| ConfigError::Read { path: path.into(), cause })?;
            let table = parse(&text).map_err(|cause| ConfigError::Syntax { path: path.into(), cause })?;
            layers.push(Layer { origin: files::shown(path), table });
        }
        layers.extend(self.variables(environment)?);
        for (flag, key, address) in [("--http", "http", flags.http), ("--grpc", "grpc", flags.grpc)] {
            let table = |address: SocketAddr| Table::from_iter([(key.to_owned(), address.to_string().into())]);
            let section = |address| Table::from_iter([("server".to_owned(), Value::Table(table(address)))]);
            layers.extend(address.map(|address| Layer { origin: flag.to_owned(), table: section(address) }));
        }
        let mut config = judge(&self, &layers, Self::validate).map_err(ConfigError::Setting)?;
        // A path may be no text, so it is no value of a table.
        if let Some(models) = &flags.models {
            config.models.dir.clone_from(models);
        }
        Ok(config)
    }

    /// One layer a variable, in the order of their names: the environment has none.
    fn variables(
        &self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Vec<Layer>, ConfigError> {
        let defaults = Value::try_from(self).unwrap_or_else(|_| Value::Table(Table::new()));
        let mut variables: Vec<_> = environment
            .into_iter()
            .filter(|(name, _)| name.as_encoded_bytes().starts_with(ENVIRONMENT_PREFIX.as_bytes()))
            .collect();
        variables.sort_unstable();
        let layer = |(name, value): (OsString, OsString)| {
            let name = name.to_string_lossy().into_owned();
            let Ok(value) = value.into_string() else { return Err(ConfigError::NotUnicode { name }) };
            let table = of_variable(&name[ENVIRONMENT_PREFIX.len()..], &value, &defaults);
            Ok(Layer { origin: format!("environment variable {name}"), table })
        };
        variables.into_iter().map(layer).collect()
    }

    fn validate(&self) -> Result<(), SettingError> {
        const DAY_MS: u64 = 86_400_000;
        let server = &self.server;
        in_range("server.drain_delay_ms", &server.drain_delay_ms, 0..=DAY_MS)?;
        in_range("server.shutdown_grace_ms", &server.shutdown_grace_ms, 0..=DAY_MS)?;
        at_least(
            ("server.shutdown_grace_ms", &server.shutdown_grace_ms),
            ("server.drain_delay_ms", &server.drain_delay_ms),
        )?;
        in_range("server.max_connection_age_ms", &server.max_connection_age_ms, 1_000..=DAY_MS)?;
        in_range("server.idle_timeout_ms", &server.idle_timeout_ms, 100..=DAY_MS)?;
        in_range("server.body_timeout_ms", &server.body_timeout_ms, 100..=DAY_MS)?;
        in_range("server.max_connections", &server.max_connections, 1..=1_000_000)?;
        in_range("server.io_threads", &server.io_threads, 0..=1024)?;
        in_range("server.decode_threads", &server.decode_threads, 0..=1024)?;
        in_range("models.load_timeout_ms", &self.models.load_timeout_ms, 1_000..=DAY_MS)?;
        in_range("limits.max_body_bytes", &self.limits.max_body_bytes, 1_024..=1 << 30)?;
        in_range("limits.max_image_pixels", &self.limits.max_image_pixels, 1..=1_000_000_000)?;
        in_range("limits.max_in_flight_bytes", &self.limits.max_in_flight_bytes, 1_024..=1 << 40)?;
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
        at_least(
            ("limits.max_timeout_ms", &self.limits.max_timeout_ms),
            ("limits.default_timeout_ms", &self.limits.default_timeout_ms),
        )?;
        in_range("limits.max_images_per_request", &self.limits.max_images_per_request, 1..=4_096)?;
        if let Some(problem) = level_problem(&self.log.level) {
            return Err(SettingError::Key { key: "log.level".to_owned(), problem });
        }
        self.batching.validate()?;
        self.runtime.validate()
    }
}

/// The text of the file. It was named by whoever starts the program, who may well mean a pipe.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {LARGEST_FILE} bytes")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn load(variables: &[(&str, &str)], flags: &Flags) -> Result<Config, ConfigError> {
        Config::default().load(None, variables.iter().map(|(name, value)| (name.into(), value.into())), flags)
    }

    fn with_environment(name: &str, value: &str) -> Result<Config, ConfigError> {
        load(&[(name, value)], &Flags::default())
    }

    #[test]
    fn the_shipped_file_shows_every_key_at_its_default() {
        let shipped = include_str!("../../config/resnetd.toml").parse::<Table>().unwrap();
        assert_eq!(shipped, Table::try_from(Config::default()).unwrap());
    }

    #[test]
    fn a_later_layer_wins() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        fs::write(&file, "[batching]\nmax_batch_size = 16\nqueue_capacity = 9\n[server]\nhttp = \"0.0.0.0:1\"")
            .unwrap();
        let environment = [("RESNETD__BATCHING__MAX_BATCH_SIZE".into(), "32".into())];
        let flags = Flags { http: Some(SocketAddr::from(([127, 0, 0, 1], 2))), ..Flags::default() };

        let config = Config::default().load(Some(&file), environment, &flags).unwrap();

        assert_eq!((config.batching.max_batch_size, config.batching.queue_capacity), (32, 9));
        assert_eq!(config.server.http.to_string(), "127.0.0.1:2");
    }

    #[test]
    fn only_what_is_in_force_is_judged_and_in_no_order() {
        // Each of the two alone would not hold beside the default of the other.
        let (delay, grace) =
            (("RESNETD__SERVER__DRAIN_DELAY_MS", "60000"), ("RESNETD__SERVER__SHUTDOWN_GRACE_MS", "90000"));
        for pair in [[delay, grace], [grace, delay]] {
            assert_eq!(load(&pair, &Flags::default()).unwrap().server.drain_delay_ms, 60_000);
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        fs::write(&file, "[server]\nhttp = \"nowhere\"\n[batching]\nqueue_capacity = 0").unwrap();
        let environment = [("RESNETD__BATCHING__QUEUE_CAPACITY".into(), "8".into())];
        let flags = Flags { http: Some(SocketAddr::from(([127, 0, 0, 1], 2))), ..Flags::default() };
        assert_eq!(Config::default().load(Some(&file), environment, &flags).unwrap().batching.queue_capacity, 8);
    }

    #[test]
    fn a_refusal_names_the_layers_of_what_it_speaks_of() {
        let message = |variables: &[(&str, &str)]| load(variables, &Flags::default()).unwrap_err().to_string();
        assert_eq!(
            message(&[("RESNETD__SERVER__DRAIN_DELAY_MS", "30000")]),
            "environment variable RESNETD__SERVER__DRAIN_DELAY_MS: `server.shutdown_grace_ms` is 25000, allowed is \
             `server.drain_delay_ms` or more, which is 30000"
        );
        let both = message(&[("RESNETD__SERVER__DRAIN_DELAY_MS", "30"), ("RESNETD__SERVER__SHUTDOWN_GRACE_MS", "20")]);
        assert!(both.starts_with("environment variable RESNETD__SERVER__SHUTDOWN_GRACE_MS and environment variable RESNETD__SERVER__DRAIN_DELAY_MS: "), "{both}");

        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("resnetd.toml");
        let in_file = |text: &str| {
            fs::write(&file, text).unwrap();
            let environment = [("RESNETD__LOG__LEVEL".into(), "debug".into())];
            Config::default().load(Some(&file), environment, &Flags::default()).unwrap_err().to_string()
        };
        for text in
            ["[server]\nmax_connections = 0", "[server]\nmax_connection = 1", "[server]\nmax_connections = \"1\""]
        {
            let message = in_file(text);
            assert!(message.starts_with(&format!("{}: `server", file.display())), "{message}");
        }
        let syntax = in_file("[server]\n\nhttp = = 1");
        assert!(syntax.contains("resnetd.toml: line 3, column 8: ") && !syntax.contains('\n'), "{syntax}");
    }

    #[test]
    fn text_and_numbers_come_from_the_environment() {
        assert_eq!(with_environment("RESNETD__LOG__LEVEL", "debug").unwrap().log.level, "debug");
        assert_eq!(with_environment("RESNETD__SERVER__HTTP", "[::]:80").unwrap().server.http.port(), 80);
        assert!(with_environment("RESNETD__METRICS__PREDICTIONS", "true").unwrap().metrics.predictions);
        // A folder may be called as it likes.
        for dir in ["/m", "2026", "true", "1.5", "a = b", "[x]"] {
            assert_eq!(with_environment("RESNETD__MODELS__DIR", dir).unwrap().models.dir, PathBuf::from(dir));
        }
        assert_eq!(with_environment("RESNETD__MODELS__DIR", "\"a b\"").unwrap().models.dir, PathBuf::from("a b"));
    }

    #[test]
    fn a_variable_that_is_no_text_is_refused_and_not_passed_over() {
        use std::os::unix::ffi::OsStringExt;
        let environment = [("RESNETD__MODELS__DIR".into(), OsString::from_vec(b"/m\xff".to_vec()))];
        let message = Config::default().load(None, environment, &Flags::default()).unwrap_err().to_string();
        assert!(message.contains("RESNETD__MODELS__DIR") && message.contains("--models"), "{message}");
    }

    #[test]
    fn a_host_may_be_a_name() {
        let config = with_environment("RESNETD__SERVER__HTTP", "localhost:8080").unwrap();
        assert_eq!(config.server.http.to_string(), "127.0.0.1:8080");
        let message = with_environment("RESNETD__SERVER__GRPC", ":8001").unwrap_err().to_string();
        assert!(
            message.contains("RESNETD__SERVER__GRPC: `server.grpc`") && message.contains("0.0.0.0:8001"),
            "{message}"
        );
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
        let level = message("RESNETD__LOG__LEVEL", "warning");
        assert!(
            level.contains("RESNETD__LOG__LEVEL: `log.level`: \"warning\" is no level: write off, error"),
            "{level}"
        );
    }
}
