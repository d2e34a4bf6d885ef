//! The protocols, by which the document groups its routes.

use utoipa::openapi::{Tag as TagObject, tag::TagBuilder};

/// The protocol that a route belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::http) enum Tag {
    Own,
    TensorFlowServing,
    OpenInference,
    Platforms,
    Management,
    Server,
}

impl Tag {
    pub(super) const ALL: [Self; 6] =
        [Self::Own, Self::TensorFlowServing, Self::OpenInference, Self::Platforms, Self::Management, Self::Server];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Own => "resnetd",
            Self::TensorFlowServing => "TensorFlow Serving and KServe 1",
            Self::OpenInference => "Open Inference Protocol 2",
            Self::Platforms => "platforms",
            Self::Management => "management",
            Self::Server => "server",
        }
    }

    pub(super) fn described(self) -> TagObject {
        let text = match self {
            Self::Own => "Classes of pictures, and what is served. To begin with: `POST /v1/models/{model}:classify`.",
            Self::TensorFlowServing => {
                "As clients of TensorFlow Serving and of KServe's protocol of version 1 speak it. `:classify` also takes TensorFlow Serving's bodies."
            }
            Self::OpenInference => {
                "As clients of Triton, KServe, MLServer and OpenVINO Model Server speak it, with Triton's extensions for binary tensors, classes, statistics and the repository's index."
            }
            Self::Platforms => {
                "What SageMaker and TorchServe's clients ask, where `[server] dialects` says so. Vertex AI's two routes are given by the platform, and take and give what `:classify` does."
            }
            Self::Management => {
                "What operators ask: which models are served, and what versions are called. At `[server] management` only; everywhere else these routes answer 404."
            }
            Self::Server => "Probes, metrics and this description.",
        };
        TagBuilder::new().name(self.name()).description(Some(text)).build()
    }
}
