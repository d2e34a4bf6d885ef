//! What a client author reads of the routes of platforms. Vertex AI's are free text of the platform, and stand in no list.

use serde_json::json;
use utoipa::openapi::{
    ObjectBuilder, Required, Type,
    path::{ParameterBuilder, ParameterIn},
};

use crate::server::http::{
    description::{AnswerHeader, Described, ModelInPath, RefusalStatus, Tag, header_parameter, text},
    health::StatusDocument,
    v1::{TorchServeDocument, gives_classes, takes_pictures},
};

const OFF: &str = "There is no such model, or the dialect is not on.";

pub(super) fn ping() -> Described {
    let about = "SageMaker's and TorchServe's probe. Only with `[server] dialects` of one of them; 404 otherwise.";
    Described::new(Tag::Platforms, "ping", "May traffic come", about)
        .answers::<StatusDocument>("Send requests.", json!({ "status": "Healthy" }))
        .refuses_because(RefusalStatus::NotFound, "Neither dialect is on.")
        .refuses_because(
            RefusalStatus::Unavailable,
            "Models are loading, none answers any more, or the server is about to stop.",
        )
}

pub(super) fn invocations() -> Described {
    let about = "SageMaker's route: takes what `:classify` takes and answers as it does, for the model that the header names, else \
                 `[server] default_model`, else the only one. Only with `[server] dialects = [\"sagemaker\"]`; 404 otherwise.";
    let target = header_parameter(
        "x-amzn-sagemaker-target-model",
        "The model, as SageMaker's multi-model endpoints name it; `.tar.gz` at its end is passed over.",
        text("A model's name."),
    );
    let described =
        Described::new(Tag::Platforms, "invocations", "The most probable classes of pictures (SageMaker)", about)
            .parameter(target);
    gives_classes(takes_pictures(described)).refuses_because(RefusalStatus::NotFound, OFF)
}

/// By POST and by PUT.
pub(super) fn predictions(has_version: bool) -> [Described; 2] {
    ["", "Put"].map(|method| {
        let version = if has_version { "Version" } else { "" };
        let about = "TorchServe's route: takes what `:classify` takes, and answers labels with their probabilities. Only with \
                     `[server] dialects = [\"torchserve\"]`; 404 otherwise.";
        let (id, summary) = (format!("predictions{version}{method}"), "Probabilities by label (TorchServe)");
        let mut described = Described::of_model(ModelInPath::Model, Tag::Platforms, &id, summary, about);
        if has_version {
            let version = ParameterBuilder::new()
                .name("version")
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .description(Some("The version, as `1` or `1.0`."))
                .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
                .example(Some(json!("1.0")));
            described = described.parameter(version.build());
        }
        takes_pictures(described)
            .answers::<TorchServeDocument<'_>>("The labels of the picture; a list for several.", json!({ "cat": 0.9589025, "dog": 0.016364167 }))
            .tells(AnswerHeader::ServerTiming)
            .refuses_because(RefusalStatus::NotFound, OFF)
    })
}
