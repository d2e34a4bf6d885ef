//! The documents that TensorFlow Serving's and KServe's clients expect.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::{
    server::tfserving::{SignatureTensor, VersionStatus, signatures, states},
    service::{Answer, ModelStatus, Prediction, Target},
};

/// `{"results": [[["tabby", 0.83], …]]}`: one list an image, label and probability of each class.
#[derive(Serialize)]
pub(super) struct Results<'a> {
    #[serde(serialize_with = "write_results")]
    results: &'a [Vec<Prediction>],
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

/// The status document of a model: TensorFlow Serving's `model_version_status`, beside KServe's `name` and `ready`.
pub(super) fn status(name: &str, ready: bool, versions: &[ModelStatus]) -> Value {
    let status = |state: VersionStatus| {
        json!({
            // 64-bit numbers are strings in proto3's JSON.
            "version": state.version.to_string(),
            "state": state.state,
            "status": { "error_code": state.error_code, "error_message": state.error_message },
        })
    };
    let versions: Vec<_> = states(versions).into_iter().map(status).collect();
    json!({ "name": name, "ready": ready, "model_version_status": versions })
}

/// TensorFlow Serving's document of what a model takes and gives: its two keys.
pub(super) fn metadata(target: &Target) -> (Value, Value) {
    let signatures: Map<String, Value> = signatures(target)
        .into_iter()
        .map(|entry| {
            let signature = json!({
                "inputs": tensors(&entry.inputs),
                "outputs": tensors(&entry.outputs),
                "method_name": entry.method,
                "defaults": {},
            });
            (entry.name.to_owned(), signature)
        })
        .collect();
    let model = target.model();
    let spec = json!({ "name": &*model.name, "signature_name": "", "version": model.version.to_string() });
    // Twice: the field of the metadata, and the map in the message that it holds.
    (spec, json!({ "signature_def": { "signature_def": signatures } }))
}

fn tensors(tensors: &[SignatureTensor]) -> Value {
    let described = tensors.iter().map(|SignatureTensor { name, data_type, dims }| {
        let dim: Vec<_> = dims.iter().map(|size| json!({ "size": size.to_string(), "name": "" })).collect();
        let shape = json!({ "dim": dim, "unknown_rank": false });
        (name.clone(), json!({ "dtype": data_type, "tensor_shape": shape, "name": name }))
    });
    Value::Object(described.collect())
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
        };
        assert_eq!(
            serde_json::to_string(&results(&answer)).expect("JSON"),
            r#"{"results":[[["tabby",0.5],["tiger \"cat\"",0.25]],[]]}"#
        );
    }
}
