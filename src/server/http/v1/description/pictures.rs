//! The forms in which a body carries pictures.

use serde_json::{Value, json};
use utoipa::{
    IntoParams, PartialSchema, ToSchema,
    openapi::{
        Content, KnownFormat, RefOr, Required, Schema, SchemaFormat,
        path::Parameter,
        request_body::{RequestBody, RequestBodyBuilder},
    },
};

use crate::server::http::description::{PIXEL, binary, content, header_parameter, list, reference, text};

/// A picture in JSON.
#[derive(ToSchema)]
#[schema(as = Base64Picture)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
pub(super) struct Base64Picture {
    b64: Base64File,
}

/// The text alone.
pub(super) struct Base64File;

impl ToSchema for Base64File {}

impl PartialSchema for Base64File {
    fn schema() -> RefOr<Schema> {
        let description = "The bytes of a picture's file in base64: standard or URL-safe, with or without padding, line breaks or a \
                           `data:` prefix.";
        let byte = SchemaFormat::KnownFormat(KnownFormat::Byte);
        text(description).format(Some(byte)).content_encoding("base64").into()
    }
}

/// A picture in JSON. The object may stand under one other key, as in `{"image": {"b64": "…"}}`.
#[derive(ToSchema)]
#[schema(as = Picture)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
pub(super) enum PictureInJson {
    Object(Base64Picture),
    Text(Base64File),
}

/// `{"b64": "…"}`
pub(super) fn pixel() -> Value {
    json!({ "b64": PIXEL })
}

/// How long a client waits.
#[derive(IntoParams)]
#[expect(dead_code, reason = "read by client authors; `options` takes it apart")]
pub(super) struct Patience {
    /// The request's deadline, in milliseconds from its arrival. What cannot be answered by then is refused at once (429) or when the
    /// time has passed (504). Without it, `[limits] default_timeout_ms`.
    #[param(minimum = 1, maximum = 3600000, nullable = false)]
    timeout_ms: Option<u64>,
}

/// Whom a request may overtake.
pub(super) fn priority() -> Parameter {
    header_parameter(
        "x-priority",
        "Whom it may overtake in the queue: `interactive`, which is the default, `bulk`, which fills what others leave, or a number as Triton counts: 1 is the most \
         urgent, 100 the default, 200 bulk.",
        text("A word, or a number from 1 on.").pattern(Some("^(interactive|bulk|[1-9][0-9]{0,8})$")),
    )
}

/// A form: each part named `image`, and each part with a file name, is a picture.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `form` takes it apart")]
pub(super) struct PicturesForm {
    #[schema(schema_with = files)]
    image: Vec<String>,
}

/// Parts of a form that are files.
pub(super) fn files() -> RefOr<Schema> {
    list(binary("The bytes of a picture's file."))
}

/// A body that is JSON, a picture as it is, or a form with some.
///
/// * `json`: what the JSON may be
/// * `F`: what the form may be
pub(super) fn body<F: ToSchema>(text: &str, json: Content) -> RequestBody {
    let file = || content(binary("The bytes of one picture's file.")).build();
    RequestBodyBuilder::new()
        .description(Some(text))
        .required(Some(Required::True))
        .content("application/json", json)
        .content("application/octet-stream", file())
        .content("image/*", file())
        .content("multipart/form-data", content(reference::<F>()).build())
        .build()
}
