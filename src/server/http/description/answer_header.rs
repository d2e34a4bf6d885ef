//! The headers of answers that mean something to a client.

use serde_json::{Value, json};
use utoipa::openapi::{Header, HeaderBuilder, ObjectBuilder, Ref, Type};

/// A header of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::http) enum AnswerHeader {
    RequestId,
    TraceResponse,
    LoadReport,
    ServerTiming,
    RetryAfter,
    WwwAuthenticate,
    Allow,
    AcceptEncoding,
    JsonLength,
    ContentEncoding,
    EntityTag,
    OutputName,
    OutputShape,
    OutputDatatype,
    ModelVersion,
}

impl AnswerHeader {
    pub(super) const ALL: [Self; 15] = [
        Self::RequestId,
        Self::TraceResponse,
        Self::LoadReport,
        Self::ServerTiming,
        Self::RetryAfter,
        Self::WwwAuthenticate,
        Self::Allow,
        Self::AcceptEncoding,
        Self::JsonLength,
        Self::ContentEncoding,
        Self::EntityTag,
        Self::OutputName,
        Self::OutputShape,
        Self::OutputDatatype,
        Self::ModelVersion,
    ];

    /// Those that any answer may have, refusals too.
    pub(super) const EVERYWHERE: [Self; 3] = [Self::RequestId, Self::TraceResponse, Self::LoadReport];

    /// As it stands in an answer.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RequestId => "x-request-id",
            Self::TraceResponse => "traceresponse",
            Self::LoadReport => "endpoint-load-metrics",
            Self::ServerTiming => "server-timing",
            Self::RetryAfter => "retry-after",
            Self::WwwAuthenticate => "www-authenticate",
            Self::Allow => "allow",
            Self::AcceptEncoding => "accept-encoding",
            Self::JsonLength => "inference-header-content-length",
            Self::ContentEncoding => "content-encoding",
            Self::EntityTag => "etag",
            Self::OutputName => "x-output-name",
            Self::OutputShape => "x-output-shape",
            Self::OutputDatatype => "x-output-datatype",
            Self::ModelVersion => "x-model-version",
        }
    }

    /// Its name among the parts of the document.
    pub(super) fn component(self) -> &'static str {
        match self {
            Self::RequestId => "RequestId",
            Self::TraceResponse => "TraceResponse",
            Self::LoadReport => "EndpointLoadMetrics",
            Self::ServerTiming => "ServerTiming",
            Self::RetryAfter => "RetryAfter",
            Self::WwwAuthenticate => "WwwAuthenticate",
            Self::Allow => "Allow",
            Self::AcceptEncoding => "AcceptEncoding",
            Self::JsonLength => "InferenceHeaderContentLength",
            Self::ContentEncoding => "ContentEncoding",
            Self::EntityTag => "ETag",
            Self::OutputName => "OutputName",
            Self::OutputShape => "OutputShape",
            Self::OutputDatatype => "OutputDatatype",
            Self::ModelVersion => "ModelVersion",
        }
    }

    /// Where the document describes it.
    pub(super) fn reference(self) -> Ref {
        Ref::new(format!("#/components/headers/{}", self.component()))
    }

    /// What it says.
    pub(super) fn described(self) -> Header {
        let (kind, text, example) = match self {
            Self::RequestId => (
                Type::String,
                "The request's id: the client's own, or one that was made. It is in the server's log.",
                json!("5d7c0f3e9a1b2c4d-000000000001"),
            ),
            Self::TraceResponse => (
                Type::String,
                "Where the request is recorded, if it is: trace and span, as W3C's draft of the way back has them.",
                json!("00-4bf92f3577b34da6a3ce929d0e0e4736-3c191d03fa8be065-01"),
            ),
            Self::LoadReport => (
                Type::String,
                "How loaded the server is, where the request asks by `endpoint-load-metrics-format`.",
                json!("TEXT application_utilization=0.4300, rps_fractional=120.5, named_metrics.queue_depth=3"),
            ),
            Self::ServerTiming => (
                Type::String,
                "Where the time went, in milliseconds: decoding and resizing, waiting for a batch, the network's run, all together.",
                json!("preprocess;dur=2.900, queue;dur=0.400, inference;dur=49.100, total;dur=52.600"),
            ),
            Self::RetryAfter => {
                (Type::Integer, "After so many seconds trying again makes sense; at least 1.", json!(1))
            }
            Self::WwwAuthenticate => (Type::String, "How a key is shown.", json!("Bearer realm=\"resnetd\"")),
            Self::Allow => (Type::String, "The methods that the route has.", json!("GET, HEAD")),
            Self::AcceptEncoding => (
                Type::String,
                "The values of `content-encoding` that are read; only where that of the request was refused.",
                json!("gzip, deflate, br, zstd"),
            ),
            Self::JsonLength => (
                Type::Integer,
                "The length of the JSON at the start of the body, in bytes; the binary data of the outputs stand behind it, in their order.",
                json!(287),
            ),
            Self::ContentEncoding => (Type::String, "How the body is packed.", json!("gzip")),
            Self::EntityTag => (
                Type::String,
                "What `if-none-match` takes to get it again only when it changed.",
                json!("\"5e1c40a21f7b-gzip\""),
            ),
            Self::OutputName => (
                Type::String,
                "Which output the body is; only where it is one output and nothing else.",
                json!("features"),
            ),
            Self::OutputShape => (Type::String, "Its shape: pictures, and numbers of each.", json!("2,2048")),
            Self::OutputDatatype => (Type::String, "What its numbers are: little-endian, row by row.", json!("FP32")),
            Self::ModelVersion => (
                Type::Integer,
                "The version that it is of; features of different versions are not comparable.",
                json!(1),
            ),
        };
        let schema = ObjectBuilder::new().schema_type(kind);
        HeaderBuilder::new().schema(Some(schema)).description(Some(text)).example(Some::<Value>(example)).build()
    }
}
