//! `:classify`.

use serde_json::json;
use utoipa::{
    IntoParams, ToSchema,
    openapi::{ObjectBuilder, RefOr, Schema, Type},
};

use super::pictures::{Patience, PictureInJson, body, files, pixel, priority};
use crate::server::http::{
    description::{
        AnswerHeader, Described, ModelInPath, RefusalStatus, Tag, binary, content, example, list, reference,
    },
    v1::{
        classify::ClassifyDocument,
        rows::OutputRow,
        tfserving::{LabelOrProbability, Results},
    },
};

/// What is wanted of the classes; in the query, in the form, or in the JSON.
#[derive(IntoParams)]
#[expect(dead_code, reason = "read by client authors; `options` takes it apart")]
struct ClassesOptions {
    /// So many classes of each picture, the most probable first; 1 to the model's number of classes.
    #[param(minimum = 1, default = 5, nullable = false)]
    top_k: Option<usize>,
    /// Only classes that are at least so probable, 0 to 1.
    #[param(minimum = 0.0, maximum = 1.0, default = 0.0, nullable = false)]
    min_probability: Option<f32>,
    /// Outputs beside the classes, with commas between: `logits`, `probabilities`, `features`, or the graph's own name of its output.
    #[param(nullable = false)]
    outputs: Option<String>,
    /// How outputs are written in JSON: as numbers, or as base64 of `f32`, little-endian.
    #[param(nullable = false)]
    encoding: Option<OutputEncoding>,
}

/// How outputs are written in JSON.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "read by client authors; `options` takes it apart")]
enum OutputEncoding {
    Numbers,
    Base64,
}

/// What several models say together: the mean of their probabilities.
#[derive(ToSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "read by client authors; `options` takes it apart")]
pub(super) enum EnsembleMethod {
    Mean,
}

/// Pictures, and what is wanted of them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
struct ClassifyInstances {
    /// The pictures, answered in this order.
    instances: Vec<PictureInJson>,
    /// So many classes of each picture, the most probable first; 1 to the model's number of classes.
    #[schema(minimum = 1, default = 5)]
    top_k: Option<usize>,
    /// Only classes that are at least so probable.
    #[schema(minimum = 0.0, maximum = 1.0, default = 0.0)]
    min_probability: Option<f32>,
    /// The request's deadline, in milliseconds from its arrival.
    #[schema(minimum = 1, maximum = 3600000)]
    timeout_ms: Option<u64>,
    /// Outputs beside the classes: `logits`, `probabilities`, `features`, or the graph's own name of its output.
    outputs: Option<Vec<String>>,
    encoding: Option<OutputEncoding>,
    /// Where several models are asked: what they say together.
    ensemble: Option<EnsembleMethod>,
    parameters: Option<ClassifyParameters>,
    /// TensorFlow Serving's name of what to compute: `serving_default`, `classify` or none.
    signature_name: Option<String>,
}

/// The same options as Vertex AI's clients send them.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
struct ClassifyParameters {
    #[schema(minimum = 1)]
    top_k: Option<usize>,
    /// `top_k` in the words of Vertex AI's own models.
    #[schema(rename = "maxPredictions", minimum = 1)]
    max_predictions: Option<usize>,
    #[schema(minimum = 0.0, maximum = 1.0)]
    min_probability: Option<f32>,
    /// `min_probability` in the words of Vertex AI's own models.
    #[schema(rename = "confidenceThreshold", minimum = 0.0, maximum = 1.0)]
    confidence_threshold: Option<f32>,
    #[schema(minimum = 1, maximum = 3600000)]
    timeout_ms: Option<u64>,
    outputs: Option<Vec<String>>,
    encoding: Option<OutputEncoding>,
}

/// TensorFlow Serving's body.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
struct ClassifyExamples {
    /// The examples, answered in this order. The picture is the feature `image`, `image/encoded`, `image_bytes` or `b64`, or the only
    /// one; others are passed over.
    #[schema(schema_with = examples)]
    examples: Vec<String>,
    context: Option<ClassifyContext>,
    /// The name of what to compute: `serving_default`, `classify` or none.
    signature_name: Option<String>,
    /// As `top_k` of the query; the same holds for what follows.
    #[schema(minimum = 1)]
    top_k: Option<usize>,
    #[schema(minimum = 0.0, maximum = 1.0)]
    min_probability: Option<f32>,
    #[schema(minimum = 1, maximum = 3600000)]
    timeout_ms: Option<u64>,
}

/// What holds for all examples.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
struct ClassifyContext {
    /// So many classes of each example.
    #[schema(minimum = 1)]
    k: Option<usize>,
    /// The same.
    #[schema(minimum = 1)]
    top_k: Option<usize>,
}

/// A form: each part named `image`, and each part with a file name, is a picture; the others are options.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `form` takes it apart")]
struct ClassifyForm {
    #[schema(schema_with = files)]
    image: Vec<String>,
    /// As in the query; the same holds for what follows.
    #[schema(minimum = 1, nullable = false)]
    top_k: Option<usize>,
    #[schema(minimum = 0.0, maximum = 1.0, nullable = false)]
    min_probability: Option<f32>,
    #[schema(minimum = 1, maximum = 3600000, nullable = false)]
    timeout_ms: Option<u64>,
    #[schema(nullable = false)]
    outputs: Option<String>,
    encoding: Option<OutputEncoding>,
    /// Where several models are asked: what they say together.
    ensemble: Option<EnsembleMethod>,
}

/// Ours, with `instances`, or TensorFlow Serving's, with `examples`.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; `json` takes it apart")]
enum ClassifyBody {
    Ours(ClassifyInstances),
    TensorFlowServing(ClassifyExamples),
}

/// `ClassifyResults` to a body with `examples`, `Classification` to everything else.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; each is written as it is")]
enum ClassifyAnswer<'a> {
    Ours(ClassifyDocument<'a>),
    TensorFlowServing(Results<'a>),
}

fn examples() -> RefOr<Schema> {
    list(
        ObjectBuilder::new()
            .schema_type(Type::Object)
            .description(Some("Features by their names, one of them a picture: `{\"image\": {\"b64\": \"…\"}}`.")),
    )
}

const TEXT: &str = "\
Decodes each picture, prepares it as the model was trained, runs the network, and gives its most probable classes.

The body is a picture as it is, a form with some, or JSON with base64; the options may stand in the query, in the form or in the JSON. \
One bad picture of several fails the request, with its index in `error`.

```sh
curl --data-binary @cat.jpg -H 'content-type: image/jpeg' 'http://127.0.0.1:8000/v1/models/resnet20-cifar10:classify?top_k=1'
curl -F image=@cat.jpg -F image=@dog.jpg http://127.0.0.1:8000/v1/models/resnet20-cifar10:classify
```

A body of TensorFlow Serving (`examples`) gets TensorFlow Serving's answer, `results`.

With `outputs` the answer also has what the network says in numbers: `logits`, `probabilities`, and `features`, the pooled values that the \
last layer reads, to search and cluster with. With `accept: application/octet-stream` or `application/x-npy` one output comes alone.";

/// A body with pictures, its options, and what may be wrong with them: what `:classify` takes, and what other routes take that are answered
/// by it.
pub(in crate::server::http) fn takes_pictures(described: Described) -> Described {
    let json = content(reference::<ClassifyBody>())
        .examples_from_iter([
            example("ours", "Ours", json!({ "instances": [pixel()], "top_k": 2 })),
            example(
                "tensorflow_serving",
                "TensorFlow Serving's",
                json!({ "examples": [{ "image": pixel() }], "context": { "k": 2 } }),
            ),
        ])
        .build();
    let text = "The pictures: a file as it is (whatever its type says), a form with files, or JSON.";
    let body = body::<ClassifyForm>(text, json);
    described
        .query::<ClassesOptions>()
        .query::<Patience>()
        .parameter(priority())
        .body(body)
        .knows::<ClassifyBody>()
        .knows::<ClassifyForm>()
        .knows::<OutputEncoding>()
        .knows::<EnsembleMethod>()
        .inference()
        .refuses_because(
            RefusalStatus::InvalidArgument,
            "A picture is corrupt or empty, an option is unknown or out of range, an output is not there, or the form or the JSON cannot be \
             read. `error` says which, with the picture's index.",
        )
}

/// The classes of pictures, and outputs that were asked for: what `:classify` answers.
pub(in crate::server::http) fn gives_classes(described: Described) -> Described {
    let answer = content(reference::<ClassifyAnswer<'_>>())
        .examples_from_iter([
            example(
                "ours",
                "Ours",
                json!({
                    "model": "resnet20-cifar10", "version": 1, "architecture": "resnet20-cifar",
                    "predictions": [{ "classes": [
                        { "index": 3, "label": "cat", "probability": 0.9589025 },
                        { "index": 5, "label": "dog", "probability": 0.016364167 },
                    ] }],
                    "timing_ms": { "preprocess": 0.098, "queue": 0.021, "inference": 0.612, "total": 0.763 },
                    "batch_size": 1,
                }),
            ),
            example(
                "tensorflow_serving",
                "TensorFlow Serving's",
                json!({ "results": [[["cat", 0.9589025], ["dog", 0.016364167]]] }),
            ),
        ])
        .build();
    let one = |what| content(binary(what)).build();
    described.knows::<ClassifyAnswer<'_>>().knows::<LabelOrProbability>().knows::<OutputRow>().answers_with(
        "The classes of each picture; or, where one output is asked for and `accept` says so, that alone.",
        [
            ("application/json", answer),
            ("application/octet-stream", one("One output: numbers of 32 bits, little-endian, a row a picture.")),
            ("application/x-npy", one("One output as a NumPy file.")),
        ],
        &[
            AnswerHeader::ServerTiming,
            AnswerHeader::OutputName,
            AnswerHeader::OutputShape,
            AnswerHeader::OutputDatatype,
            AnswerHeader::ModelVersion,
        ],
    )
}

pub(in crate::server::http::v1) fn classify(place: ModelInPath) -> Described {
    let described = Described::of_model(place, Tag::Own, "classify", "The most probable classes of pictures", TEXT);
    gives_classes(takes_pictures(described))
}
