//! JSON bodies: ours (`instances`) and TensorFlow Serving's (`examples`, `context`), images in base64.

mod document;
mod example;

use serde::de::DeserializeSeed as _;

use super::{
    options::{BadOption, RequestOptions},
    upload::{Dialect, Upload},
};
use crate::{server::tfserving::ServingSignature, service::Shown};
use document::{DocumentReader, Scalar};

/// Reads a JSON body; sets the options that it carries. At most `max_images` + 1 images are decoded: the service refuses so many.
///
/// # Errors
/// [`BadOption`] that says what was wrong, with line and column for broken JSON.
pub(super) fn parse(body: &[u8], options: &mut RequestOptions, max_images: usize) -> Result<Upload, BadOption> {
    let mut json = serde_json::Deserializer::from_slice(without_mark(body));
    let reader = DocumentReader { most_images: max_images.saturating_add(1) };
    let document = reader.deserialize(&mut json).and_then(|document| json.end().map(|()| document));
    let document = document
        .map_err(|error| BadOption::Other(format!("the JSON body cannot be read: {}", Shown(&error.to_string()))))?;
    if let Some(signature) = document.signature_name {
        ServingSignature::to_classify(&signature).map_err(BadOption::Refused)?;
    }
    let given = [
        ("top_k", document.context.k),
        ("top_k", document.context.top_k),
        ("top_k", document.parameters.top_k.map(whole)),
        ("min_probability", document.parameters.min_probability),
        ("timeout_ms", document.parameters.timeout_ms.map(whole)),
        ("top_k", document.top_k),
        ("min_probability", document.min_probability),
        ("timeout_ms", document.timeout_ms),
        ("crops", document.crops),
    ];
    for (key, value) in given {
        if let Some(value) = value {
            options.set(key, &value.0)?;
        }
    }
    if let Some(outputs) = document.outputs.or(document.parameters.outputs) {
        if options.explain.is_some() {
            options.set("outputs", "")?;
        }
        options.outputs = outputs;
    }
    if let Some(encoding) = document.encoding.or(document.parameters.encoding) {
        options.set("encoding", &encoding)?;
    }
    if let Some(ensemble) = document.ensemble {
        options.set("ensemble", &ensemble)?;
    }
    if let Some(classes) = document.class {
        for class in classes.0 {
            options.set("class", &class)?;
        }
    }
    if let Some(view) = document.view {
        options.set("view", &view)?;
    }
    let (images, dialect) = match (document.instances, document.examples) {
        (Some(images), None) => (images, Dialect::Own),
        (None, Some(images)) => (images, Dialect::TensorFlowServing),
        (Some(_), Some(_)) => {
            return Err(BadOption::Other(
                "the JSON body has both `instances` and `examples`: send one of them".to_owned(),
            ));
        }
        (None, None) => {
            let message = "the JSON body has no images: send {\"instances\": [{\"b64\": \"<base64 of a file>\"}]}";
            return Err(BadOption::Other(message.to_owned()));
        }
    };
    let images = images.into_iter().enumerate().map(|(index, image)| {
        image.map_err(|error| {
            BadOption::Other(format!(
                "image {index}: not base64 ({error}): send the file's bytes in base64, standard or URL-safe"
            ))
        })
    });
    Ok(Upload { images: images.collect::<Result<_, _>>()?, dialect, is_form: false })
}

/// Vertex AI makes floats of all numbers: 2 comes as 2.0.
fn whole(Scalar(text): Scalar) -> Scalar {
    Scalar(text.strip_suffix(".0").map_or(text.clone(), str::to_owned))
}

/// A document without the byte order mark that some editors and .NET write before it.
pub(super) fn without_mark(document: &[u8]) -> &[u8] {
    document.strip_prefix(b"\xef\xbb\xbf").unwrap_or(document)
}

#[cfg(test)]
mod tests {
    use super::{
        super::asked::{AskedOutputs, Encoding},
        *,
    };

    fn read(body: &str) -> Result<(Upload, RequestOptions), String> {
        let mut options = RequestOptions::default();
        let upload = parse(body.as_bytes(), &mut options, 4).map_err(|bad| bad.into_error(Some(10)).message)?;
        Ok((upload, options))
    }

    #[test]
    fn instances_and_options_are_read() {
        let (upload, options) =
            read(r#"{"instances": [{"b64": "AQID"}, {"b64": "BA=="}], "top_k": 3, "min_probability": 0.5}"#)
                .expect("valid");
        assert_eq!(upload.images, [&[1, 2, 3][..], &[4]]);
        assert_eq!(upload.dialect, Dialect::Own);
        assert_eq!(options.classes.top_k, Some(3));
        assert_eq!(options.classes.min_probability, Some(0.5));
        let (_, options) =
            read(r#"{"instances": ["AQID"], "outputs": ["features", "logits"], "encoding": "base64"}"#).expect("valid");
        assert_eq!(options.outputs, AskedOutputs::listed("features,logits"));
        assert_eq!(options.encoding, Encoding::Base64);
    }

    #[test]
    fn the_examples_of_tensorflow_serving_are_read_under_any_feature_name() {
        let (upload, options) = read(
            r#"{"signature_name": "serving_default", "context": {"k": 2},
                "examples": [{"image": {"b64": "AQID"}}, {"image/encoded": {"b64": "AQID"}}, {"b64": "AQID"}]}"#,
        )
        .expect("valid");
        assert_eq!(upload.images, [&[1, 2, 3][..]; 3]);
        assert_eq!(upload.dialect, Dialect::TensorFlowServing);
        assert_eq!(options.classes.top_k, Some(2));
    }

    #[test]
    fn what_is_not_base64_is_refused_with_the_index_of_the_image() {
        let message = read(r#"{"instances": [{"b64": "AQID"}, {"b64": "???"}]}"#).expect_err("refused");
        assert!(message.starts_with("image 1: not base64"), "{message}");
    }

    #[test]
    fn broken_json_is_refused_with_line_and_column() {
        let message = read("{\"instances\": [\n{\"b64\": }]}").expect_err("refused");
        assert!(message.contains("line 2 column 9"), "{message}");
    }

    #[test]
    fn documents_without_a_meaning_are_refused_with_what_to_send() {
        for (body, part) in [
            ("{}", "no images"),
            ("[]", "expected an object such as"),
            (r#"{"instances": [], "examples": []}"#, "both"),
            (r#"{"instances": [{"b64": "AQID"}], "topk": 1}"#, "unknown field `topk`"),
            (r#"{"instances": [{"b64": "AQID", "top_k": 1}]}"#, "`top_k` is too many"),
            (r#"{"instances": [{}]}"#, "without `b64`"),
            (r#"{"instances": [[0.5, 1.0]]}"#, "expected an image as"),
            (r#"[["AQID"]]"#, "expected an object such as"),
            (r#"{"instances": ["AQID"], "instances": ["AQID"]}"#, "duplicate field `instances`"),
            (r#"{"instances": null}"#, "no images"),
            (r#"{"instances": ["AQID"], "parameters": [2, 0.5]}"#, "expected an object"),
            (r#"{"examples": [{"b64": "AQID"}], "context": [2]}"#, "expected an object"),
            (r#"{"instances": ["AQID"]} {}"#, "trailing characters"),
            (r#"{"instances": ["AQID"], "top_k": [3, {"a": 1}]}"#, "top_k is `[…]`"),
            (r#"{"instances": ["AQID"], "timeout_ms": {"ms": 3}}"#, "timeout_ms is `{…}`"),
            (r#"{"instances": ["AQID"], "top_k": true}"#, "top_k is `true`"),
            (r#"{"instances": ["A\nQ\u0049D"], "min_probability": 1.5}"#, "min_probability is `1.5`"),
            (r#"{"instances": [{"b64": "AQID"}], "top_k": "3"}"#, "from 1 to 10"),
            (r#"{"instances": [{"b64": "AQID"}], "top_k": -3}"#, "top_k is `-3`"),
            (r#"{"instances": ["AQID"], "outputs": "features"}"#, "expected a list of names such as [\"features\"]"),
            (r#"{"instances": ["AQID"], "encoding": "hex"}"#, "encoding is `hex`"),
            (r#"{"instances": [{"b64": "AQID"}], "context": {"kk": 1}}"#, "unknown field `kk`"),
        ] {
            let message = read(body).err().unwrap_or_else(|| panic!("{body} was taken"));
            assert!(message.contains(part), "{body}: {message}");
        }
    }

    #[test]
    fn a_byte_order_mark_is_passed_over() {
        assert_eq!(read("\u{feff}{\"instances\": [{\"b64\": \"AQID\"}]}").expect("valid").0.images, [&[1, 2, 3][..]]);
    }

    #[test]
    fn no_message_repeats_more_than_200_characters_of_a_document() {
        let long = "x".repeat(8 << 20);
        for body in [
            format!(r#"{{"{long}": 1}}"#),
            format!(r#"{{"instances": ["{long}!"]}}"#),
            format!(r#"{{"instances": [{{"b64": "AQID", "{long}": 1}}]}}"#),
            format!(r#"{{"instances": "{long}"}}"#),
            format!(r#"{{"instances": ["AQID"], "top_k": "{long}"}}"#),
            format!(r#"{{"instances": ["AQID"], "min_probability": ["{long}"]}}"#),
            format!(r#"{{"instances": ["AQID"], "timeout_ms": {{"{long}": 1}}}}"#),
            format!(r#"{{"instances": ["AQID"], "context": {{"{long}": 1}}}}"#),
        ] {
            let message = read(&body).expect_err("refused");
            let repeated = message.matches('x').count();
            assert!(repeated <= 200 && message.len() < 500, "{repeated} in {message:.600}");
        }
    }

    #[test]
    fn deep_nesting_is_refused() {
        let body = format!("{{\"instances\": [{}", "{\"a\":".repeat(100_000));
        assert!(read(&body).expect_err("refused").contains("recursion limit"));
    }

    #[test]
    fn no_more_images_are_decoded_than_the_service_needs_to_refuse_them() {
        let body = format!(r#"{{"instances": [{}]}}"#, vec![r#"{"b64": "AQID"}"#; 100].join(","));
        assert_eq!(read(&body).expect("valid").0.images.len(), 5);
    }
}
