//! The documents that TensorFlow Serving's and KServe's clients expect.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::{
    ToSchema,
    openapi::{ArrayBuilder, ObjectBuilder, RefOr, Schema},
};

use crate::{
    server::http::description::{list, reference, text},
    server::tfserving::{SignatureEntry, SignatureTensor, VersionStatus, signatures, states},
    service::{Answer, ModelStatus, Prediction, Target},
};

/// `{"results": [[["tabby", 0.83], …]]}`: one list an image, label and probability of each class.
#[derive(Serialize, ToSchema)]
#[schema(as = ClassifyResults)]
pub(super) struct Results<'a> {
    /// An entry an example: its classes, the most probable first, each as `[label, probability]`.
    #[serde(serialize_with = "write_results")]
    #[schema(schema_with = pairs)]
    results: &'a [Vec<Prediction>],
}

/// A label, or its probability.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; pairs are written as they are")]
pub(super) enum LabelOrProbability {
    Label(String),
    Probability(f32),
}

/// Lists of lists of pairs.
fn pairs() -> RefOr<Schema> {
    let pair = ArrayBuilder::new().items(reference::<LabelOrProbability>()).min_items(Some(2)).max_items(Some(2));
    list(list(pair))
}

/// The answer to a request with `examples`.
pub(super) fn results(answer: &Answer) -> Results<'_> {
    Results { results: &answer.predictions }
}

fn write_results<S: Serializer>(images: &[Vec<Prediction>], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(images.iter().map(|classes| Pairs(classes)))
}

struct Pairs<'a>(&'a [Prediction]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|class| (&*class.label, class.probability)))
    }
}

/// Where a model and its versions stand: TensorFlow Serving's `model_version_status`, beside KServe's `name` and `ready`.
#[derive(Serialize, ToSchema)]
#[schema(as = ModelStatus)]
pub(super) struct StatusOfModel<'a> {
    /// The highest version first.
    model_version_status: Vec<StatusOfVersion>,
    name: &'a str,
    /// Whether it answers, and the server means to stay.
    ready: bool,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ModelVersionStatus)]
struct StatusOfVersion {
    /// One that could not be loaded is at `END`.
    #[schema(schema_with = states_on_the_wire)]
    state: &'static str,
    status: StatusOfLoad,
    /// A number, as text: 64-bit numbers are texts in proto3's JSON.
    version: String,
}

#[derive(Serialize, ToSchema)]
#[schema(as = LoadStatus)]
struct StatusOfLoad {
    /// `OK`, or the name of what went wrong.
    error_code: &'static str,
    /// Empty where nothing went wrong.
    error_message: String,
}

fn states_on_the_wire() -> ObjectBuilder {
    text("Where the version is in its life.").enum_values(Some(["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]))
}

/// The status document of a model.
pub(super) fn status<'a>(name: &'a str, ready: bool, versions: &[ModelStatus]) -> StatusOfModel<'a> {
    let status = |state: VersionStatus| StatusOfVersion {
        version: state.version.to_string(),
        state: state.state,
        status: StatusOfLoad { error_code: state.error_code, error_message: state.error_message },
    };
    StatusOfModel { name, ready, model_version_status: states(versions).into_iter().map(status).collect() }
}

/// Which version it is about, as TensorFlow Serving says it.
#[derive(Serialize, ToSchema)]
pub(super) struct ModelSpec<'a> {
    name: &'a str,
    /// Always empty.
    signature_name: &'static str,
    /// A number, as text.
    version: String,
}

/// TensorFlow Serving has the map under its name, in a message that has the name of its field.
#[derive(Serialize, ToSchema)]
pub(super) struct SignatureMetadata {
    signature_def: SignatureMap,
}

#[derive(Serialize, ToSchema)]
struct SignatureMap {
    /// By name: `serving_default`, `raw`, `classify`.
    signature_def: BTreeMap<&'static str, Signature>,
}

/// What a signature takes and gives.
#[derive(Serialize, ToSchema)]
struct Signature {
    /// Always empty.
    defaults: BTreeMap<String, Value>,
    inputs: BTreeMap<String, SignatureTensorDocument>,
    method_name: &'static str,
    outputs: BTreeMap<String, SignatureTensorDocument>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = SignatureTensor)]
struct SignatureTensorDocument {
    /// `DT_FLOAT`, `DT_STRING`, …
    dtype: &'static str,
    name: String,
    tensor_shape: TensorShapeDocument,
}

#[derive(Serialize, ToSchema)]
#[schema(as = TensorShape)]
struct TensorShapeDocument {
    dim: Vec<Dimension>,
    unknown_rank: bool,
}

#[derive(Serialize, ToSchema)]
struct Dimension {
    name: &'static str,
    /// A number, as text; -1 where it is free.
    size: String,
}

/// TensorFlow Serving's document of what a model takes and gives: its two keys.
pub(super) fn metadata(target: &Target) -> (ModelSpec<'_>, SignatureMetadata) {
    let signature = |entry: SignatureEntry| {
        let signature = Signature {
            inputs: tensors(&entry.inputs),
            outputs: tensors(&entry.outputs),
            method_name: entry.method,
            defaults: BTreeMap::new(),
        };
        (entry.name, signature)
    };
    let signature_def = signatures(target).into_iter().map(signature).collect();
    let model = target.model();
    let spec = ModelSpec { name: &model.name, signature_name: "", version: model.version.to_string() };
    (spec, SignatureMetadata { signature_def: SignatureMap { signature_def } })
}

fn tensors(tensors: &[SignatureTensor]) -> BTreeMap<String, SignatureTensorDocument> {
    let described = tensors.iter().map(|SignatureTensor { name, data_type, dims }| {
        let dim = dims.iter().map(|size| Dimension { size: size.to_string(), name: "" }).collect();
        let tensor_shape = TensorShapeDocument { dim, unknown_rank: false };
        (name.clone(), SignatureTensorDocument { dtype: data_type, tensor_shape, name: name.clone() })
    });
    described.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_pairs_of_label_and_probability() {
        let class = |label: &str, probability| Prediction { index: 0, label: label.into(), probability };
        let answer = Answer {
            model: "m".into(),
            version: 1,
            architecture: "a".into(),
            predictions: vec![vec![class("tabby", 0.5), class("tiger \"cat\"", 0.25)], vec![]],
            outputs: Vec::new(),
            timing: Default::default(),
            batch_size: 1,
            cached: false,
            answered_by: Vec::new(),
        };
        assert_eq!(
            serde_json::to_string(&results(&answer)).expect("JSON"),
            r#"{"results":[[["tabby",0.5],["tiger \"cat\"",0.25]],[]]}"#
        );
    }
}
