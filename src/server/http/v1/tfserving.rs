//! The documents that TensorFlow Serving's and KServe's clients expect.

use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use crate::service::{Answer, ModelState, ModelStatus, Prediction};

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

/// The status document of a model: TensorFlow Serving's `model_version_status`, the highest version first as there, beside
/// KServe's `name` and `ready`.
pub(super) fn status(name: &str, ready: bool, versions: &[ModelStatus]) -> Value {
    let versions: Vec<_> = versions
        .iter()
        .rev()
        .map(|model| {
            let (state, error_code, error_message) = match &model.state {
                ModelState::Loading => ("LOADING", "OK", ""),
                ModelState::Available => ("AVAILABLE", "OK", ""),
                ModelState::Failed(reason) => ("END", "FAILED_PRECONDITION", reason.as_str()),
            };
            json!({
                // 64-bit numbers are strings in proto3's JSON.
                "version": model.version.to_string(),
                "state": state,
                "status": { "error_code": error_code, "error_message": error_message },
            })
        })
        .collect();
    json!({ "name": name, "ready": ready, "model_version_status": versions })
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
