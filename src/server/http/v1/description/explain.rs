//! `:explain`.

use serde_json::json;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{Object, ObjectBuilder, Type},
};

use super::pictures::{Patience, PictureInJson, body, files, pixel, priority};
use crate::server::http::{
    description::{
        AnswerHeader, Described, ModelInPath, RefusalStatus, Tag, binary, content, example, reference, text,
    },
    v1::explained::ExplainDocument,
};

/// What is explained, and how much of the picture a drawing shows.
#[derive(IntoParams)]
#[expect(dead_code, reason = "read by client authors; `options` takes it apart")]
struct ExplainQuery {
    /// A class by its label or index, or several with commas between; may be given again for more. Without it, the most probable.
    #[param(nullable = false)]
    class: Option<String>,
    /// Where no class is named: so many of the most probable.
    #[param(minimum = 1, maximum = 32, default = 1, nullable = false)]
    top_k: Option<usize>,
    /// How often a picture is looked at: 1, as it is classified, or 10, its corners and its centre and their mirror images, each of which
    /// counts as an image of the request.
    #[param(default = 1, schema_with = crops)]
    crops: Option<u8>,
    /// What a drawing shows: `crop`, what the network saw, or `original`, the whole picture with that marked. With `crops=10` both are the
    /// whole picture.
    #[param(nullable = false)]
    view: Option<DrawnView>,
}

/// What a drawing shows.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "read by client authors; `options` takes it apart")]
enum DrawnView {
    Crop,
    Original,
}

/// A class, by its label or index.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
enum ClassName {
    Label(String),
    Index(usize),
}

/// One class or several.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
enum ClassNamesInJson {
    One(ClassName),
    Several(Vec<ClassName>),
}

/// Pictures, and which classes are explained; also what KServe's clients send.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
struct ExplainInstances {
    /// The pictures, answered in this order.
    instances: Vec<PictureInJson>,
    class: Option<ClassNamesInJson>,
    /// Where no class is named: so many of the most probable.
    #[schema(minimum = 1, maximum = 32, default = 1)]
    top_k: Option<usize>,
    /// As in the query.
    #[schema(schema_with = crops)]
    crops: Option<u8>,
    view: Option<DrawnView>,
    /// The request's deadline, in milliseconds from its arrival.
    #[schema(minimum = 1, maximum = 3600000)]
    timeout_ms: Option<u64>,
}

/// A form: each part named `image`, and each part with a file name, is a picture; the others are options.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `form` takes it apart")]
struct ExplainPicturesForm {
    #[schema(schema_with = files)]
    image: Vec<String>,
    /// As in the query; the same holds for what follows.
    #[schema(nullable = false)]
    class: Option<String>,
    #[schema(minimum = 1, maximum = 32, nullable = false)]
    top_k: Option<usize>,
    #[schema(schema_with = crops)]
    crops: Option<u8>,
    view: Option<DrawnView>,
    #[schema(minimum = 1, maximum = 3600000, nullable = false)]
    timeout_ms: Option<u64>,
}

/// 1 or 10.
fn crops() -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).enum_values(Some([1, 10])).build()
}

const TEXT: &str = "\
Says which places of a picture speak for a class: exact class activation maps (Zhou et al. 2016). A ResNet ends in a mean over the picture \
and one layer of weights, so each place of its last feature map has a part in the logit of each class: the parts of a map and the bias sum to \
the logit. It takes one run, as a classification does, and no gradients.

The body is one that `:classify` takes. The answer is numbers, or, with `accept: image/png`, `image/webp` or `image/svg+xml`, a drawing of \
one picture: red speaks for the class, blue against it; several classes lie side by side.

```sh
curl --data-binary @cat.jpg 'http://127.0.0.1:8000/v1/models/resnet20-cifar10:explain?class=cat,dog'
curl --data-binary @cat.jpg -H 'accept: image/png' 'http://127.0.0.1:8000/v1/models/resnet20-cifar10:explain?view=original' -o why.png
```

With `crops=10` each picture is looked at ten times, and the map is of all of it: `logit` is the mean of `crop_logits`, and the sum of the map \
and the bias; `crops` says where each of the ten was.

A network that does not end so is refused, with what it does instead.";

pub(in crate::server::http::v1) fn explain(place: ModelInPath) -> Described {
    let described =
        Described::of_model(place, Tag::Own, "explain", "Which places of a picture speak for a class", TEXT);
    let instances = content(reference::<ExplainInstances>())
        .examples_from_iter([example("ours", "Ours", json!({ "instances": [pixel()], "class": ["cat", 5] }))])
        .build();
    let answer = content(reference::<ExplainDocument<'_>>())
        .example(Some(json!({
            "model": "resnet20-cifar10", "version": 1, "architecture": "resnet20-cifar",
            "explanations": [{
                "classes": [{
                    "index": 3, "label": "cat", "probability": 0.9589025, "logit": 9.25, "bias": 0.25,
                    "map": [[1.5, 2.0], [-0.5, 6.0]],
                }],
                "crop": { "x": 0.0, "y": 0.0, "width": 32.0, "height": 32.0 },
                "picture": { "width": 32, "height": 32 },
            }],
            "timing_ms": { "preprocess": 0.098, "queue": 0.021, "inference": 0.612, "total": 0.763 },
            "batch_size": 1,
        })))
        .build();
    let drawing = |what| content(binary(what)).build();
    described
        .query::<ExplainQuery>()
        .query::<Patience>()
        .parameter(priority())
        .body(body::<ExplainPicturesForm>("The pictures: a file as it is, a form with files, or JSON.", instances))
        .knows::<ExplainInstances>()
        .knows::<ExplainPicturesForm>()
        .knows::<DrawnView>()
        .inference()
        .refuses_because(
            RefusalStatus::InvalidArgument,
            "A picture is corrupt or empty, there is no such class, an option is unknown or out of range, the network does not end in a mean \
             over the picture and one layer, or the form or the JSON cannot be read. `error` says which.",
        )
        .knows::<ExplainDocument<'_>>()
        .answers_with(
            "The maps of each picture; or, where `accept` says so, a drawing of the only one.",
            [
                ("application/json", answer),
                ("image/png", drawing("The picture with its maps over it.")),
                ("image/webp", drawing("The same, without loss.")),
                ("image/svg+xml", content(text("The same, with the classes and a scale.")).build()),
            ],
            &[AnswerHeader::ServerTiming, AnswerHeader::ModelVersion],
        )
}
