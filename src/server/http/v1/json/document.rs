//! What a JSON body may hold, read with no more memory than its images and a few numbers take.
//!
//! A client writes lists of millions of entries in few bytes. What is not needed is passed over while it is read: images beyond those
//! by which the service sees that they are too many, lists and objects where a number belongs. No tree of values is built.

use std::{borrow::Cow, fmt};

use base64::DecodeError;
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor},
};
use serde_json::Number;

use super::example::ExampleImage;
use crate::{
    server::http::{base64::decode, object::JsonObject, v1::asked::AskedOutputs, v1::asked_classes::AskedClasses},
    service::Shown,
};

/// The images of a body, each decoded or with the reason why it is not base64.
pub(super) type Images = Vec<Result<Bytes, DecodeError>>;

/// A body: ours with `instances`, TensorFlow Serving's with `examples` and `context`.
#[derive(Default)]
pub(super) struct Document {
    pub(super) instances: Option<Images>,
    pub(super) examples: Option<Images>,
    pub(super) context: Context,
    pub(super) signature_name: Option<String>,
    pub(super) top_k: Option<Scalar>,
    pub(super) min_probability: Option<Scalar>,
    pub(super) timeout_ms: Option<Scalar>,
    pub(super) outputs: Option<AskedOutputs>,
    pub(super) encoding: Option<String>,
    pub(super) ensemble: Option<String>,
    pub(super) parameters: Parameters,
    pub(super) class: Option<AskedClasses>,
    pub(super) view: Option<String>,
    pub(super) crops: Option<Scalar>,
}

/// What clients of Vertex AI send for all instances together: our options, also in the words of its own image models.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Parameters {
    #[serde(alias = "maxPredictions")]
    pub(super) top_k: Option<Scalar>,
    #[serde(alias = "confidenceThreshold")]
    pub(super) min_probability: Option<Scalar>,
    pub(super) timeout_ms: Option<Scalar>,
    pub(super) outputs: Option<AskedOutputs>,
    pub(super) encoding: Option<String>,
}

/// What TensorFlow Serving's clients send for all examples together.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    pub(super) k: Option<Scalar>,
    pub(super) top_k: Option<Scalar>,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Field {
    Instances,
    Examples,
    Context,
    TopK,
    MinProbability,
    TimeoutMs,
    Outputs,
    Encoding,
    Ensemble,
    Class,
    View,
    Crops,
    Parameters,
    /// TensorFlow Serving's name of the graph's entry; a model here has one.
    SignatureName,
}

/// The names of [`Field`], in its order.
const FIELDS: [&str; 14] = [
    "instances",
    "examples",
    "context",
    "top_k",
    "min_probability",
    "timeout_ms",
    "outputs",
    "encoding",
    "ensemble",
    "class",
    "view",
    "crops",
    "parameters",
    "signature_name",
];

/// Reads a [`Document`] with so many images of each list at most.
#[derive(Clone, Copy)]
pub(super) struct DocumentReader {
    pub(super) most_images: usize,
}

impl<'de> DeserializeSeed<'de> for DocumentReader {
    type Value = Document;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Document, D::Error> {
        deserializer.deserialize_struct("Document", &FIELDS, self)
    }
}

impl<'de> Visitor<'de> for DocumentReader {
    type Value = Document;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"instances\": [{\"b64\": \"…\"}]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
        let mut document = Document::default();
        let mut seen = Vec::with_capacity(FIELDS.len());
        while let Some(field) = map.next_key::<Field>()? {
            if seen.contains(&field) {
                return Err(A::Error::duplicate_field(FIELDS[field as usize]));
            }
            seen.push(field);
            let list = |of_examples: bool| List { most: self.most_images, of_examples };
            match field {
                Field::Instances => document.instances = map.next_value_seed(list(false))?,
                Field::Examples => document.examples = map.next_value_seed(list(true))?,
                Field::Context => document.context = map.next_value::<JsonObject<_>>()?.0,
                Field::TopK => document.top_k = map.next_value()?,
                Field::MinProbability => document.min_probability = map.next_value()?,
                Field::TimeoutMs => document.timeout_ms = map.next_value()?,
                Field::Outputs => document.outputs = map.next_value()?,
                Field::Encoding => document.encoding = map.next_value()?,
                Field::Ensemble => document.ensemble = map.next_value()?,
                Field::Parameters => {
                    document.parameters =
                        map.next_value::<Option<JsonObject<_>>>()?.map_or_else(Default::default, |it| it.0)
                }
                Field::Class => document.class = map.next_value()?,
                Field::View => document.view = map.next_value()?,
                Field::Crops => document.crops = map.next_value()?,
                Field::SignatureName => document.signature_name = map.next_value()?,
            }
        }
        Ok(document)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Document, A::Error> {
        Err(match list.next_element::<IgnoredAny>()? {
            None => A::Error::invalid_length(0, &self),
            Some(_) => A::Error::invalid_type(Unexpected::Seq, &self),
        })
    }
}

/// A list of images; what is beyond `most` is passed over. `None` for `null`.
#[derive(Clone, Copy)]
struct List {
    most: usize,
    /// Entries may have other features beside the image.
    of_examples: bool,
}

impl<'de> DeserializeSeed<'de> for List {
    type Value = Option<Images>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for List {
    type Value = Option<Images>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut images = Images::new();
        while images.len() < self.most {
            let image = match self.of_examples {
                true => list.next_element::<ExampleImage>()?.map(|ExampleImage(image)| image),
                false => list.next_element::<Image>()?.map(|Image(image)| image),
            };
            let Some(image) = image else { return Ok(Some(images)) };
            images.push(image);
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Some(images))
    }
}

/// One image: the base64 text itself, or an object whose only entry leads to it: `{"b64": "…"}`, `{"image": {"b64": "…"}}`,
/// `{"image/encoded": {"b64": "…"}}`. The name of the feature is the model's affair in TensorFlow Serving; here any will do.
struct Image(Result<Bytes, DecodeError>);

impl<'de> Deserialize<'de> for Image {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ImageVisitor;

        impl<'de> Visitor<'de> for ImageVisitor {
            type Value = Image;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an image as {\"b64\": \"<base64 of a file>\"}")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Image(decode(text).map(Bytes::from)))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let Some((_, image)) = map.next_entry::<IgnoredAny, Image>()? else {
                    return Err(A::Error::custom("an image without `b64`"));
                };
                match map.next_key::<Cow<'_, str>>()? {
                    None => Ok(image),
                    Some(key) => {
                        let key = Shown(&key);
                        Err(A::Error::custom(format!("an image has one entry, `b64`; `{key}` is too many")))
                    }
                }
            }
        }

        deserializer.deserialize_any(ImageVisitor)
    }
}

/// The value of an option as JSON has it, for the message too: a list or an object is none, and what it holds is not kept.
pub(super) struct Scalar(pub(super) String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar(Number::from_f64(value).map_or_else(|| value.to_string(), |number| number.to_string())))
            }

            fn visit_str<E>(self, text: &str) -> Result<Scalar, E> {
                Ok(Scalar(format!("{:?}", Shown(text))))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Scalar, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar("[…]".to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Scalar, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar("{…}".to_owned()))
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}
