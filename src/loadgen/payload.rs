//! Requests as they are sent, made once: the same bytes go out again and again. Pure.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{BufMut as _, Bytes, BytesMut};
use half::f16;
use hyper::{
    HeaderMap,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde_json::{Value, json};

use super::{
    form::{PictureForm, WireProtocol},
    outline::ModelOutline,
    parts::{RequestParts, framed, in_path},
};
use crate::server::grpc::proto::{
    ClassifyRequest,
    inference::{
        InferParameter, ModelInferRequest,
        infer_parameter::ParameterChoice,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
    },
    tensorflow::{
        DataType, TensorProto, TensorShapeProto,
        serving::{ModelSpec, PredictRequest},
        tensor_shape_proto::Dim,
    },
};

/// What is the same in every request of a run.
#[derive(Clone, Debug)]
pub struct Payloads<'a> {
    /// What is spoken.
    pub protocol: WireProtocol,
    /// How pictures are carried.
    pub form: PictureForm,
    /// Who is asked.
    pub model: &'a ModelOutline,
    /// Pictures in a request.
    pub images: usize,
    /// The deadline that a request gives itself.
    pub timeout_ms: Option<u64>,
    /// How urgent it says it is; 1 comes first.
    pub priority: Option<u32>,
    /// Further headers.
    pub headers: &'a HeaderMap,
}

const INFERENCE_HEADER: HeaderName = HeaderName::from_static("inference-header-content-length");
const PRIORITY: HeaderName = HeaderName::from_static("x-priority");
const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const OUTPUT: &str = "probabilities";
impl Payloads<'_> {
    /// A request for each of `pictures` as the first one in it, the next ones behind it; one for a tensor.
    ///
    /// # Errors
    /// In words, where the form cannot carry it.
    pub fn requests(&self, pictures: &[Bytes]) -> Result<Vec<RequestParts>, String> {
        self.check()?;
        let count = if self.form == PictureForm::V2Tensor { 1 } else { pictures.len() };
        (0..count)
            .map(|first| {
                let pictures: Vec<_> = pictures.iter().cycle().skip(first).take(self.images).cloned().collect();
                self.request(&pictures)
            })
            .collect()
    }

    /// The messages of a stream, in the same order.
    pub(super) fn messages(&self, pictures: &[Bytes]) -> Result<Vec<ClassifyRequest>, String> {
        self.check()?;
        let of = |first| pictures.iter().cycle().skip(first).take(self.images).cloned().collect();
        Ok((0..pictures.len()).map(|first| self.classify(of(first))).collect())
    }

    fn check(&self) -> Result<(), String> {
        let Self { protocol, form, images, .. } = self;
        if !protocol.forms().contains(form) {
            let forms: Vec<_> = protocol.forms().iter().map(ToString::to_string).collect();
            return Err(format!("{protocol} has no form {form}: use {}", forms.join(", ")));
        }
        if form.is_single() && *images > 1 {
            return Err(format!("a request of the form {form} has one picture, not {images}: use another --form"));
        }
        if self.priority.is_some() && !form.has_priority(*protocol) {
            return Err(format!("{protocol} in the form {form} has no place for a priority"));
        }
        if self.timeout_ms.is_some() && !form.has_deadline() {
            return Err(format!("{protocol} in the form {form} has no place for a deadline: use v2-binary"));
        }
        Ok(())
    }

    fn request(&self, pictures: &[Bytes]) -> Result<RequestParts, String> {
        let mut parts = RequestParts {
            path: String::new(),
            headers: self.headers.clone(),
            body: Bytes::new(),
            images: self.images,
        };
        if self.protocol == WireProtocol::Grpc {
            self.write_call(&mut parts, pictures)?;
        } else {
            self.write_http(&mut parts, pictures)?;
        }
        Ok(parts)
    }

    fn write_http(&self, parts: &mut RequestParts, pictures: &[Bytes]) -> Result<(), String> {
        let model = in_path(&self.model.name);
        let query = self.timeout_ms.map_or(String::new(), |ms| format!("?timeout_ms={ms}"));
        let base64 = |picture: &Bytes| json!({ "b64": BASE64_STANDARD.encode(picture) });
        let instances = || json!({ "instances": pictures.iter().map(base64).collect::<Vec<_>>() });
        let (path, content_type, body) = match self.form {
            PictureForm::Body => {
                let picture = pictures.first().cloned().unwrap_or_default();
                (format!("/v1/models/{model}:classify{query}"), "application/octet-stream".to_owned(), picture)
            }
            PictureForm::Multipart => {
                let (boundary, body) = multipart(pictures);
                let content_type = format!("multipart/form-data; boundary={boundary}");
                (format!("/v1/models/{model}:classify{query}"), content_type, body)
            }
            PictureForm::Json => (format!("/v1/models/{model}:classify{query}"), json_type(), text(&instances())),
            PictureForm::Predict => (format!("/v1/models/{model}:predict{query}"), json_type(), text(&instances())),
            PictureForm::V2Json => {
                let data: Vec<_> = pictures.iter().map(|picture| BASE64_STANDARD.encode(picture)).collect();
                let input =
                    json!({ "name": self.model.input, "shape": [data.len()], "datatype": "BYTES", "data": data });
                (format!("/v2/models/{model}/infer"), json_type(), text(&self.inference(input, false)))
            }
            PictureForm::V2Raw => {
                parts.headers.insert(INFERENCE_HEADER, HeaderValue::from_static("0"));
                let picture = pictures.first().cloned().unwrap_or_default();
                (format!("/v2/models/{model}/infer"), "application/octet-stream".to_owned(), picture)
            }
            PictureForm::V2Binary | PictureForm::V2Tensor => {
                let BinaryInput { datatype, shape, data } = self.binary(pictures)?;
                let size = json!({ "binary_data_size": data.len() });
                let input =
                    json!({ "name": self.model.input, "shape": shape, "datatype": datatype, "parameters": size });
                let head = text(&self.inference(input, true));
                parts.headers.insert(INFERENCE_HEADER, HeaderValue::from(head.len()));
                let body = [&head[..], &data[..]].concat().into();
                (format!("/v2/models/{model}/infer"), "application/octet-stream".to_owned(), body)
            }
            PictureForm::Classify | PictureForm::Stream => return Err("a form of gRPC".to_owned()),
        };
        if let Some(priority) = self.priority
            && path.starts_with("/v1/")
        {
            parts.headers.insert(PRIORITY, HeaderValue::from(priority));
        }
        let content_type = HeaderValue::try_from(content_type).map_err(|error| error.to_string())?;
        parts.headers.insert(CONTENT_TYPE, content_type);
        (parts.path, parts.body) = (path, body);
        Ok(())
    }

    fn write_call(&self, parts: &mut RequestParts, pictures: &[Bytes]) -> Result<(), String> {
        if let Some(ms) = self.timeout_ms {
            let timeout = HeaderValue::try_from(format!("{ms}m")).map_err(|error| error.to_string())?;
            parts.headers.insert(GRPC_TIMEOUT, timeout);
        }
        let (path, body) = match self.form {
            PictureForm::Classify => ("/resnetd.v1.Classifier/Classify", framed(&self.classify(pictures.to_vec()))),
            PictureForm::Predict => {
                let dim = Dim { size: pictures.len() as i64, name: String::new() };
                let tensor = TensorProto {
                    dtype: DataType::DtString.into(),
                    tensor_shape: Some(TensorShapeProto { dim: vec![dim], unknown_rank: false }),
                    string_val: pictures.to_vec(),
                    ..TensorProto::default()
                };
                let spec = ModelSpec { name: self.model.name.clone(), ..ModelSpec::default() };
                let request = PredictRequest {
                    model_spec: Some(spec),
                    inputs: [("image_bytes".to_owned(), tensor)].into(),
                    output_filter: vec![OUTPUT.to_owned()],
                };
                ("/tensorflow.serving.PredictionService/Predict", framed(&request))
            }
            _ => ("/inference.GRPCInferenceService/ModelInfer", framed(&self.model_infer(pictures)?)),
        };
        (parts.path, parts.body) = (path.to_owned(), body);
        Ok(())
    }

    fn classify(&self, images: Vec<Bytes>) -> ClassifyRequest {
        let (model, priority) = (self.model.name.clone(), self.priority.unwrap_or_default());
        ClassifyRequest { model, images, priority, ..ClassifyRequest::default() }
    }

    fn model_infer(&self, pictures: &[Bytes]) -> Result<ModelInferRequest, String> {
        let BinaryInput { datatype, shape, data } = self.binary(pictures)?;
        let number = |value: i64| InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(value)) };
        let priority = self.priority.map(|priority| ("priority".to_owned(), number(i64::from(priority))));
        Ok(ModelInferRequest {
            model_name: self.model.name.clone(),
            parameters: priority.into_iter().collect(),
            inputs: vec![InferInputTensor {
                name: self.model.input.clone(),
                datatype,
                shape,
                ..InferInputTensor::default()
            }],
            outputs: vec![InferRequestedOutputTensor { name: OUTPUT.to_owned(), ..Default::default() }],
            raw_input_contents: vec![data],
            ..ModelInferRequest::default()
        })
    }

    /// The JSON of the Open Inference Protocol around an input.
    fn inference(&self, input: Value, binary: bool) -> Value {
        let mut parameters = serde_json::Map::new();
        if let Some(ms) = self.timeout_ms {
            parameters.insert("timeout".to_owned(), json!(ms.saturating_mul(1000)));
        }
        if let Some(priority) = self.priority {
            parameters.insert("priority".to_owned(), json!(priority));
        }
        let output = json!({ "name": OUTPUT, "parameters": { "binary_data": binary } });
        json!({ "inputs": [input], "outputs": [output], "parameters": parameters })
    }

    fn binary(&self, pictures: &[Bytes]) -> Result<BinaryInput, String> {
        if self.form == PictureForm::V2Tensor {
            return self.tensor();
        }
        let mut data = BytesMut::with_capacity(pictures.iter().map(|picture| picture.len() + 4).sum());
        for picture in pictures {
            data.put_u32_le(u32::try_from(picture.len()).map_err(|_| "a picture of more than 4 GiB")?);
            data.put_slice(picture);
        }
        Ok(BinaryInput { datatype: "BYTES".to_owned(), shape: vec![pictures.len() as i64], data: data.freeze() })
    }

    /// A ramp within what a normalized picture has: numbers that no network chokes on, and that take as long as others.
    fn tensor(&self) -> Result<BinaryInput, String> {
        let ModelOutline { datatype, shape, name, .. } = self.model;
        let dims = shape.get(1..).unwrap_or_default();
        let sizes: Option<Vec<usize>> = dims.iter().map(|dim| usize::try_from(*dim).ok()).collect();
        let Some(values) = sizes.filter(|sizes| !sizes.is_empty()).map(|sizes| sizes.iter().product::<usize>()) else {
            return Err(format!("the input of `{name}` has no fixed size ({shape:?}): send pictures"));
        };
        let ramp = (0..values * self.images).map(|place| place % 256);
        let data: Vec<u8> = match datatype.as_str() {
            "FP32" => ramp.flat_map(|step| (step as f32 / 64.0 - 2.0).to_le_bytes()).collect(),
            "FP16" => ramp.flat_map(|step| f16::from_f32(step as f32 / 64.0 - 2.0).to_le_bytes()).collect(),
            "UINT8" | "INT8" => ramp.map(|step| step as u8).collect(),
            other => {
                return Err(format!("`{name}` takes {other}, of which this command makes no tensor: send pictures"));
            }
        };
        let shape = [&[self.images as i64], dims].concat();
        Ok(BinaryInput { datatype: datatype.clone(), shape, data: data.into() })
    }
}

struct BinaryInput {
    datatype: String,
    shape: Vec<i64>,
    data: Bytes,
}

fn json_type() -> String {
    "application/json".to_owned()
}

fn text(value: &Value) -> Bytes {
    value.to_string().into()
}

/// A form with each picture as a part `image`, and what parts them.
fn multipart(pictures: &[Bytes]) -> (String, Bytes) {
    let mut boundary = "resnetd-bench-7d0f6c1e52".to_owned();
    // It must stand in no picture.
    while pictures.iter().any(|picture| picture.windows(boundary.len()).any(|piece| piece == boundary.as_bytes())) {
        boundary.push('x');
    }
    let mut body = Vec::new();
    for picture in pictures {
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"image\"; filename=\"image\"\r\nContent-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(picture);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (boundary, body.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outline() -> ModelOutline {
        let shape = vec![-1, 3, 4, 4];
        ModelOutline { name: "my pets".to_owned(), input: "x".to_owned(), datatype: "FP32".to_owned(), shape }
    }

    fn payloads<'a>(
        protocol: WireProtocol,
        form: PictureForm,
        model: &'a ModelOutline,
        headers: &'a HeaderMap,
    ) -> Payloads<'a> {
        Payloads { protocol, form, model, images: 1, timeout_ms: None, priority: None, headers }
    }

    #[test]
    fn every_picture_is_the_first_of_a_request() {
        let (model, headers) = (outline(), HeaderMap::new());
        let pictures = ["a", "b", "c"].map(|text| Bytes::from_static(text.as_bytes()));
        let payloads = Payloads { images: 2, ..payloads(WireProtocol::Http1, PictureForm::Json, &model, &headers) };
        let requests = payloads.requests(&pictures).expect("it can be sent");
        let bodies: Vec<_> = requests.iter().map(|request| String::from_utf8_lossy(&request.body)).collect();
        let expected = |one: &str, other: &str| format!(r#"{{"instances":[{{"b64":"{one}"}},{{"b64":"{other}"}}]}}"#);
        assert_eq!(bodies, [expected("YQ==", "Yg=="), expected("Yg==", "Yw=="), expected("Yw==", "YQ==")]);
        assert_eq!(requests[0].path, "/v1/models/my%20pets:classify");
    }

    #[test]
    fn deadline_and_priority_stand_where_each_protocol_has_them() {
        let (model, headers) = (outline(), HeaderMap::new());
        let request = |protocol, form| {
            let payloads =
                Payloads { timeout_ms: Some(250), priority: Some(7), ..payloads(protocol, form, &model, &headers) };
            payloads.requests(&[Bytes::from_static(b"jpeg")]).expect("it can be sent").remove(0)
        };
        let body = request(WireProtocol::Http2, PictureForm::Body);
        assert_eq!(body.path, "/v1/models/my%20pets:classify?timeout_ms=250");
        assert_eq!(body.headers["x-priority"], "7");
        let v2 = request(WireProtocol::Http1, PictureForm::V2Json);
        let document: Value = serde_json::from_slice(&v2.body).expect("JSON");
        assert_eq!(document["parameters"], json!({ "timeout": 250_000, "priority": 7 }));
        let call = request(WireProtocol::Grpc, PictureForm::Classify);
        assert_eq!(call.headers["grpc-timeout"], "250m");
    }

    #[test]
    fn what_a_form_cannot_carry_is_refused_with_what_can() {
        let (model, headers) = (outline(), HeaderMap::new());
        let base = |protocol, form| payloads(protocol, form, &model, &headers);
        let cases = [
            (base(WireProtocol::Grpc, PictureForm::Body), "use classify, stream"),
            (base(WireProtocol::Http1, PictureForm::Stream), "use body, multipart"),
            (Payloads { images: 2, ..base(WireProtocol::Http1, PictureForm::Body) }, "has one picture, not 2"),
            (
                Payloads { priority: Some(1), ..base(WireProtocol::Grpc, PictureForm::Predict) },
                "no place for a priority",
            ),
            (
                Payloads { timeout_ms: Some(1), ..base(WireProtocol::Http1, PictureForm::V2Raw) },
                "no place for a deadline",
            ),
        ];
        for (payloads, expected) in cases {
            let error = payloads.requests(&[Bytes::new()]).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let free = ModelOutline { shape: vec![-1, 3, -1, -1], ..outline() };
        let error = payloads(WireProtocol::Grpc, PictureForm::V2Tensor, &free, &headers).requests(&[]);
        assert!(error.expect_err("no size").contains("no fixed size"));
    }

    #[test]
    fn a_tensor_has_the_bytes_of_its_shape() {
        let headers = HeaderMap::new();
        for (datatype, size) in [("FP32", 4), ("FP16", 2), ("UINT8", 1), ("INT8", 1)] {
            let model = ModelOutline { datatype: datatype.to_owned(), ..outline() };
            let payloads =
                Payloads { images: 2, ..payloads(WireProtocol::Http1, PictureForm::V2Tensor, &model, &headers) };
            let BinaryInput { shape, data, .. } = payloads.binary(&[]).expect("it can be made");
            assert_eq!((shape, data.len()), (vec![2, 3, 4, 4], 2 * 48 * size), "{datatype}");
        }
    }

    #[test]
    fn what_parts_a_form_stands_in_no_picture() {
        let (usual, _) = multipart(&[]);
        let (boundary, body) = multipart(&[Bytes::from(usual.clone())]);
        assert_ne!(boundary, usual);
        assert!(String::from_utf8_lossy(&body).ends_with(&format!("\r\n--{boundary}--\r\n")));
    }
}
