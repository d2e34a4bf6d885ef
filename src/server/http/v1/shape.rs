//! The answer to `:classify` in the shapes that platforms expect of the same request.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashSet},
};

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

use super::{asked::Encoding, images::AnsweredImages, tfserving::Results};
use crate::service::{Answer, Prediction};

/// Whose shape the answer has, where the request itself is not in another dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server::http) enum AnswerShape {
    /// Ours, with model, timing and batch.
    Classify,
    /// `{"predictions": […]}` and nothing else, since Vertex AI adds the model by itself.
    Vertex,
    /// `{"tabby": 0.41, …}`, as TorchServe's image classifier answers.
    TorchServe,
}

/// Vertex AI's document.
#[derive(Serialize)]
pub(super) struct VertexDocument<'a> {
    predictions: AnsweredImages<'a>,
}

pub(super) fn vertex(answer: &Answer, encoding: Encoding) -> VertexDocument<'_> {
    VertexDocument { predictions: AnsweredImages { answer, encoding } }
}

/// TorchServe's document: an object for an image, a list of them for several.
pub(in crate::server::http) struct TorchServeDocument<'a>(pub(super) &'a Answer);

/// Labels with their probabilities; a list of such objects for several pictures; TensorFlow Serving's answer to a body of its own.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by client authors; each is written as it is")]
enum LabelledProbabilities {
    One(BTreeMap<String, f32>),
    Several(Vec<BTreeMap<String, f32>>),
    TensorFlowServing(Results<'static>),
}

impl ToSchema for TorchServeDocument<'_> {
    fn name() -> Cow<'static, str> {
        LabelledProbabilities::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        LabelledProbabilities::schemas(schemas);
    }
}

impl PartialSchema for TorchServeDocument<'_> {
    fn schema() -> RefOr<Schema> {
        LabelledProbabilities::schema()
    }
}

impl Serialize for TorchServeDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &*self.0.predictions {
            [one] => Probabilities(one).serialize(serializer),
            several => serializer.collect_seq(several.iter().map(|classes| Probabilities(classes))),
        }
    }
}

/// A label has one probability, the largest: some of ImageNet's name two classes.
struct Probabilities<'a>(&'a [Prediction]);

impl Serialize for Probabilities<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut named = HashSet::with_capacity(self.0.len());
        for class in self.0.iter().filter(|class| named.insert(&*class.label)) {
            map.serialize_entry(&*class.label, &class.probability)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(images: usize) -> Answer {
        let class = |index, label: &str, probability| Prediction { index, label: label.into(), probability };
        let classes = vec![class(134, "crane", 0.5), class(281, "tabby", 0.25), class(517, "crane", 0.125)];
        Answer {
            model: "m".into(),
            version: 1,
            architecture: "a".into(),
            predictions: vec![classes; images],
            outputs: Vec::new(),
            timing: Default::default(),
            batch_size: 1,
            cached: false,
            answered_by: Vec::new(),
        }
    }

    #[test]
    fn torchserve_has_an_object_of_labels_each_once() {
        let json = |images| serde_json::to_string(&TorchServeDocument(&answer(images))).expect("JSON");
        assert_eq!(json(1), r#"{"crane":0.5,"tabby":0.25}"#);
        assert_eq!(json(2), r#"[{"crane":0.5,"tabby":0.25},{"crane":0.5,"tabby":0.25}]"#);
    }

    #[test]
    fn vertex_has_predictions_and_nothing_else() {
        let json = serde_json::to_value(vertex(&answer(1), Encoding::Numbers)).expect("JSON");
        assert_eq!(json.as_object().expect("an object").keys().collect::<Vec<_>>(), ["predictions"]);
        assert_eq!(json["predictions"][0]["classes"][1]["label"], "tabby");
    }
}
