//! What series are told apart by, and which door a request came through.
//!
//! Values come from the models that are known and from fixed lists, never from a client.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;

/// Which door a request came through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.
    Http,
    /// gRPC; every request of a stream counts.
    Grpc,
}

impl Protocol {
    pub(super) const ALL: [Self; 2] = [Self::Http, Self::Grpc];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Grpc => "grpc",
        }
    }
}

/// The `code` of an answered request; refusals have the name of their error.
pub(super) const OK: &str = "OK";

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RequestLabels {
    pub(super) model: Arc<str>,
    pub(super) version: Option<u64>,
    pub(super) protocol: &'static str,
    pub(super) code: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct DoorLabels {
    pub(super) model: Arc<str>,
    pub(super) protocol: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct ModelLabel {
    pub(super) model: Arc<str>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct RefusalLabels {
    pub(super) model: Arc<str>,
    pub(super) reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(super) struct PredictionLabels {
    pub(super) model: Arc<str>,
    pub(super) label: Arc<str>,
}

pub(super) fn request_labels(
    model: &Arc<str>,
    version: Option<u64>,
    protocol: Protocol,
    code: &'static str,
) -> RequestLabels {
    RequestLabels { model: model.clone(), version, protocol: protocol.name(), code }
}

pub(super) fn door_labels(model: &Arc<str>, protocol: Protocol) -> DoorLabels {
    DoorLabels { model: model.clone(), protocol: protocol.name() }
}
