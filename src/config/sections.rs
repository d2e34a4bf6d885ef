//! The sections of the configuration file, with their defaults.

use std::{net::SocketAddr, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::values::address;

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
