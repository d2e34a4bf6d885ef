//! An example of TensorFlow Serving in JSON: an object of features, one of which is the picture.
//!
//! An example may have many features in few bytes; no more of them are kept than one needs to find the picture, or to say what came.

use std::{borrow::Cow, fmt};

use base64::DecodeError;
use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use crate::{
    server::{
        http::base64::decode,
        tfserving::{is_picture, no_picture, picture},
    },
    service::Shown,
};

/// So many features of an example are kept, beside those that are called as a picture is.
const KEPT: usize = 8;

type File = Result<Bytes, DecodeError>;

/// The picture of an example, decoded or with the reason why it is not base64: a feature with a usual name, or the only one; or the text
/// itself.
pub(super) struct ExampleImage(pub(super) File);

impl<'de> Deserialize<'de> for ExampleImage {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ExampleVisitor)
    }
}

struct ExampleVisitor;

impl<'de> Visitor<'de> for ExampleVisitor {
    type Value = ExampleImage;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an example as {\"image\": {\"b64\": \"<base64 of a file>\"}}")
    }

    fn visit_str<E>(self, text: &str) -> Result<ExampleImage, E> {
        Ok(ExampleImage(decode(text).map(Bytes::from)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ExampleImage, A::Error> {
        let mut features: Vec<(String, Feature)> = Vec::new();
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if is_picture(&name) && features.iter().any(|(known, _)| *known == *name) {
                return Err(A::Error::custom(format!("the example has `{name}` twice")));
            }
            if is_picture(&name) || features.len() < KEPT {
                features.push((Shown(&name).to_string(), map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        let places: Vec<_> = features.iter().enumerate().map(|(place, (name, _))| (&**name, place)).collect();
        let Some(place) = picture(&places) else {
            return Err(A::Error::custom(no_picture(places.into_iter().map(|(name, _)| name).collect())));
        };
        match features.swap_remove(place) {
            (_, Feature(Some(file))) => Ok(ExampleImage(file)),
            (name, Feature(None)) => {
                Err(A::Error::custom(format!("feature `{name}` is no file: send {{\"b64\": \"<base64 of a file>\"}}")))
            }
        }
    }
}

/// The value of a feature: a file as `{"b64": "…"}` or as its text, alone or in a list of one; nothing where it is anything else.
struct Feature(Option<File>);

impl<'de> Deserialize<'de> for Feature {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FeatureVisitor)
    }
}

struct FeatureVisitor;

impl<'de> Visitor<'de> for FeatureVisitor {
    type Value = Feature;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a feature")
    }

    fn visit_unit<E>(self) -> Result<Feature, E> {
        Ok(Feature(None))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Feature, E> {
        Ok(Feature(None))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Feature, E> {
        Ok(Feature(None))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Feature, E> {
        Ok(Feature(None))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Feature, E> {
        Ok(Feature(None))
    }

    fn visit_str<E>(self, text: &str) -> Result<Feature, E> {
        Ok(Feature(Some(decode(text).map(Bytes::from))))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Feature, A::Error> {
        let first = list.next_element::<Self::Value>()?;
        let mut is_alone = true;
        while list.next_element::<IgnoredAny>()?.is_some() {
            is_alone = false;
        }
        Ok(first.filter(|_| is_alone).unwrap_or(Feature(None)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Feature, A::Error> {
        let mut file = None;
        let mut is_alone = true;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            if key == "b64" && file.is_none() {
                file = Some(map.next_value::<Feature>()?);
            } else {
                is_alone = false;
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(file.filter(|_| is_alone).unwrap_or(Feature(None)))
    }
}
