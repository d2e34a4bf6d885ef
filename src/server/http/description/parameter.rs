//! What stands in the path of a request, and in headers that many routes read.

use serde_json::{Value, json};
use utoipa::openapi::{
    ObjectBuilder, Ref, RefOr, Required, Schema, Type,
    path::{Parameter, ParameterBuilder, ParameterIn},
};

/// Where a model, or one of its versions, stands in a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::http) enum ModelInPath {
    /// `{model}`: the highest version that answers.
    Model,
    /// `{model}/versions/{version}`
    Version,
    /// `{model}/labels/{label}`
    Label,
}

impl ModelInPath {
    /// The path behind `models/`.
    pub(in crate::server::http) fn path(self) -> &'static str {
        match self {
            Self::Model => "{model}",
            Self::Version => "{model}/versions/{version}",
            Self::Label => "{model}/labels/{label}",
        }
    }

    /// What the name of an operation ends with.
    pub(in crate::server::http) fn suffix(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Version => "Version",
            Self::Label => "Label",
        }
    }

    /// What the summary of an operation ends with.
    pub(in crate::server::http) fn of_it(self) -> &'static str {
        match self {
            Self::Model => "",
            Self::Version => " (of one version)",
            Self::Label => " (of a labelled version)",
        }
    }

    /// The parameters of the path.
    pub(super) fn parameters(self) -> Vec<Parameter> {
        let model = in_path(
            "model",
            "The model's name, as `GET /v1/models` lists it.",
            of(Type::String),
            json!("resnet20-cifar10"),
        );
        let more = match self {
            Self::Model => return vec![model],
            Self::Version => {
                in_path("version", "The version, a positive integer.", of(Type::Integer).minimum(Some(1)), json!(1))
            }
            Self::Label => in_path(
                "label",
                "The label that model.toml gives to a version, `[versions] labels`.",
                of(Type::String),
                json!("stable"),
            ),
        };
        vec![model, more]
    }
}

fn of(kind: Type) -> ObjectBuilder {
    ObjectBuilder::new().schema_type(kind)
}

fn in_path(name: &str, text: &str, schema: ObjectBuilder, example: Value) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(text))
        .schema(Some(schema))
        .example(Some(example))
        .build()
}

/// A header of a request that may be left out. Without an example: pages that send requests would send it.
pub(in crate::server::http) fn header_parameter(name: &str, text: &str, schema: impl Into<RefOr<Schema>>) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(text))
        .schema(Some(schema))
        .build()
}

/// A header of a request that many routes read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommonHeader {
    RequestId,
    TraceParent,
    LoadFormat,
    ContentEncoding,
}

impl CommonHeader {
    pub(super) const ALL: [Self; 4] = [Self::RequestId, Self::TraceParent, Self::LoadFormat, Self::ContentEncoding];

    /// Its name among the parts of the document.
    pub(super) fn component(self) -> &'static str {
        match self {
            Self::RequestId => "RequestId",
            Self::TraceParent => "TraceParent",
            Self::LoadFormat => "EndpointLoadMetricsFormat",
            Self::ContentEncoding => "ContentEncoding",
        }
    }

    /// Where the document describes it.
    pub(super) fn reference(self) -> Ref {
        Ref::new(format!("#/components/parameters/{}", self.component()))
    }

    pub(super) fn described(self) -> Parameter {
        match self {
            Self::RequestId => header_parameter(
                "x-request-id",
                "The client's name for the request, 1 to 128 visible ASCII characters, `order-4711` for instance: it comes back, and stands in the log. \
                 Another one, or none, is replaced.",
                of(Type::String),
            ),
            Self::TraceParent => header_parameter(
                "traceparent",
                "The trace that the request belongs to, as W3C Trace Context has it, `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01` for instance: \
                 it stands in the log, and where the server records traces, the request is recorded as a part of it.",
                of(Type::String),
            ),
            Self::LoadFormat => header_parameter(
                "endpoint-load-metrics-format",
                "Asks for the server's load in the answer's head, in this form of ORCA's: `text`, `json` or `bin`. Another one is passed over.",
                of(Type::String),
            ),
            Self::ContentEncoding => header_parameter(
                "content-encoding",
                "How the body is packed; without it, not at all. The limit of the body holds for both sizes.",
                of(Type::String).enum_values(Some(["identity", "gzip", "deflate", "br", "zstd"])),
            ),
        }
    }
}
