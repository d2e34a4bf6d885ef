//! The page of all routes.

use bytes::Bytes;
use utoipa::openapi::{
    ComponentsBuilder, Info, InfoBuilder, LicenseBuilder, OpenApiBuilder, PathItem, PathsBuilder, Server,
    Tag as TagObject, path::HttpMethod, tag::TagBuilder,
};

use super::{
    answer_header::AnswerHeader, described::Described, parameter::CommonHeader, refusal::Refusal, shape::schemas,
};
use crate::server::http::error::ErrorDocument;

/// A route of the table: its path as a client writes it, its method, and what is said of it.
pub(in crate::server::http) struct Entry {
    pub(in crate::server::http) path: String,
    pub(in crate::server::http) method: HttpMethod,
    pub(in crate::server::http) described: Described,
}

/// The protocol that a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::http) enum Tag {
    Own,
    TensorFlowServing,
    OpenInference,
    Server,
}

impl Tag {
    const ALL: [Self; 4] = [Self::Own, Self::TensorFlowServing, Self::OpenInference, Self::Server];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Own => "resnetd",
            Self::TensorFlowServing => "TensorFlow Serving and KServe 1",
            Self::OpenInference => "Open Inference Protocol 2",
            Self::Server => "server",
        }
    }

    fn described(self) -> TagObject {
        let text = match self {
            Self::Own => "Classes of pictures, and what is served. To begin with: `POST /v1/models/{model}:classify`.",
            Self::TensorFlowServing => {
                "As clients of TensorFlow Serving and of KServe's protocol of version 1 speak it. `:classify` also takes TensorFlow Serving's bodies."
            }
            Self::OpenInference => {
                "As clients of Triton, KServe, MLServer and OpenVINO Model Server speak it, with Triton's extensions for binary tensors, classes, statistics and the repository's index."
            }
            Self::Server => "Probes, metrics and this description.",
        };
        TagBuilder::new().name(self.name()).description(Some(text)).build()
    }
}

/// What holds for every route.
const TEXT: &str = "\
Classifies pictures with ResNet models in ONNX Runtime. The same models answer over gRPC, on another port.

**Pictures** are files as they are: JPEG, PNG, WebP, GIF (the first frame), BMP, TIFF, PPM. They are told apart by their bytes, never by the type \
that a client gives them; the model's own preprocessing is done here.

**Refusals** have one form, `ErrorDocument`, whatever the protocol: `error` says what was wrong and how to mend it, `code` is one of few words for programs, \
`request_id` finds the request in the server's log. Trying again makes sense for `OVERLOADED` (429) and `UNAVAILABLE` (503), after \
`retry-after` seconds, and for nothing else. A path that is not here answers 404 with the nearest one, another method 405 with `allow`.

**Every `GET` answers `HEAD`** as well. Paths may end with a slash. HTTP/1.1 and HTTP/2 (without TLS, prior knowledge) share the port. \
Answers are never cut: they have a `content-length`.

**Times** are in milliseconds where nothing else is said. Every answer has `x-request-id`.";

/// Writes the document, the same bytes for the same routes.
pub(in crate::server::http) fn write(entries: Vec<Entry>) -> Bytes {
    let (mut paths, mut components) = (PathsBuilder::new(), ComponentsBuilder::new());
    components = components.schemas_from_iter(schemas::<ErrorDocument<'_>>());
    for Entry { path, method, described } in entries {
        let (operation, schemas) = described.into_parts();
        components = components.schemas_from_iter(schemas);
        paths = paths.path(path, PathItem::new(method, operation));
    }
    for header in AnswerHeader::ALL {
        components = components.header(header.component(), header.described());
    }
    for header in CommonHeader::ALL {
        components = components.parameter(header.component(), header.described());
    }
    for refusal in Refusal::ALL {
        components = components.response(refusal.component(), refusal.described());
    }
    let document = OpenApiBuilder::new()
        .info(info())
        .servers(Some([Server::new("/")]))
        .tags(Some(Tag::ALL.map(Tag::described)))
        .paths(paths)
        .components(Some(components.build()))
        .build();
    // Of types with string keys, in memory: it cannot fail, and a test reads it.
    serde_json::to_vec(&document).unwrap_or_default().into()
}

fn info() -> Info {
    let licence = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    InfoBuilder::new()
        .title("resnetd")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(TEXT))
        .license(Some(licence))
        .build()
}
