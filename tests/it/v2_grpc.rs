//! The Open Inference Protocol over gRPC: what is told of server and models, every form of an input, streams.

use std::collections::BTreeSet;

use bytes::Bytes;
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::inference::{
        DataType, InferParameter, InferTensorContents, ModelConfigRequest, ModelInferRequest, ModelMetadataRequest,
        ModelReadyRequest, ModelStatisticsRequest, ModelStreamInferResponse, RepositoryIndexRequest, ServerLiveRequest,
        ServerMetadataRequest, ServerReadyRequest,
        grpc_inference_service_client::GrpcInferenceServiceClient,
        infer_parameter::ParameterChoice,
        model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
        model_input::Format,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::support::{
    eventually,
    grpc::{call_with, framed},
    images,
    server::{TestServer, logits},
    v2::{SHAPE, VALUES, elements, floats, to_bytes},
};

pub(crate) async fn client(server: &TestServer) -> GrpcInferenceServiceClient<Channel> {
    GrpcInferenceServiceClient::new(server.channel().await)
}

/// A request with one input whose data are raw.
pub(crate) fn raw(datatype: &str, shape: &[usize], data: impl Into<Bytes>) -> ModelInferRequest {
    ModelInferRequest {
        model_name: "pets".to_owned(),
        inputs: vec![InferInputTensor {
            name: "input".to_owned(),
            datatype: datatype.to_owned(),
            shape: shape.iter().map(|dim| *dim as i64).collect(),
            ..InferInputTensor::default()
        }],
        raw_input_contents: vec![data.into()],
        ..ModelInferRequest::default()
    }
}

/// A request with one input whose data are in its contents.
pub(crate) fn listed(datatype: &str, shape: &[usize], contents: InferTensorContents) -> ModelInferRequest {
    let mut request = raw(datatype, shape, Bytes::new());
    request.raw_input_contents.clear();
    request.inputs[0].contents = Some(contents);
    request
}

pub(crate) fn parameter(name: &str, choice: ParameterChoice) -> (String, InferParameter) {
    (name.to_owned(), InferParameter { parameter_choice: Some(choice) })
}

fn picture() -> ModelInferRequest {
    raw("BYTES", &[1], elements(&[&images::png()]))
}

fn assert_close(bytes: &[u8], expected: &[f32]) {
    let found = floats(bytes);
    assert_eq!(found.len(), expected.len());
    assert!(found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6), "{found:?}");
}

#[tokio::test]
async fn the_server_and_its_models_are_described() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().into_inner().live);
    assert!(client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
    let metadata = client.server_metadata(ServerMetadataRequest {}).await.unwrap().into_inner();
    assert_eq!(metadata.name, "resnetd");
    assert!(metadata.extensions.contains(&"statistics".to_owned()), "{metadata:?}");
    for (name, version, expected) in
        [("pets", "", true), ("pets", "3", true), ("pets", "2", false), ("broken", "", false), ("plants", "", false)]
    {
        let request = ModelReadyRequest { name: name.to_owned(), version: version.to_owned() };
        assert_eq!(client.model_ready(request).await.unwrap().into_inner().ready, expected, "{name} {version}");
    }
    let request = ModelMetadataRequest { name: "pets".to_owned(), version: "3".to_owned() };
    let metadata = client.model_metadata(request).await.unwrap().into_inner();
    assert_eq!((&*metadata.inputs[0].datatype, &*metadata.inputs[0].shape), ("FP32", &[-1, 3, 8, 8][..]));
    assert_eq!(metadata.outputs.iter().map(|output| &*output.name).collect::<Vec<_>>(), ["logits", "probabilities"]);
    assert!(metadata.properties["encoded_pictures"].contains("BYTES"));
    let request = ModelConfigRequest { name: "pets".to_owned(), version: String::new() };
    let config = client.model_config(request).await.unwrap().into_inner().config.unwrap();
    let input = &config.input[0];
    assert_eq!((input.data_type(), input.format(), &*input.dims), (DataType::TypeFp32, Format::Nchw, &[3, 8, 8][..]));
    let index = |ready| RepositoryIndexRequest { ready, ..RepositoryIndexRequest::default() };
    let models = client.repository_index(index(false)).await.unwrap().into_inner().models;
    assert_eq!(models.iter().map(|model| &*model.state).collect::<Vec<_>>(), ["UNAVAILABLE", "READY"]);
    assert_eq!(client.repository_index(index(true)).await.unwrap().into_inner().models.len(), 1);
    server.service.start_draining();
    assert!(!client.server_ready(ServerReadyRequest {}).await.unwrap().into_inner().ready);
}

#[tokio::test]
async fn health_and_reflection_know_the_service_and_what_is_not_there_is_unimplemented() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel().await);
    let request = HealthCheckRequest { service: "inference.GRPCInferenceService".to_owned() };
    assert_eq!(health.check(request).await.unwrap().into_inner().status, 1);
    for method in ["RepositoryModelLoad", "RepositoryModelUnload", "SystemSharedMemoryStatus", "TraceSetting"] {
        let path = format!("/inference.GRPCInferenceService/{method}");
        let answer = call_with(&server, &path, &[], framed(0, b"")).await;
        assert_eq!(answer.get("grpc-status"), (Code::Unimplemented as i32).to_string(), "{method}");
    }
}

#[tokio::test]
async fn every_form_of_an_input_is_taken() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let png = images::png();
    let section = elements(&[&png, &png]);
    let contents = |change: fn(&mut InferTensorContents)| {
        let mut contents = InferTensorContents::default();
        change(&mut contents);
        contents
    };
    let pictures = InferTensorContents { bytes_contents: vec![png.clone(), png.clone()], ..Default::default() };
    let whole = to_bytes(&[0.5; VALUES]);
    let pieces = vec![whole[..100].to_vec().into(), whole[100..].to_vec().into()];
    for (what, request, images) in [
        ("raw pictures", raw("BYTES", &[2], section.clone()), 2),
        ("raw pictures, a column", raw("BYTES", &[2, 1], section), 2),
        ("pictures", listed("BYTES", &[2], pictures), 2),
        ("FP32", raw("FP32", &SHAPE, whole.clone()), 1),
        ("FP16", raw("FP16", &SHAPE, vec![0; 2 * VALUES]), 1),
        ("BF16", raw("BF16", &SHAPE, vec![0; 2 * VALUES]), 1),
        ("UINT8", raw("UINT8", &SHAPE, vec![0; VALUES]), 1),
        (
            "fp32_contents",
            listed("FP32", &SHAPE, contents(|it| it.fp32_contents = vec![vec![0; 4 * VALUES].into()])),
            1,
        ),
        ("pieces", listed("FP32", &SHAPE, InferTensorContents { fp32_contents: pieces, ..Default::default() }), 1),
        ("uint_contents", listed("UINT8", &SHAPE, contents(|it| it.uint_contents = vec![vec![7; VALUES].into()])), 1),
    ] {
        let answer = client.model_infer(request).await.unwrap_or_else(|status| panic!("{what}: {status}")).into_inner();
        assert_eq!((&*answer.model_name, &*answer.model_version), ("pets", "3"));
        assert_eq!(answer.outputs.iter().map(|it| &*it.name).collect::<Vec<_>>(), ["logits", "probabilities"]);
        assert_eq!(answer.outputs[0].shape, [images, 4], "{what}");
        assert!(answer.outputs.iter().all(|output| output.contents.is_none() && output.datatype == "FP32"));
        let [raw_logits, probabilities] = &answer.raw_output_contents[..] else { panic!("{what}: {answer:?}") };
        assert_close(raw_logits, &logits().repeat(images as usize));
        assert_close(probabilities, &[0.1, 0.4, 0.3, 0.2].repeat(images as usize));
    }
}

#[tokio::test]
async fn outputs_classes_and_parameters_are_as_asked_for() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let output = |name: &str, parameters: &[(String, InferParameter)]| InferRequestedOutputTensor {
        name: name.to_owned(),
        parameters: parameters.iter().cloned().collect(),
    };
    let request = ModelInferRequest {
        id: "42".to_owned(),
        model_version: "3".to_owned(),
        parameters: [
            parameter("priority", ParameterChoice::Uint64Param(1)),
            parameter("timeout", ParameterChoice::Int64Param(20_000_000)),
            parameter("triton_enable_empty_final_response", ParameterChoice::BoolParam(true)),
        ]
        .into(),
        outputs: vec![
            output("probabilities", &[parameter("classification", ParameterChoice::Int64Param(2))]),
            output("logits", &[]),
        ],
        ..picture()
    };
    let answer = client.model_infer(request).await.unwrap().into_inner();
    assert_eq!(answer.id, "42");
    assert_eq!(answer.parameters["triton_final_response"].parameter_choice, Some(ParameterChoice::BoolParam(true)));
    assert_eq!((&*answer.outputs[0].datatype, &*answer.outputs[0].shape), ("BYTES", &[1, 2][..]));
    let text = String::from_utf8(answer.raw_output_contents[0].to_vec()).unwrap();
    assert!(text.contains(":1:tabby") && text.contains(":2:parrot"), "{text:?}");
    assert_close(&answer.raw_output_contents[1], &logits());
}

#[tokio::test]
async fn requests_count_in_the_metrics_and_in_the_statistics() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    client.model_infer(picture()).await.unwrap();
    client.model_infer(raw("FP64", &SHAPE, vec![])).await.unwrap_err();
    let request =
        |name: &str, version: &str| ModelStatisticsRequest { name: name.to_owned(), version: version.to_owned() };
    for request in [request("", ""), request("pets", ""), request("pets", "3")] {
        let answer = client.model_statistics(request).await.unwrap().into_inner();
        let [stats] = &answer.model_stats[..] else { panic!("{answer:?}") };
        assert_eq!((&*stats.name, &*stats.version, stats.inference_count, stats.execution_count), ("pets", "3", 1, 1));
        let inference = stats.inference_stats.unwrap();
        assert_eq!((inference.success.unwrap().count, inference.fail.unwrap().count), (1, 1));
        assert_eq!(stats.batch_stats[0].batch_size, 1);
    }
    assert_eq!(client.model_statistics(request("plants", "")).await.unwrap_err().code(), Code::NotFound);
    let text = server.service.metrics_text();
    let line = r#"resnetd_requests_total{model="pets",version="3",protocol="grpc",code="OK"} 1"#;
    assert!(text.lines().any(|found| found == line), "{text}");
}

/// Opens a stream; requests go into the sender.
async fn open(server: &TestServer) -> (mpsc::Sender<ModelInferRequest>, Streaming<ModelStreamInferResponse>) {
    let (requests, receiver) = mpsc::channel(64);
    let answers = client(server).await.model_stream_infer(ReceiverStream::new(receiver)).await.unwrap();
    (requests, answers.into_inner())
}

#[tokio::test]
async fn a_stream_is_answered_in_its_order_and_a_failure_is_not_its_end() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.stream_concurrency = 4)
        .start()
        .await;
    let (requests, mut answers) = open(&server).await;
    for number in 0..40 {
        let mut request = ModelInferRequest { id: number.to_string(), ..picture() };
        if number % 5 == 3 {
            request.model_name = "plants".to_owned();
        }
        requests.send(request).await.unwrap();
    }
    drop(requests);
    for number in 0..40 {
        let answer = answers.message().await.unwrap().unwrap();
        let response = answer.infer_response.unwrap();
        assert_eq!(response.id, number.to_string());
        assert_eq!(answer.error_message.is_empty(), number % 5 != 3, "{}", answer.error_message);
        assert_eq!(response.raw_output_contents.len(), if number % 5 == 3 { 0 } else { 2 });
    }
    assert!(answers.message().await.unwrap().is_none(), "the stream ends");
}

#[tokio::test]
async fn a_stream_that_its_client_leaves_gives_up_its_requests() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let (requests, answers) = open(&server).await;
    for _ in 0..3 {
        requests.send(picture()).await.unwrap();
    }
    eventually("all are in work", || server.in_flight() == 3).await;
    drop((requests, answers));
    // The one that runs cannot be stopped.
    eventually("those that wait are given up", || server.in_flight() <= 1).await;
    network.release();
    eventually("nothing is left", || server.in_flight() == 0).await;
    assert!(network.batch_sizes().len() <= 1, "those that waited cost no session time");
}

#[tokio::test]
async fn a_draining_server_answers_what_it_has_read_of_a_stream() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let (requests, mut answers) = open(&server).await;
    requests.send(ModelInferRequest { id: "last".to_owned(), ..picture() }).await.unwrap();
    eventually("it is in work", || server.in_flight() == 1).await;
    server.stop();
    network.release();
    assert_eq!(answers.message().await.unwrap().unwrap().infer_response.unwrap().id, "last");
    assert_eq!(answers.message().await.unwrap_err().code(), Code::Unavailable);
}

#[tokio::test]
async fn the_datatypes_of_the_message_are_those_of_the_standard() {
    let names: BTreeSet<_> =
        [DataType::TypeUint8, DataType::TypeFp16, DataType::TypeFp32, DataType::TypeBf16].map(|it| it as i32).into();
    assert_eq!(names, [2, 10, 11, 14].into());
}
