//! The images of an answer in JSON: classes, and the outputs that were asked for.

use serde::{Serialize, Serializer};

use super::{asked::Encoding, rows::ImageOutputs};
use crate::service::{Answer, Prediction};

/// One entry an image, in order.
pub(super) struct AnsweredImages<'a> {
    pub(super) answer: &'a Answer,
    pub(super) encoding: Encoding,
}

#[derive(Serialize)]
struct Image<'a> {
    #[serde(serialize_with = "write_classes")]
    classes: &'a [Prediction],
    #[serde(skip_serializing_if = "Option::is_none")]
    outputs: Option<ImageOutputs<'a>>,
}

#[derive(Serialize)]
struct Class<'a> {
    index: usize,
    label: &'a str,
    probability: f32,
}

impl Serialize for AnsweredImages<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let &AnsweredImages { answer: Answer { predictions, outputs, .. }, encoding } = self;
        let image = |(image, classes)| Image {
            classes,
            outputs: (!outputs.is_empty()).then_some(ImageOutputs { outputs, image, encoding }),
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
