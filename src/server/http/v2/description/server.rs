//! The server, and its repository.

use serde_json::json;
use utoipa::openapi::{Required, request_body::RequestBodyBuilder};

use crate::server::{
    http::{
        description::{Described, ModelInPath, RefusalStatus, Tag, content, list, reference},
        v2::{
            repository::{IndexRequest, ModelRequest},
            server::{Live, Ready, ServerMetadata},
        },
    },
    v2::{EXTENSIONS, NAME, RepositoryEntry, VERSION},
};

pub(in crate::server::http::v2) fn server_metadata() -> Described {
    Described::new(
        Tag::OpenInference,
        "v2ServerMetadata",
        "What the server is",
        "Its name, its version, and which of Triton's extensions it speaks: only what works.",
    )
    .answers::<ServerMetadata>("The server.", json!({ "name": NAME, "version": VERSION, "extensions": EXTENSIONS }))
}

pub(in crate::server::http::v2) fn live() -> Described {
    Described::new(Tag::OpenInference, "v2Live", "Does the process live", "200 as long as the process answers at all.")
        .answers::<Live>("It lives.", json!({ "live": true }))
}

pub(in crate::server::http::v2) fn ready() -> Described {
    Described::new(
        Tag::OpenInference,
        "v2Ready",
        "May traffic come",
        "200 once the models are warmed up, 503 before that and from the stop signal on.",
    )
    .answers::<Ready>("Send requests.", json!({ "ready": true }))
    .refuses_because(
        RefusalStatus::Unavailable,
        "Models are loading, none answers any more, or the server is about to stop.",
    )
}

pub(in crate::server::http::v2) fn index() -> Described {
    let body = RequestBodyBuilder::new()
        .description(Some("Which versions are wanted; nothing for all of them."))
        .required(Some(Required::False))
        .content(
            "application/json",
            content(reference::<IndexRequest>()).example(Some(json!({ "ready": true }))).build(),
        )
        .build();
    let entries = content(list(reference::<RepositoryEntry>()))
        .example(Some(json!([{ "name": "resnet20-cifar10", "version": "1", "state": "READY", "reason": "" }])))
        .build();
    Described::new(
        Tag::OpenInference,
        "v2RepositoryIndex",
        "What the repository holds",
        "Every version of every model with its state, and the reason where it does not answer.",
    )
    .body(body)
    .knows::<IndexRequest>()
    .knows::<RepositoryEntry>()
    .answers_with("An entry a version.", [("application/json", entries)], &[])
}

fn of_repository(id: &str, summary: &str, text: &str) -> Described {
    let body = RequestBodyBuilder::new()
        .description(Some("Nothing, or Triton's parameters."))
        .required(Some(Required::False))
        .content(
            "application/json",
            content(reference::<ModelRequest>()).example(Some(json!({ "parameters": {} }))).build(),
        )
        .build();
    Described::of_model(ModelInPath::Model, Tag::Management, id, summary, text)
        .body(body)
        .knows::<ModelRequest>()
        .answers_with("Done. There is no body.", [], &[])
        .refuses_because(
            RefusalStatus::NotFound,
            "There is no such model, or this is not the management address (`[server] management`).",
        )
        .refuses([RefusalStatus::Unimplemented])
}

pub(in crate::server::http::v2) fn load() -> Described {
    of_repository(
        "v2RepositoryLoad",
        "Serve what is in a model's folder now",
        "Answered once it is served. Models come from the repository: `config` and files among the parameters are refused.",
    )
    .refuses_because(RefusalStatus::InvalidArgument, "It cannot be loaded; `error` says why.")
}

pub(in crate::server::http::v2) fn unload() -> Described {
    of_repository(
        "v2RepositoryUnload",
        "Serve a model no more",
        "What is in flight is answered. Only with `[models] control = \"explicit\"`, or with `load = \"on_demand\"`, where its memory is given back \
         until the next request.",
    )
    .refuses_because(
        RefusalStatus::InvalidArgument,
        "What is in the repository is served; `error` says how to change that.",
    )
}
