//! `infer`: JSON, JSON with binary data behind it, or one image alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::{
    ToSchema,
    openapi::{ObjectBuilder, Required, Type, request_body::RequestBodyBuilder},
};

use crate::server::http::{
    description::{
        AnswerHeader, Described, ModelInPath, PIXEL, RefusalStatus, Tag, binary, content, example, header_parameter,
        reference, text,
    },
    v2::write::InferenceResponse,
};

/// A request. Unknown keys are passed over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `document` takes it apart")]
struct InferenceRequest {
    /// Comes back in the answer; up to 4096 bytes.
    #[schema(max_length = 4096)]
    id: Option<String>,
    parameters: Option<InferenceParameters>,
    /// A model has one input.
    #[schema(min_items = 1, max_items = 1)]
    inputs: Vec<RequestInput>,
    /// Which outputs are wanted; all without it.
    outputs: Option<Vec<RequestOutput>>,
}

/// What holds for the request. Others are passed over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `document` takes it apart")]
struct InferenceParameters {
    /// The request's deadline in **microseconds** from its arrival.
    #[schema(minimum = 0)]
    timeout: Option<u64>,
    /// 1 overtakes what waits, larger numbers what is larger still; 0 is the default.
    #[schema(minimum = 0)]
    priority: Option<u64>,
    /// Whether outputs that do not say come as binary data.
    binary_data_output: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// Pictures as they are, or the network's input.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `document` takes it apart")]
struct RequestInput {
    /// The name of the model's input, as its metadata say.
    name: String,
    /// `[N]` or `[N,1]` of BYTES; of numbers as the metadata say, with the number of images in the first place.
    shape: Vec<i64>,
    #[schema(schema_with = datatype)]
    datatype: String,
    parameters: Option<RequestInputParameters>,
    /// Numbers, nested or flat; pictures as base64 texts. Not with `binary_data_size`.
    data: Option<Vec<Value>>,
}

/// Others are passed over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `document` takes it apart")]
struct RequestInputParameters {
    /// So many bytes behind the JSON are the input.
    #[schema(minimum = 0)]
    binary_data_size: Option<u64>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

/// An output that is wanted.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `document` takes it apart")]
struct RequestOutput {
    /// `probabilities`, or the graph's own output, `logits` most often.
    name: String,
    parameters: Option<RequestOutputParameters>,
}

/// Others are passed over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `document` takes it apart")]
struct RequestOutputParameters {
    /// So many largest values, as `"value:index:label"`, instead of all of them.
    #[schema(minimum = 0)]
    classification: Option<u64>,
    /// Whether it comes as binary data.
    binary_data: Option<bool>,
    #[serde(flatten)]
    others: BTreeMap<String, Value>,
}

fn datatype() -> ObjectBuilder {
    let what = "`BYTES`: pictures. `FP32`, `FP16`, `BF16`: the network's input, normalized as it was trained. `UINT8`: pixels 0 to 255, \
                which the server normalizes. `INT8`: for graphs that take it. Halves come as binary data only.";
    text(what).enum_values(Some(["BYTES", "FP32", "FP16", "BF16", "UINT8", "INT8"]))
}

const TEXT: &str = "\
Runs a model on pictures as they are (`BYTES`) or on tensors, and gives its outputs: the graph's own, and `probabilities`.

**Binary data**: with `inference-header-content-length`, that many bytes of the body are JSON, and behind it stand the data of the input, \
`binary_data_size` bytes; numbers in little-endian, each element of BYTES behind its length in four bytes. With the header at `0` the body is \
one image: the graph's input where it has exactly that many bytes, a picture otherwise; all outputs come as binary data.

```sh
curl -H 'inference-header-content-length: 0' --data-binary @cat.jpg http://127.0.0.1:8000/v2/models/resnet20-cifar10/infer
```";

pub(in crate::server::http::v2) fn infer(place: ModelInPath) -> Described {
    let request = json!({
        "id": "42",
        "inputs": [{ "name": "input", "shape": [1], "datatype": "BYTES", "data": [PIXEL] }],
        "outputs": [{ "name": "probabilities", "parameters": { "classification": 2 } }],
    });
    let json = content(reference::<InferenceRequest>())
        .examples_from_iter([example("picture", "The two best classes of a picture", request)])
        .build();
    let body = RequestBodyBuilder::new()
        .description(Some("JSON, JSON with binary data behind it, or one image alone."))
        .required(Some(Required::True))
        .content("application/json", json)
        .content(
            "application/octet-stream",
            content(binary(
                "JSON with binary data behind it, or one image: `inference-header-content-length` says which.",
            ))
            .build(),
        )
        .build();
    let length = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let length = header_parameter(
        "inference-header-content-length",
        "So many bytes of the body are JSON; without it, all. 0: the body is one image.",
        length,
    );
    let answer = content(reference::<InferenceResponse<'_>>())
        .example(Some(json!({
            "model_name": "resnet20-cifar10",
            "model_version": "1",
            "id": "42",
            "outputs": [{ "name": "probabilities", "datatype": "BYTES", "shape": [1, 2], "data": ["0.9589025:3:cat", "0.016364167:5:dog"] }],
        })))
        .build();
    let behind = content(binary("The same JSON, and the binary data of the outputs behind it.")).build();
    Described::of_model(place, Tag::OpenInference, "v2Infer", "Outputs for pictures or tensors", TEXT)
        .parameter(length)
        .body(body)
        .knows::<InferenceRequest>()
        .knows::<InferenceResponse<'_>>()
        .inference()
        .answers_with(
            "The outputs: JSON, and binary data behind it where they are wanted.",
            [("application/json", answer), ("application/octet-stream", behind)],
            &[AnswerHeader::ServerTiming, AnswerHeader::JsonLength],
        )
        .refuses_because(
            RefusalStatus::InvalidArgument,
            "A name, datatype, shape or size is wrong, a number is infinite or none, a picture is corrupt, or the JSON cannot be read.",
        )
}
