//! The images of an answer in JSON: classes, and the outputs that were asked for.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::{
    asked::Encoding,
    rows::{ImageOutputs, OutputRow},
};
use crate::service::{Answer, Prediction};

/// One entry an image, in order.
pub(super) struct AnsweredImages<'a> {
    pub(super) answer: &'a Answer,
    pub(super) encoding: Encoding,
}

/// What is said of one picture.
#[derive(Serialize, ToSchema)]
#[schema(as = PictureClasses)]
pub(super) struct ImageEntry<'a> {
    /// The most probable first.
    #[serde(serialize_with = "write_classes")]
    #[schema(value_type = Vec<Class<'a>>)]
    classes: &'a [Prediction],
    /// The outputs that were asked for, by name; only where some were.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = BTreeMap<String, OutputRow>, required = false)]
    outputs: Option<ImageOutputs<'a>>,
    /// The model that answered, where the one that was asked has a `[cascade]` and no version was named: that one, or the smaller one
    /// that it asks first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    answered_by: Option<&'a str>,
}

impl<'a> ImageEntry<'a> {
    /// Classes, and nothing else.
    pub(super) fn of_classes(classes: &'a [Prediction]) -> Self {
        Self { classes, outputs: None, answered_by: None }
    }
}

/// A class, and how probable it is.
#[derive(Serialize, ToSchema)]
#[schema(as = ClassOfPicture)]
struct Class<'a> {
    /// Its place among the model's classes, from 0.
    index: usize,
    /// Its name; the index as text where the model has no labels.
    label: &'a str,
    /// 0 to 1 after softmax or sigmoid; what the network says where `[output] activation` is `none`.
    probability: f32,
}

impl Serialize for AnsweredImages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &AnsweredImages { answer: Answer { predictions, outputs, answered_by, .. }, encoding } = self;
        let image = |(image, classes)| ImageEntry {
            classes,
            outputs: (!outputs.is_empty()).then_some(ImageOutputs { outputs, image, encoding }),
            answered_by: answered_by.get(image).map(|model| &**model),
        };
        serializer.collect_seq(predictions.iter().map(Vec::as_slice).enumerate().map(image))
    }
}

fn write_classes<S: Serializer>(classes: &[Prediction], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(classes.iter().map(|class| Class {
        index: class.index,
        label: &class.label,
        probability: class.probability,
    }))
}
