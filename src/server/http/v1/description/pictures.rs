//! The forms in which a body carries pictures.

use serde_json::{Value, json};
use utoipa::{
    IntoParams, ToSchema,
    openapi::{
        Array, ObjectBuilder, RefOr, Required, Schema, Type,
        request_body::{RequestBody, RequestBodyBuilder},
    },
};

use crate::server::http::description::{PIXEL, base64_file, binary, content, one_of, reference};

/// A picture in JSON.
#[derive(ToSchema)]
#[schema(as = Base64Picture)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
pub(super) struct Base64Picture {
    #[schema(schema_with = base64_file)]
    b64: String,
}

/// A picture in JSON: an object or the text alone.
pub(super) fn picture() -> RefOr<Schema> {
    one_of(
        "A picture. The object may stand under one other key, as in `{\"image\": {\"b64\": \"…\"}}`.",
        [reference::<Base64Picture>(), base64_file().into()],
    )
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
    #[param(minimum = 1, maximum = 3600000, example = 1500)]
    timeout_ms: Option<u64>,
}

/// A body that is JSON, a picture as it is, or a form with some.
///
/// * `json`: what the JSON may be
/// * `options`: parts of the form that are no pictures
pub(super) fn body(
    text: &str,
    json: utoipa::openapi::Content,
    options: impl IntoIterator<Item = (&'static str, RefOr<Schema>)>,
) -> RequestBody {
    let file = || content(binary("The bytes of one picture's file.")).build();
    let pictures = Array::new(binary("The bytes of a picture's file."));
    let form = ObjectBuilder::new()
        .schema_type(Type::Object)
        .description(Some("Each part named `image`, and each part with a file name, is a picture."))
        .property("image", pictures)
        .required("image");
    let form = options.into_iter().fold(form, |form, (name, schema)| form.property(name, schema));
    RequestBodyBuilder::new()
        .description(Some(text))
        .required(Some(Required::True))
        .content("application/json", json)
        .content("application/octet-stream", file())
        .content("image/*", file())
        .content("multipart/form-data", content(form).build())
        .build()
}
