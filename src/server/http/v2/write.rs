//! The answer to a request to infer: JSON, and binary data behind it where they are wanted.

use std::sync::Arc;

use axum::{
    body::Body,
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderValue},
    },
    response::Response,
};
use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use super::header::HEADER_LENGTH;
use crate::{
    server::{
        http::{reply, timing},
        v2::{Column, OutputTensor, Requested},
    },
    service::{Answer, Timing},
};

/// The outputs of a request.
#[derive(Serialize, ToSchema)]
#[schema(as = InferenceResponse)]
pub(super) struct InferenceResponse<'a> {
    model_name: &'a str,
    model_version: String,
    /// The request's, where it had one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    id: Option<&'a str>,
    outputs: Vec<Output<'a>>,
}

/// An output: the numbers, or the classes that were asked for.
#[derive(Serialize, ToSchema)]
#[schema(as = ResponseOutput)]
struct Output<'a> {
    name: &'a str,
    /// `FP32`, or `BYTES` for classes.
    datatype: &'a str,
    /// Images, and values or classes of each.
    shape: [usize; 2],
    /// Of binary data behind the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parameters: Option<Parameters>,
    /// Row by row; absent where it is binary data.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    data: Option<Data<'a>>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = ResponseOutputParameters)]
struct Parameters {
    /// So many bytes behind the JSON are this output's, in the order of the outputs.
    binary_data_size: usize,
}

/// Numbers, or classes as `"value:index:label"`.
#[derive(Serialize, ToSchema)]
#[schema(as = ResponseData)]
#[serde(untagged)]
enum Data<'a> {
    Numbers(&'a [f32]),
    Texts(&'a [String]),
}

/// Writes an answer.
///
/// * `labels`: the model's
/// * `binary`: whether outputs that do not say come as binary data
pub(super) fn answer(
    answer: Answer,
    requested: &Requested,
    labels: &[Arc<str>],
    id: Option<&str>,
    binary: bool,
) -> Response {
    let (model, version, timing) = (answer.model.clone(), answer.version, answer.timing);
    let tensors = requested.tensors(answer, labels);
    document(&model, version, id, &tensors, &timing, binary)
}

fn document(
    model: &str,
    version: u64,
    id: Option<&str>,
    tensors: &[OutputTensor],
    timing: &Timing,
    binary: bool,
) -> Response {
    let (mut sections, mut capacity) = (Vec::<Bytes>::new(), 256);
    let outputs = tensors.iter().map(|tensor| {
        let (name, datatype, shape) = (&*tensor.name, tensor.datatype(), tensor.shape);
        if tensor.binary.unwrap_or(binary) {
            let section = tensor.raw();
            let parameters = Some(Parameters { binary_data_size: section.len() });
            sections.push(section);
            return Output { name, datatype, shape, parameters, data: None };
        }
        let data = match &tensor.column {
            Column::Numbers(values) => Data::Numbers(values),
            Column::Texts(texts) => Data::Texts(texts),
        };
        capacity += 12 * shape[0] * shape[1];
        Output { name, datatype, shape, parameters: None, data: Some(data) }
    });
    let outputs = outputs.collect();
    let document = InferenceResponse { model_name: model, model_version: version.to_string(), id, outputs };
    let mut response = match sections.is_empty() {
        true => reply::json(StatusCode::OK, &document, capacity),
        false => with_sections(&document, capacity, &sections),
    };
    timing::tell(timing, &mut response);
    response
}

fn with_sections(document: &InferenceResponse<'_>, capacity: usize, sections: &[Bytes]) -> Response {
    let behind: usize = sections.iter().map(Bytes::len).sum();
    let Some(mut body) = reply::bytes(document, capacity + behind) else {
        let mut broken = Response::new(Body::empty());
        *broken.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
        return broken;
    };
    let json_length = body.len();
    sections.iter().for_each(|section| body.extend_from_slice(section));
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(HEADER_LENGTH, json_length.into());
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn tensors() -> [OutputTensor; 2] {
        [
            OutputTensor {
                name: "logits".into(),
                shape: [1, 2],
                column: Column::Numbers(vec![0.5, -2.0]),
                binary: Some(true),
            },
            OutputTensor {
                name: "probabilities".into(),
                shape: [1, 1],
                column: Column::Texts(vec!["0.75:0:tabby".to_owned()]),
                binary: None,
            },
        ]
    }

    async fn written(binary: bool) -> (Response<()>, Bytes) {
        let response = document("pets", 3, Some("42"), &tensors(), &Timing::default(), binary);
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("memory").to_bytes();
        (Response::from_parts(head, ()), body)
    }

    /// The shapes are those of the protocol's specification and of Triton's binary tensor data extension.
    #[tokio::test]
    async fn binary_data_stand_behind_the_json_whose_length_the_header_tells() {
        let (head, body) = written(false).await;
        let json = r#"{"model_name":"pets","model_version":"3","id":"42","outputs":[{"name":"logits","datatype":"FP32","shape":[1,2],"parameters":{"binary_data_size":8}},{"name":"probabilities","datatype":"BYTES","shape":[1,1],"data":["0.75:0:tabby"]}]}"#;
        assert_eq!(head.headers()[HEADER_LENGTH], json.len().to_string());
        assert_eq!(body, [json.as_bytes(), &0.5f32.to_le_bytes(), &(-2.0f32).to_le_bytes()].concat());
        let (head, body) = written(true).await;
        let length: usize = head.headers()[HEADER_LENGTH].to_str().expect("ASCII").parse().expect("a number");
        assert_eq!(&body[length + 8..], b"\x0c\0\0\x000.75:0:tabby");
    }

    #[tokio::test]
    async fn an_answer_without_binary_data_is_json_alone() {
        let mut tensors = tensors();
        tensors[0].binary = Some(false);
        let response = document("pets", 3, None, &tensors[..1], &Timing::default(), true);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/json");
        let body = response.into_body().collect().await.expect("memory").to_bytes();
        let json = r#"{"model_name":"pets","model_version":"3","outputs":[{"name":"logits","datatype":"FP32","shape":[1,2],"data":[0.5,-2.0]}]}"#;
        assert_eq!(body, json);
    }
}
