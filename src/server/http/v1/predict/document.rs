//! The JSON of a request to predict: `instances`, an entry an image, or `inputs`, all images of the one input.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer as _,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};

use crate::{
    server::{
        http::{
            flat::{Flat, FlatReader},
            v1::json::without_mark,
        },
        tfserving::ServingSignature,
    },
    service::{Charge, Error, ErrorKind, Item, Service, Shown, Target},
    tensor::NumberType,
};

/// How images lie in a request, and predictions in its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// `instances` and `predictions`.
    Rows,
    /// `inputs` and `outputs`.
    Columns,
}

/// A request, of which the input is not looked at yet.
#[derive(Debug)]
pub(super) struct PredictRequest {
    pub(super) order: Order,
    pub(super) signature: ServingSignature,
    pub(super) input: Flat,
}

/// Reads a request. More images than one may have are counted and passed over.
///
/// * `charge`: pays for what is taken out of `json`
///
/// # Errors
/// `INVALID_ARGUMENT` that says what was wrong, with line and column for broken JSON; `OVERLOADED` where there is no memory for it.
pub(super) fn read(json: &[u8], service: &Service, target: &Target, charge: &Charge) -> Result<PredictRequest, Error> {
    let most = service.limits().max_images_per_request.min(target.model().capacity);
    let numbers = most.saturating_mul(target.shape().image_len());
    let mut reader = FlatReader::new(numbers, most, charge).with_names(&target.model().info.input.name);
    let mut parts = Parts::default();
    let mut json = serde_json::Deserializer::from_slice(without_mark(json));
    let read = json.deserialize_map(PredictReader { flat: &mut reader, parts: &mut parts }).and_then(|()| json.end());
    if let Some(refused) = reader.refused {
        return Err(refused);
    }
    read.map_err(|error| refused(format!("the JSON body cannot be read: {}", Shown(&error.to_string()))))?;
    let signature = ServingSignature::to_predict(&parts.signature.unwrap_or_default())?;
    let Some((order, input)) = parts.input else {
        let message = "the JSON body has neither `instances` nor `inputs`: send {\"instances\": [{\"b64\": \"<base64 of a file>\"}]}";
        return Err(refused(message.to_owned()));
    };
    Ok(PredictRequest { order, signature, input })
}

/// The images of an input. Looks at every number: for many, not on an I/O thread.
///
/// # Errors
/// `INVALID_ARGUMENT` for what the model does not take, `TOO_LARGE` for too many images.
pub(super) fn items(input: Flat, service: &Service, target: &Target) -> Result<Vec<Item>, Error> {
    let Flat { numbers, texts, dims, count } = input;
    if count == 0 {
        service.check_images(target, 0)?;
    }
    if !numbers.is_empty() {
        let (name, shape) = (&target.model().info.input.name, target.shape());
        let fits = dims.get(1..).is_some_and(|rest| rest == shape.dims() || rest == [shape.image_len()]);
        let Some(images) = dims.first().filter(|_| fits) else {
            let [first, second, third] = shape.dims();
            return Err(refused(format!(
                "input `{name}`: the numbers are nested as {dims:?}, the model takes [N, {first}, {second}, {third}], or [N, {}]",
                shape.image_len()
            )));
        };
        service.check_images(target, *images)?;
        return target.tensors(numbers.into(), *images, NumberType::Float32);
    }
    if !matches!(&*dims, [] | [_] | [_, 1]) {
        return Err(refused(format!("the files are nested as {dims:?}: send them in one list")));
    }
    service.check_images(target, count)?;
    let files = texts.into_iter().enumerate().map(|(index, file)| {
        let file = file.map_err(|error| {
            refused(format!(
                "image {index}: not base64 ({error}): send the file's bytes in base64, standard or URL-safe"
            ))
        });
        file.map(|file| target.picture(file))
    });
    files.collect()
}

#[derive(Default)]
struct Parts {
    input: Option<(Order, Flat)>,
    signature: Option<String>,
}

/// Reads a document into its parts. What it does not know is passed over, as TensorFlow Serving does.
struct PredictReader<'r, 'c> {
    flat: &'r mut FlatReader<'c>,
    parts: &'r mut Parts,
}

impl<'de> Visitor<'de> for PredictReader<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object such as {\"instances\": [{\"b64\": \"…\"}]}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { flat, parts } = self;
        while let Some(key) = map.next_key::<Cow<'_, str>>()? {
            let order = match &*key {
                "instances" => Order::Rows,
                "inputs" => Order::Columns,
                "signature_name" => {
                    parts.signature = map.next_value()?;
                    continue;
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if parts.input.is_some() {
                return Err(A::Error::custom("`instances` and `inputs` exclude each other, and each comes once"));
            }
            parts.input = Some((order, map.next_value_seed(&mut *flat)?));
        }
        Ok(())
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
