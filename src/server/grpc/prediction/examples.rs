//! The pictures of a request to classify: features of `tensorflow.Example`.

use std::collections::HashMap;

use bytes::Bytes;

use crate::{
    server::{
        grpc::{
            proto::tensorflow::{
                Example, Feature,
                feature::Kind,
                serving::{Input, input},
            },
            varint,
        },
        tfserving::{CONTEXT_TOP_K, no_picture, picture},
    },
    service::{Error, ErrorKind, ErrorSubject, Service, Target},
};

/// What a request holds.
#[derive(Debug)]
pub(super) struct Pictures {
    pub(super) files: Vec<Bytes>,
    pub(super) top_k: Option<usize>,
}

/// Takes the pictures out of examples.
///
/// # Errors
/// `INVALID_ARGUMENT` for an example without one, with its index; `TOO_LARGE` for too many of them.
pub(super) fn pictures(input: Option<Input>, service: &Service, target: &Target) -> Result<Pictures, Error> {
    let (examples, context) = match input.and_then(|input| input.kind) {
        None => (Vec::new(), None),
        Some(input::Kind::ExampleList(list)) => (list.examples, None),
        Some(input::Kind::ExampleListWithContext(list)) => (list.examples, list.context),
    };
    service.check_images(target, examples.len())?;
    let context = context.map(features).unwrap_or_default();
    let top_k = CONTEXT_TOP_K.iter().find_map(|name| context.get(*name)).map(whole_number).transpose()?;
    let shared = picture(&listed(&context));
    let files = examples.into_iter().enumerate().map(|(index, example)| {
        let example = features(example);
        let found = picture(&listed(&example)).or(shared);
        let found = found.ok_or_else(|| no_picture(example.keys().map(String::as_str).collect()));
        let named = |error: Error| Error { message: format!("example {index}: {}", error.message), ..error };
        found.and_then(file).map_err(|error| named(error).about(ErrorSubject::Image(index)))
    });
    Ok(Pictures { files: files.collect::<Result<_, Error>>()?, top_k })
}

fn features(example: Example) -> HashMap<String, Feature> {
    example.features.map(|features| features.feature).unwrap_or_default()
}

fn listed(features: &HashMap<String, Feature>) -> Vec<(&str, &Feature)> {
    features.iter().map(|(name, feature)| (name.as_str(), feature)).collect()
}

/// The one file of a feature.
fn file(feature: &Feature) -> Result<Bytes, Error> {
    let came = match &feature.kind {
        Some(Kind::BytesList(list)) => match &*list.value {
            [file] => return Ok(file.clone()),
            several => format!("a bytes_list of {}", several.len()),
        },
        Some(Kind::FloatList(_)) => "a float_list".to_owned(),
        Some(Kind::Int64List(_)) => "an int64_list".to_owned(),
        None => "nothing".to_owned(),
    };
    Err(refused(format!("its picture is {came}: send a bytes_list with the bytes of one image file")))
}

/// How many classes an image gets.
fn whole_number(feature: &Feature) -> Result<usize, Error> {
    let mut number = None;
    let read = match &feature.kind {
        Some(Kind::Int64List(list)) => varint::each(&list.value, 0, |value| {
            number.get_or_insert(value);
        }),
        _ => Ok(()),
    };
    // A negative one is a very large one here; the range is the model's affair.
    let number = number.filter(|_| read.is_ok()).map(|number| usize::try_from(number).unwrap_or(usize::MAX));
    number.ok_or_else(|| refused("`k` in the context is no whole number: send an int64_list of one".to_owned()))
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidArgument, message)
}
