//! `[tracing]`: where a request's way is sent to as spans, and of how many requests.

use serde::{Deserialize, Serialize};

use crate::settings::{SettingError, in_range};

/// `[tracing]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TracingSection {
    /// The collector: `http://127.0.0.1:4317`; empty: nothing is recorded.
    pub endpoint: String,
    /// How it is spoken to.
    pub protocol: TraceProtocol,
    /// The share of the requests that are recorded where their callers do not decide it; 0 to 1.
    pub sample_ratio: f64,
    /// Whether the caller's decision counts, where its `traceparent` has one.
    pub parent_based: bool,
    /// What the server is called among others.
    pub service_name: String,
    /// How long the collector may take to accept spans, in milliseconds; what it does not is lost.
    pub timeout_ms: u64,
    /// The most spans that wait to be sent; further ones are lost, and counted.
    pub queue_capacity: usize,
}

/// How a collector is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TraceProtocol {
    /// OTLP over gRPC, usually on port 4317.
    #[default]
    Grpc,
    /// OTLP over HTTP, as protobuf, usually on port 4318.
    Http,
}

impl Default for TracingSection {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            protocol: TraceProtocol::default(),
            sample_ratio: 0.01,
            parent_based: true,
            service_name: "resnetd".to_owned(),
            timeout_ms: 5_000,
            queue_capacity: 4_096,
        }
    }
}

impl TracingSection {
    /// Judges what is in force.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        if let Some(problem) = endpoint_problem(&self.endpoint) {
            return Err(SettingError::Key { key: "tracing.endpoint".to_owned(), problem });
        }
        if self.service_name.is_empty() {
            let problem = "it is empty: name the server, \"resnetd\" for instance".to_owned();
            return Err(SettingError::Key { key: "tracing.service_name".to_owned(), problem });
        }
        in_range("tracing.sample_ratio", &self.sample_ratio, 0.0..=1.0)?;
        in_range("tracing.timeout_ms", &self.timeout_ms, 1..=60_000)?;
        in_range("tracing.queue_capacity", &self.queue_capacity, 1..=1_000_000)
    }

    /// Where spans are sent to: over HTTP an address without a path means the path of the standard.
    pub fn target(&self) -> String {
        let is_bare =
            self.endpoint.split_once("://").is_some_and(|(_, rest)| !rest.trim_end_matches('/').contains('/'));
        match self.protocol {
            TraceProtocol::Http if is_bare => format!("{}/v1/traces", self.endpoint.trim_end_matches('/')),
            _ => self.endpoint.clone(),
        }
    }
}

fn endpoint_problem(endpoint: &str) -> Option<String> {
    if endpoint.is_empty() {
        return None;
    }
    let host = ["http://", "https://"].into_iter().find_map(|scheme| endpoint.strip_prefix(scheme));
    let is_url = host.is_some_and(|host| !host.is_empty() && !host.starts_with('/'))
        && endpoint.bytes().all(|byte| byte.is_ascii_graphic());
    if endpoint.contains('@') {
        return Some("a URL with a name or a password: send keys by OTEL_EXPORTER_OTLP_HEADERS".to_owned());
    }
    (!is_url).then(|| format!("{endpoint:?} is no URL: write for instance \"http://127.0.0.1:4317\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_alone_means_the_path_of_the_standard_over_http_only() {
        let target = |endpoint: &str, protocol| {
            TracingSection { endpoint: endpoint.to_owned(), protocol, ..TracingSection::default() }.target()
        };
        assert_eq!(target("http://collector:4318", TraceProtocol::Http), "http://collector:4318/v1/traces");
        assert_eq!(target("http://collector:4318/", TraceProtocol::Http), "http://collector:4318/v1/traces");
        assert_eq!(target("https://collector/otlp/v1/traces", TraceProtocol::Http), "https://collector/otlp/v1/traces");
        assert_eq!(target("http://collector:4317", TraceProtocol::Grpc), "http://collector:4317");
    }

    #[test]
    fn what_is_no_endpoint_is_refused_and_no_key_is_repeated() {
        let refused = |endpoint: &str| {
            let section = TracingSection { endpoint: endpoint.to_owned(), ..TracingSection::default() };
            section.validate().map_err(|error| error.to_string()).unwrap_err()
        };
        assert!(refused("collector:4317").contains("write for instance"), "{}", refused("collector:4317"));
        assert!(refused("http://").contains("no URL"));
        assert!(refused("http:///v1/traces").contains("no URL"));
        let with_a_key = refused("http://me:secret@collector:4317");
        assert!(!with_a_key.contains("secret") && with_a_key.contains("OTEL_EXPORTER_OTLP_HEADERS"), "{with_a_key}");
        assert!(TracingSection::default().validate().is_ok());
    }
}
