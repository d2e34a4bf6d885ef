//! The answer of `:explain`: a document of numbers, or a drawing.

use axum::{
    body::Body,
    http::{
        HeaderName, HeaderValue, StatusCode,
        header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::Response,
};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use super::classify::TimingMs;
use crate::{
    overlay::{FileFormat, HeatMap, Legend, Region, drawn, encoded, svg},
    server::http::{reply, timing},
    service::{ClassMap, Error, ErrorKind, Explained, ExplainedClass, ExplainedCrop, Explanation, Framing},
};

/// A drawing that is opened by itself runs nothing and fetches nothing, whatever its labels are.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; sandbox; frame-ancestors 'none'",
);
const VERSION: HeaderName = HeaderName::from_static("x-model-version");

/// From so many numbers on, an answer is written on another thread.
const MANY_NUMBERS: usize = 4096;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ExplainForm {
    Json,
    File(FileFormat),
    Svg,
}

impl ExplainForm {
    /// By its name in `Accept`, in lowercase.
    pub(super) fn named(media_type: &str) -> Option<Self> {
        match media_type {
            "*/*" | "application/*" | "application/json" => Some(Self::Json),
            "image/*" | "image/png" => Some(Self::File(FileFormat::Png)),
            "image/webp" => Some(Self::File(FileFormat::WebP)),
            "image/svg+xml" => Some(Self::Svg),
            _ => None,
        }
    }

    pub(super) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::File(format) => format.media_type(),
            Self::Svg => "image/svg+xml",
        }
    }

    /// Whether writing it takes a while.
    pub(super) fn is_long(self, explained: &Explained) -> bool {
        self != Self::Json || numbers(explained) > MANY_NUMBERS
    }

    /// # Errors
    /// `INVALID_ARGUMENT` for a drawing that the form has no room for.
    pub(super) fn write(self, explained: &Explained) -> Result<Response, Error> {
        let body = match (self, &*explained.explanations) {
            (Self::Json, _) => {
                let size = 512 + 16 * numbers(explained);
                let mut answer = reply::json(StatusCode::OK, &document(explained), size);
                timing::tell(&explained.timing, &mut answer);
                return Ok(answer);
            }
            (form, [explanation]) => form.drawing(explained, explanation)?,
            _ => return Err(undrawn()),
        };
        let mut answer = Response::new(Body::from(body));
        let headers = answer.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.media_type()));
        headers.insert(CONTENT_SECURITY_POLICY, POLICY);
        headers.insert(VERSION, HeaderValue::from(explained.version));
        timing::tell(&explained.timing, &mut answer);
        Ok(answer)
    }

    fn drawing(self, explained: &Explained, explanation: &Explanation) -> Result<Vec<u8>, Error> {
        let pixels = explanation.pixels.as_ref().ok_or_else(undrawn)?;
        let part = seen(explanation);
        let maps =
            explanation.classes.iter().map(|class| HeatMap { values: &class.map.values, width: class.map.width });
        let made = match self {
            Self::File(format) => encoded(&drawn(pixels, &maps.collect::<Vec<_>>(), part), format),
            _ => {
                let title = format!("{} version {}", explained.model, explained.version);
                let panels: Vec<_> = maps.zip(explanation.classes.iter().map(legend)).collect();
                svg(&title, pixels, &panels, part).map(String::into_bytes)
            }
        };
        made.map_err(|cause| Error::new(ErrorKind::InvalidArgument, cause.to_string()))
    }
}

/// The document, as the door writes it.
pub fn explained_as_json(explained: &Explained) -> Vec<u8> {
    reply::bytes(&document(explained), 512 + 16 * numbers(explained)).unwrap_or_default()
}

/// The drawing of the only picture, as the door makes it.
///
/// # Errors
/// [`ErrorKind::Internal`] where the explanation came without pixels.
pub fn explained_as_png(explained: &Explained) -> Result<Vec<u8>, Error> {
    let explanation = explained.explanations.first().ok_or_else(undrawn)?;
    ExplainForm::File(FileFormat::Png).drawing(explained, explanation)
}

fn undrawn() -> Error {
    Error::new(ErrorKind::Internal, "there is no picture to draw on")
}

fn numbers(explained: &Explained) -> usize {
    explained.explanations.iter().flat_map(|it| &it.classes).map(|class| class.map.values.len()).sum()
}

fn legend(class: &ExplainedClass) -> Legend<'_> {
    Legend { label: &class.label, probability: class.probability, logit: class.logit }
}

/// The part of the drawn picture that the network saw; `None` where that is all there is.
fn seen(explanation: &Explanation) -> Option<Region> {
    let (framing, pixels) = (&explanation.framing, explanation.pixels.as_ref().filter(|_| explanation.is_whole)?);
    let Framing { picture_width, picture_height, x, y, width, height } = *framing;
    let across = f64::from(pixels.width()) / f64::from(picture_width.max(1));
    let down = f64::from(pixels.height()) / f64::from(picture_height.max(1));
    Some(Region { x, y, width, height }.scaled(across, down))
}

/// Which places of every picture of the request speak for classes.
#[derive(Serialize, ToSchema)]
#[schema(as = Explanations)]
pub(super) struct ExplainDocument<'a> {
    /// The model that answered.
    model: &'a str,
    /// Its version.
    version: u64,
    /// What its graph was recognized as; `unknown` for what is no ResNet.
    architecture: &'a str,
    /// An entry a picture, in the order of the request.
    explanations: Vec<PictureEntry<'a>>,
    timing_ms: TimingMs,
    /// The most pictures that were in one run of the network with one of these.
    batch_size: usize,
}

/// One picture.
#[derive(Serialize, ToSchema)]
#[schema(as = PictureExplanation)]
struct PictureEntry<'a> {
    /// Those that were asked for, in that order; else the most probable first.
    classes: Vec<ClassEntry<'a>>,
    crop: CropEntry,
    picture: SizeEntry,
    /// With `crops=10`: where each of them was, in the order of `crop_logits`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false)]
    crops: Vec<ViewEntry>,
}

/// A class, and the part of its logit that every place has.
#[derive(Serialize, ToSchema)]
#[schema(as = ExplainedClass)]
struct ClassEntry<'a> {
    /// Its place among the model's classes, from 0.
    index: usize,
    /// Its name; the index as text where the model has no labels.
    label: &'a str,
    /// As in a classification; with `crops=10` the mean of the ten.
    probability: f32,
    /// What the last layer says of it: the sum of `map`, and `bias`. With `crops=10` the mean of `crop_logits`.
    logit: f32,
    /// The part that no place has.
    bias: f32,
    /// The parts of the places, row by row from the top; negative ones speak against the class.
    #[serde(serialize_with = "write_rows")]
    #[schema(value_type = Vec<Vec<f32>>)]
    map: &'a ClassMap,
    /// With `crops=10`: what the last layer says of each crop.
    #[serde(skip_serializing_if = "<[f32]>::is_empty")]
    #[schema(required = false)]
    crop_logits: &'a [f32],
}

/// What the network saw of the picture, in pixels of it as it stands upright; with fractions where the resize makes them, and beyond
/// its edges where black was added around it. With `crops=10` all of the picture.
#[derive(Serialize, ToSchema)]
#[schema(as = Crop)]
struct CropEntry {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
}

/// One of ten crops, in pixels of the picture as it stands upright.
#[derive(Serialize, ToSchema)]
#[schema(as = ViewOfTen)]
struct ViewEntry {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    /// The network saw it mirrored.
    mirrored: bool,
}

/// The picture as it stands upright, in pixels.
#[derive(Serialize, ToSchema)]
#[schema(as = PictureSize)]
struct SizeEntry {
    width: u32,
    height: u32,
}

fn document(explained: &Explained) -> ExplainDocument<'_> {
    ExplainDocument {
        model: &explained.model,
        version: explained.version,
        architecture: &explained.architecture,
        explanations: explained.explanations.iter().map(picture).collect(),
        timing_ms: TimingMs::of(&explained.timing),
        batch_size: explained.batch_size,
    }
}

fn picture(explanation: &Explanation) -> PictureEntry<'_> {
    let Framing { picture_width, picture_height, x, y, width, height } = explanation.framing;
    PictureEntry {
        classes: explanation.classes.iter().map(class).collect(),
        crop: CropEntry { x, y, width, height },
        picture: SizeEntry { width: picture_width, height: picture_height },
        crops: explanation.crops.iter().map(view).collect(),
    }
}

fn view(crop: &ExplainedCrop) -> ViewEntry {
    let ExplainedCrop { x, y, width, height, is_mirrored } = *crop;
    ViewEntry { x, y, width, height, mirrored: is_mirrored }
}

fn class(class: &ExplainedClass) -> ClassEntry<'_> {
    let ExplainedClass { index, label, probability, logit, crop_logits, map } = class;
    ClassEntry { index: *index, label, probability: *probability, logit: *logit, bias: map.bias, map, crop_logits }
}

fn write_rows<S: Serializer>(map: &&ClassMap, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(map.rows())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Timing;

    #[test]
    fn the_answer_has_the_shape_that_clients_are_told() {
        let map = ClassMap { values: vec![0.5, -0.25, 1.0, 2.0], width: 2, bias: 0.75 };
        let class = ExplainedClass {
            index: 3,
            label: "cat".into(),
            probability: 0.9,
            logit: 4.0,
            crop_logits: Vec::new(),
            map,
        };
        let framing = Framing { picture_width: 64, picture_height: 48, x: 8.5, y: 0.0, width: 47.0, height: 48.0 };
        let explained = Explained {
            model: "m".into(),
            version: 2,
            architecture: "resnet18".into(),
            explanations: vec![Explanation {
                classes: vec![class],
                framing,
                crops: Vec::new(),
                pixels: None,
                is_whole: false,
            }],
            timing: Timing { preprocess_ms: 2.9, queue_ms: 0.4, inference_ms: 49.1, total_ms: 52.6 },
            batch_size: 1,
        };
        assert_eq!(
            serde_json::to_string(&document(&explained)).expect("JSON"),
            r#"{"model":"m","version":2,"architecture":"resnet18","explanations":[{"classes":[{"index":3,"label":"cat","probability":0.9,"logit":4.0,"bias":0.75,"map":[[0.5,-0.25],[1.0,2.0]]}],"crop":{"x":8.5,"y":0.0,"width":47.0,"height":48.0},"picture":{"width":64,"height":48}}],"timing_ms":{"preprocess":2.9,"queue":0.4,"inference":49.1,"total":52.6},"batch_size":1}"#
        );
        assert!(ExplainForm::File(FileFormat::Png).write(&explained).is_err(), "there are no pixels");
    }
}
