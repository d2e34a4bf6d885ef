//! The way to the collector: OTLP over gRPC or HTTP, by OpenTelemetry's own library. Nothing is sent yet when it is made.
//!
//! What the library reads itself in the environment are headers (`OTEL_EXPORTER_OTLP_HEADERS`), compression and the attributes of the
//! process (`OTEL_RESOURCE_ATTRIBUTES`).

use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _, WithTonicConfig as _,
};
use opentelemetry_sdk::{Resource, trace::SpanExporter as _};
use tonic::transport::ClientTlsConfig;

use crate::{
    config::{TraceProtocol, TracingSection},
    trust,
};

/// Why there is no way.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoCollector {
    #[error("{0}")]
    Library(#[from] ExporterBuildError),
    #[error("no TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("no client of HTTP: {0}")]
    Http(#[from] reqwest::Error),
}

/// Makes a client, on the runtime that it will be used on.
pub(super) fn open(section: &TracingSection) -> Result<SpanExporter, NoCollector> {
    let (target, timeout) = (section.target(), Duration::from_millis(section.timeout_ms));
    let builder = SpanExporter::builder();
    let mut exporter = match section.protocol {
        TraceProtocol::Grpc => {
            let builder = builder.with_tonic().with_endpoint(&target).with_timeout(timeout);
            if target.starts_with("https://") {
                builder.with_tls_config(ClientTlsConfig::new().with_enabled_roots()).build()?
            } else {
                builder.build()?
            }
        }
        TraceProtocol::Http => {
            let client = reqwest::Client::builder()
                .tls_backend_preconfigured(trust::client()?)
                .timeout(timeout)
                // To another host with our headers: never.
                .redirect(reqwest::redirect::Policy::none())
                .build()?;
            let builder = builder.with_http().with_protocol(Protocol::HttpBinary).with_http_client(client);
            builder.with_endpoint(&target).with_timeout(timeout).build()?
        }
    };
    let resource = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_service_name(section.service_name.clone())
        .build();
    exporter.set_resource(&resource);
    Ok(exporter)
}
