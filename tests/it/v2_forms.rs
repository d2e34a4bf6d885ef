//! One picture through every form of the Open Inference Protocol: what Pillow, NumPy and ONNX Runtime say of it
//! (`fixtures/cifar10/probabilities.tsv`), and in each form the same.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use half::{bf16, f16};
use resnetd::{
    preprocess::{DecodeLimits, Spec, preprocess},
    server::grpc::proto::inference::{
        InferTensorContents, ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
        model_infer_request::InferInputTensor,
    },
};
use serde_json::{Value, json};

use crate::support::{
    http::HttpClient,
    images::{CIFAR_CLASSES, cifar},
    v2::{RealServer, elements, floats, parts, pictures, post_binary, post_json, to_bytes, with_input},
};

const PATH: &str = "/v2/models/resnet20-cifar10/infer";
const SHAPE: [usize; 4] = [1, 3, 32, 32];

/// The figures have six digits.
const EXACT: f32 = 1e-6;

fn expected(class: &str) -> Vec<f32> {
    let table = include_str!("../fixtures/cifar10/probabilities.tsv");
    let line = table.lines().find_map(|line| line.strip_prefix(class)).expect("the class");
    line.split_whitespace().map(|value| value.parse().expect("a number")).collect()
}

/// The pixels of a picture, `u8[3, 32, 32]`.
fn planes(class: &str) -> Vec<u8> {
    let spec = Spec { resize_size: None, crop_size: None, ..Spec::default() };
    let limits = DecodeLimits { max_pixels: 1 << 20 };
    let pixels = preprocess(&cifar(class), &spec, &limits).expect("a picture");
    (0..3).flat_map(|channel| pixels.data().iter().skip(channel).step_by(3).copied()).collect()
}

/// As torchvision's ToTensor and Normalize.
fn normalized(planes: &[u8]) -> Vec<f32> {
    let (mean, std) = ([0.485f32, 0.456, 0.406], [0.229f32, 0.224, 0.225]);
    let values = planes.iter().enumerate();
    values.map(|(index, value)| (f32::from(*value) / 255.0 - mean[index / 1024]) / std[index / 1024]).collect()
}

fn check(what: &str, class: &str, found: &[f32], tolerance: f32) {
    let expected = expected(class);
    assert_eq!(found.len(), expected.len(), "{what}");
    let distance = found.iter().zip(&expected).map(|(found, expected)| (found - expected).abs()).fold(0.0, f32::max);
    assert!(distance <= tolerance, "{what}: {distance} from {expected:?}: {found:?}");
}

/// The probabilities of an answer whose outputs are binary.
fn probabilities(answer: &crate::support::http::Answer) -> Vec<f32> {
    let (document, section) = parts(answer);
    assert_eq!(answer.status, 200, "{document}");
    floats(&section[section.len() - 40..])
}

fn tensor(datatype: &str, section: &[u8]) -> Value {
    let parameters = json!({ "binary_data_size": section.len() });
    json!({ "name": "input", "shape": SHAPE, "datatype": datatype, "parameters": parameters })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_gives_the_probabilities_that_the_other_implementation_gives() {
    let server = RealServer::start().await;
    let mut http = HttpClient::connect(server.http_address).await;
    let address = format!("http://{}", server.grpc_address);
    let mut grpc = GrpcInferenceServiceClient::connect(address).await.expect("the gRPC door is open");
    for class in CIFAR_CLASSES {
        let (file, planes) = (cifar(class), planes(class));
        let values = normalized(&planes);
        let halves: Vec<u8> = values.iter().flat_map(|value| f16::from_f32(*value).to_le_bytes()).collect();
        let short: Vec<u8> = values.iter().flat_map(|value| bf16::from_f32(*value).to_le_bytes()).collect();
        let binary = |input: Value| {
            let mut request = with_input(input);
            request["parameters"] = json!({ "binary_data_output": true });
            request
        };
        let section = elements(&[&file]);
        let mut column = pictures(1, &section);
        column["shape"] = json!([1, 1]);
        // Halves have 11 bits and BF16 has 8: the input is rounded.
        for (what, input, section, tolerance) in [
            ("binary BYTES", pictures(1, &section), &section, EXACT),
            ("binary BYTES [N, 1]", column, &section, EXACT),
            ("binary FP32", tensor("FP32", &[0; 4 * 3072]), &to_bytes(&values), EXACT),
            ("binary UINT8", tensor("UINT8", &planes), &planes, EXACT),
            ("binary FP16", tensor("FP16", &halves), &halves, 2e-3),
            ("binary BF16", tensor("BF16", &short), &short, 2e-2),
        ] {
            check(what, class, &probabilities(&post_binary(&mut http, PATH, &binary(input), section).await), tolerance);
        }
        for (what, shape, datatype, data) in [
            ("JSON BYTES", json!([1]), "BYTES", json!([BASE64_STANDARD.encode(&file)])),
            ("JSON FP32", json!(SHAPE), "FP32", json!(values)),
            ("JSON UINT8", json!(SHAPE), "UINT8", json!(planes)),
        ] {
            let input = json!({ "name": "input", "shape": shape, "datatype": datatype, "data": data });
            check(what, class, &probabilities(&post_json(&mut http, PATH, &binary(input)).await), EXACT);
        }
        for (what, body) in [("the file alone", file.to_vec()), ("the tensor alone", to_bytes(&values))] {
            let answer = http.request("POST", PATH, &[("inference-header-content-length", "0")], &body).await;
            check(what, class, &probabilities(&answer), EXACT);
        }
        let listed = |change: &dyn Fn(&mut InferTensorContents)| {
            let mut contents = InferTensorContents::default();
            change(&mut contents);
            Some(contents)
        };
        for (what, shape, datatype, raw, contents) in [
            ("gRPC raw BYTES", &[1][..], "BYTES", Some(section.clone()), None),
            ("gRPC raw FP32", &[1, 3, 32, 32], "FP32", Some(to_bytes(&values)), None),
            ("gRPC raw UINT8", &[1, 3, 32, 32], "UINT8", Some(planes.clone()), None),
            ("gRPC BYTES", &[1], "BYTES", None, listed(&|it| it.bytes_contents = vec![file.clone()])),
            (
                "gRPC FP32",
                &[1, 3, 32, 32],
                "FP32",
                None,
                listed(&|it| it.fp32_contents = vec![to_bytes(&values).into()]),
            ),
        ] {
            let input = InferInputTensor {
                name: "input".to_owned(),
                datatype: datatype.to_owned(),
                shape: shape.to_vec(),
                contents,
                ..InferInputTensor::default()
            };
            let request = ModelInferRequest {
                model_name: "resnet20-cifar10".to_owned(),
                inputs: vec![input],
                raw_input_contents: raw.into_iter().map(Into::into).collect(),
                ..ModelInferRequest::default()
            };
            let answer = grpc.model_infer(request).await.expect(what).into_inner();
            check(what, class, &floats(&answer.raw_output_contents[1]), EXACT);
        }
    }
}
