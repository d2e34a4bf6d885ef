//! Bad input in the Open Inference Protocol over gRPC: each gets its code and a message that says what to do.

use bytes::Bytes;
use resnetd::server::grpc::proto::inference::{
    InferTensorContents, ModelInferRequest, ModelMetadataRequest, infer_parameter::ParameterChoice,
    model_infer_request::InferRequestedOutputTensor,
};
use tonic::{Code, Status};

use crate::{
    support::{
        grpc::{call_with, framed},
        images,
        server::TestServer,
        v2::{SHAPE, VALUES, elements, to_bytes},
    },
    v2_grpc::{client, listed, parameter, raw},
};

const INFER: &str = "/inference.GRPCInferenceService/ModelInfer";

fn error_code(status: &Status) -> &str {
    status.metadata().get("x-error-code").map_or("none", |code| code.to_str().expect("ASCII"))
}

fn picture() -> ModelInferRequest {
    raw("BYTES", &[1], elements(&[&images::png()]))
}

fn contents(change: impl FnOnce(&mut InferTensorContents)) -> InferTensorContents {
    let mut contents = InferTensorContents::default();
    change(&mut contents);
    contents
}

fn with_outputs(outputs: Vec<InferRequestedOutputTensor>) -> ModelInferRequest {
    ModelInferRequest { outputs, ..picture() }
}

fn output(name: &str) -> InferRequestedOutputTensor {
    InferRequestedOutputTensor { name: name.to_owned(), ..Default::default() }
}

#[tokio::test]
async fn requests_that_cannot_be_meant_are_refused_with_what_to_send() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let png = images::png();
    let tensor = || raw("FP32", &SHAPE, to_bytes(&[0.5; VALUES]));
    let mut both = tensor();
    both.inputs[0].contents = Some(contents(|it| it.fp32_contents = vec![Bytes::from_static(&[0; 4])]));
    let mut two_inputs = tensor();
    two_inputs.inputs.push(two_inputs.inputs[0].clone());
    let mut two_raw = tensor();
    two_raw.raw_input_contents.push(Bytes::new());
    let no_data = listed("FP32", &SHAPE, InferTensorContents::default());
    let no_input = ModelInferRequest { inputs: Vec::new(), raw_input_contents: Vec::new(), ..tensor() };
    let mut misnamed = tensor();
    misnamed.inputs[0].name = "image".to_owned();
    let mut shared = tensor();
    shared.inputs[0].parameters =
        [parameter("shared_memory_region", ParameterChoice::StringParam("a".to_owned()))].into();
    let mut negative = picture();
    negative.parameters = [parameter("timeout", ParameterChoice::Int64Param(-1))].into();
    let mut text = picture();
    text.parameters = [parameter("priority", ParameterChoice::StringParam("high".to_owned()))].into();
    let mut classes = output("logits");
    classes.parameters = [parameter("classification", ParameterChoice::Int64Param(-1))].into();
    let mut nan = to_bytes(&[0.5; VALUES]);
    nan[4 * 7..4 * 8].copy_from_slice(&f32::NAN.to_le_bytes());
    let mut version = picture();
    version.model_version = "latest".to_owned();
    for (request, part) in [
        (no_input, "the request has 0 inputs"),
        (two_inputs, "1 raw_input_contents came for 2 inputs"),
        (two_raw, "2 raw_input_contents came for 1 inputs"),
        (both, "both `contents` and raw_input_contents"),
        (no_data, "the input has no data"),
        (misnamed, "no input `image`"),
        (shared, "shared memory"),
        (raw("FP64", &SHAPE, vec![]), "datatype `FP64`"),
        (raw("FP32", &[1, 8, 8, 3], to_bytes(&[0.5; VALUES])), "takes [N, 3, 8, 8]"),
        (raw("FP32", &SHAPE, vec![0; 4 * VALUES - 1]), "have 768 bytes each, and 767 came"),
        (raw("FP32", &SHAPE, vec![0; 4 * VALUES + 1]), "have 768 bytes each, and 769 came"),
        (raw("FP32", &SHAPE, nan), "number 7 of image 0"),
        (raw("FP32", &[0, 3, 8, 8], vec![]), "no image"),
        (raw("BYTES", &[0], vec![]), "no image"),
        (raw("BYTES", &[1], vec![]), "has no length"),
        (raw("BYTES", &[1], png.clone()), "says that it has"),
        (raw("BYTES", &[2], elements(&[&png])), "element 1 of 2"),
        (listed("BYTES", &[2], contents(|it| it.bytes_contents = vec![png.clone()])), "1 elements came"),
        (listed("BYTES", &[1], contents(|it| it.fp32_contents = vec![png.clone()])), "0 elements came"),
        (listed("FP16", &SHAPE, contents(|it| it.fp32_contents = vec![png.clone()])), "raw_input_contents only"),
        (listed("FP32", &SHAPE, contents(|it| it.uint_contents = vec![vec![7; VALUES].into()])), "and 0 came"),
        (listed("UINT8", &SHAPE, contents(|it| it.uint_contents = vec![vec![7; VALUES - 1].into()])), "and 191 came"),
        (listed("UINT8", &SHAPE, contents(|it| it.uint_contents = vec![vec![7; 100_000].into()])), "and 193 came"),
        (listed("UINT8", &SHAPE, contents(|it| it.uint_contents = vec![vec![0x80; VALUES].into()])), "cannot be read"),
        (listed("UINT8", &SHAPE, contents(|it| it.uint_contents = vec![[0x80, 2].repeat(VALUES).into()])), "is 256"),
        (with_outputs(vec![output("features")]), "no output `features`"),
        (with_outputs(vec![output("logits"); 10_000]), "asked for twice"),
        (with_outputs((0..3000).map(|index| output(&index.to_string())).collect()), "3000 outputs are asked for"),
        (with_outputs(vec![classes]), "`classification` is `-1`"),
        (negative, "`timeout` is `-1`"),
        (text, "`priority` is"),
        (version, "`latest` is no version"),
    ] {
        let status = client.model_infer(request).await.expect_err(part);
        assert_eq!((status.code(), error_code(&status)), (Code::InvalidArgument, "INVALID_ARGUMENT"), "{status}");
        assert!(status.message().contains(part) && status.message().len() < 1000, "{part}: {status}");
    }
}

#[tokio::test]
async fn what_there_is_not_and_what_is_too_much_have_their_codes() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    for (model, version) in [("plants", ""), ("../pets", ""), ("pets", "2"), ("pets\0", ""), ("", "")] {
        let request =
            ModelInferRequest { model_name: model.to_owned(), model_version: version.to_owned(), ..picture() };
        let status = client.model_infer(request).await.expect_err(model);
        assert_eq!((status.code(), error_code(&status)), (Code::NotFound, "NOT_FOUND"), "{model:?}: {status}");
    }
    let request = ModelMetadataRequest { name: "plants".to_owned(), version: String::new() };
    assert_eq!(client.model_metadata(request).await.unwrap_err().code(), Code::NotFound);
    let many = raw("BYTES", &[65], elements(&[&images::png(); 65]));
    let status = client.model_infer(many).await.unwrap_err();
    assert_eq!((status.code(), error_code(&status)), (Code::ResourceExhausted, "TOO_LARGE"), "{status}");
    let status = client.model_infer(raw("BYTES", &[1], elements(&[b"no picture"]))).await.unwrap_err();
    assert_eq!((status.code(), error_code(&status)), (Code::InvalidArgument, "UNSUPPORTED_FORMAT"), "{status}");
}

/// A tensor with its numbers as fields, in a message of several megabytes, costs as many steps as one of a few bytes.
#[tokio::test]
async fn a_message_of_very_many_packed_numbers_is_read_and_one_of_very_many_fields_is_not() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let numbers = vec![to_bytes(&vec![0.5; 64 * VALUES]).into()];
    let mut shape = SHAPE;
    shape[0] = 64;
    let request = listed("FP32", &shape, contents(|it| it.fp32_contents = numbers));
    let answer = client.model_infer(request).await.expect("an answer").into_inner();
    assert_eq!(answer.outputs[0].shape, [64, 4]);
    // `raw_input_contents` without a byte, four million times.
    let answer = call_with(&server, INFER, &[], framed(0, &[0x3a, 0].repeat(4 << 20))).await;
    assert_eq!(answer.get("grpc-status"), (Code::ResourceExhausted as i32).to_string());
    assert_eq!(answer.get("x-error-code"), "TOO_LARGE");
}
