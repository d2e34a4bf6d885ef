//! `:predict` and `:regress`, as TensorFlow Serving and KServe have them.

use serde_json::{Value, json};
use utoipa::ToSchema;

use super::pictures::{Base64File, Base64Picture, Patience, PicturesForm, body, pixel, priority};
use crate::server::http::{
    description::{AnswerHeader, Described, ModelInPath, RefusalStatus, Tag, content, example, reference},
    v1::predict::PredictDocument,
};

/// An entry a picture. Unknown keys are passed over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `predict` takes it apart")]
struct PredictInstances {
    instances: Vec<PredictInstance>,
    /// `serving_default` (or none) for probabilities, `raw` for the graph's output.
    signature_name: Option<String>,
}

/// All pictures of the one input. Unknown keys are passed over.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `predict` takes it apart")]
struct PredictInputs {
    /// A list as `instances` has it, an object with such a list under any name (numbers: under the name of the graph's input), or one
    /// picture alone.
    inputs: Value,
    /// `serving_default` (or none) for probabilities, `raw` for the graph's output.
    signature_name: Option<String>,
}

/// A picture under a name, or the network's input under that of the graph's input.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `predict` takes it apart")]
struct NamedPicture {
    image_bytes: Base64Picture,
}

/// A picture in base64, alone or under any name; or the network's input, normalized as it was trained: nested as `GET …/metadata` says, or
/// all numbers in one list.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; `predict` takes it apart")]
enum PredictInstance {
    Picture(Base64Picture),
    Named(NamedPicture),
    Text(Base64File),
    Tensor(Tensor),
    Numbers(Numbers),
}

/// Numbers nested as the graph's input is, `[C][H][W]` or `[H][W][C]`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `predict` takes it apart")]
struct Tensor(Vec<Vec<Vec<f32>>>);

/// All numbers of an image in one list.
#[derive(ToSchema)]
#[expect(dead_code, reason = "read by client authors; `predict` takes it apart")]
struct Numbers(Vec<f32>);

/// An entry a picture, or all pictures of the input.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; `predict` takes it apart")]
enum PredictBody {
    Rows(PredictInstances),
    Columns(PredictInputs),
}

const TEXT: &str = "\
A row of all classes for each picture: probabilities, or the graph's own output with `\"signature_name\": \"raw\"`.

`instances` are answered with `predictions`, `inputs` with `outputs`; a picture's file or a form with some as `instances` are. \
Pictures are taken whatever the graph's input is, and are prepared as for `:classify`; numbers are the network's input as it is.";

pub(in crate::server::http::v1) fn predict(place: ModelInPath) -> Described {
    let json = content(reference::<PredictBody>())
        .examples_from_iter([
            example("instances", "An entry a picture", json!({ "instances": [pixel()] })),
            example(
                "inputs",
                "All pictures of the input",
                json!({ "inputs": { "image_bytes": [pixel()] }, "signature_name": "raw" }),
            ),
        ])
        .build();
    let row = [
        0.0030608214,
        0.0053510503,
        0.007905588,
        0.9589025,
        0.00081496366,
        0.016364167,
        0.004081881,
        0.001543026,
        0.0015397111,
        0.00043630763,
    ];
    Described::of_model(place, Tag::TensorFlowServing, "predict", "All classes of pictures or tensors", TEXT)
        .query::<Patience>()
        .parameter(priority())
        .body(body::<PicturesForm>("The pictures or tensors.", json))
        .knows::<PredictBody>()
        .knows::<PicturesForm>()
        .inference()
        .answers::<PredictDocument<'_>>("A row for each picture.", json!({ "predictions": [row] }))
        .tells(AnswerHeader::ServerTiming)
        .refuses_because(
            RefusalStatus::InvalidArgument,
            "A picture is corrupt, numbers are nested otherwise than the model takes them, a name or a signature is unknown, or the JSON cannot be read.",
        )
}

pub(in crate::server::http::v1) fn regress(place: ModelInPath) -> Described {
    Described::of_model(
        place,
        Tag::TensorFlowServing,
        "regress",
        "Always refused",
        "TensorFlow Serving has this verb for models that give one number. A classifier has no regression: use `:classify` or `:predict`.",
    )
    .refuses_because(RefusalStatus::InvalidArgument, "The model has no regression.")
}
