//! What operators ask at the management address.

use serde_json::json;
use utoipa::openapi::{
    Required,
    request_body::{RequestBody, RequestBodyBuilder},
};

use crate::server::http::{
    description::{Described, ModelInPath, RefusalStatus, Tag, content, reference},
    v1::{
        manage::{LabelBody, LabelDocument, UnloadDocument},
        tfserving::StatusOfModel,
    },
};

/// What is said where there is no such thing to ask.
const ELSEWHERE: &str = "There is no such model, or this is not the management address (`[server] management`).";

fn nothing() -> RequestBody {
    RequestBodyBuilder::new()
        .description(Some("Nothing is read of it."))
        .required(Some(Required::False))
        .content("application/json", content(utoipa::openapi::Object::new()).build())
        .build()
}

pub(in crate::server::http::v1) fn load() -> Described {
    Described::of_model(
        ModelInPath::Model,
        Tag::Management,
        "loadModel",
        "Serve what is in a model's folder now",
        "Answered once it is served, with the model's status. An earlier version answers until then, and where the load fails. Where the repository is watched, this looks at the model at once.",
    )
    .body(nothing())
    .answers::<StatusOfModel<'_>>(
        "It is served.",
        json!({
            "name": "resnet20-cifar10",
            "ready": true,
            "model_version_status": [
                { "version": "2", "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } },
            ],
        }),
    )
    .refuses_because(RefusalStatus::NotFound, ELSEWHERE)
    .refuses_because(RefusalStatus::InvalidArgument, "It cannot be loaded; `error` says why.")
    .refuses_because(
        RefusalStatus::Unavailable,
        "With `[models] load = \"on_demand\"`: requests use all that may be loaded, so that there is no room for it.",
    )
}

pub(in crate::server::http::v1) fn unload() -> Described {
    Described::of_model(
        ModelInPath::Model,
        Tag::Management,
        "unloadModel",
        "Serve a model no more",
        "What is in flight is answered. Only with `[models] control = \"explicit\"`, or with `load = \"on_demand\"`, where its memory is given back \
         until the next request.",
    )
    .body(nothing())
    .answers::<UnloadDocument<'_>>("It is gone.", json!({ "name": "resnet20-cifar10", "unloaded": true }))
    .refuses_because(RefusalStatus::NotFound, ELSEWHERE)
    .refuses_because(
        RefusalStatus::InvalidArgument,
        "What is in the repository is served; `error` says how to change that.",
    )
}

pub(in crate::server::http::v1) fn label() -> Described {
    let body = RequestBodyBuilder::new()
        .description(Some("The label, and where it is to point."))
        .required(Some(Required::True))
        .content(
            "application/json",
            content(reference::<LabelBody>()).example(Some(json!({ "label": "stable", "version": 1 }))).build(),
        )
        .build();
    Described::of_model(
        ModelInPath::Model,
        Tag::Management,
        "labelModel",
        "Point a label at another version",
        "Without a load, until the server ends or `[versions] labels` in the model's `model.toml` changes: nothing is written.",
    )
    .body(body)
    .knows::<LabelBody>()
    .answers::<LabelDocument<'_>>(
        "Where it points.",
        json!({ "name": "resnet20-cifar10", "label": "stable", "version": 1 }),
    )
    .refuses_because(RefusalStatus::NotFound, ELSEWHERE)
    .refuses_because(RefusalStatus::InvalidArgument, "The JSON cannot be read, or the label cannot be part of a path.")
}
