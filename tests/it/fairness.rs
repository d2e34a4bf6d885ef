//! Clients that take turns, told apart by what `limits.fair_by` says, through every door.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use hyper::header::HeaderName;
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::{
        FairBy,
        grpc::proto::{
            ClassifyRequest, ClassifyStreamRequest,
            inference::{
                InferTensorContents, ModelInferRequest, grpc_inference_service_client::GrpcInferenceServiceClient,
                model_infer_request::InferInputTensor,
            },
            tensorflow::{
                DataType, TensorProto,
                serving::{ModelSpec, PredictRequest, prediction_service_client::PredictionServiceClient},
            },
        },
    },
};
use serde_json::json;
use tonic::Request;

use crate::support::{
    eventually,
    http::HttpClient,
    images::{SIDE, gray},
    noting::Held,
    server::{MODEL, TestServer, logits},
    v2::{VALUES, with_input},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

async fn server(fair_by: FairBy) -> TestServer {
    let network = ScriptedExecutor::answering(&logits());
    TestServer::builder(network).options(|options| options.fair_by = fair_by).start().await
}

fn tenants() -> FairBy {
    FairBy::Header(HeaderName::from_static("x-tenant"))
}

/// Sends a request and does not wait for its answer.
async fn send(server: &TestServer, path: &str, headers: &[(&str, &str)], body: &[u8]) -> HttpClient {
    let mut http = server.http().await;
    http.send("POST", path, headers, body).await;
    http
}

/// A call of a tenant.
fn call<T>(tenant: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("x-tenant", tenant.parse().expect("a value"));
    request
}

/// Calls that carry a picture of one gray, each through another method.
async fn calls(server: &TestServer) -> Vec<BoxFuture<'static, ()>> {
    let channel = server.channel().await;
    let (mut grpc, mut again) = (server.grpc().await, server.grpc().await);
    let mut inference = GrpcInferenceServiceClient::new(channel.clone());
    let mut prediction = PredictionServiceClient::new(channel);
    let classify =
        |gray_value| ClassifyRequest { model: MODEL.to_owned(), images: vec![gray(gray_value)], ..Default::default() };
    let input = InferInputTensor {
        name: "input".to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![1],
        contents: Some(InferTensorContents { bytes_contents: vec![gray(53)], ..Default::default() }),
        ..Default::default()
    };
    let infer = ModelInferRequest { model_name: MODEL.to_owned(), inputs: vec![input], ..Default::default() };
    let picture = TensorProto { dtype: DataType::DtString.into(), string_val: vec![gray(54)], ..Default::default() };
    let predict = PredictRequest {
        model_spec: Some(ModelSpec { name: MODEL.to_owned(), ..Default::default() }),
        inputs: HashMap::from([("input".to_owned(), picture)]),
        output_filter: Vec::new(),
    };
    let item = ClassifyStreamRequest { id: "1".to_owned(), request: Some(classify(52)), timeout_ms: 0 };
    vec![
        Box::pin(async move {
            grpc.classify(call("51", classify(51))).await.expect("an answer");
        }),
        Box::pin(async move {
            let mut items = again.classify_stream(call("52", tokio_stream::iter([item]))).await.expect("a stream");
            items.get_mut().message().await.expect("an answer").expect("one");
        }),
        Box::pin(async move {
            inference.model_infer(call("53", infer)).await.expect("an answer");
        }),
        Box::pin(async move {
            prediction.predict(call("54", predict)).await.expect("an answer");
        }),
    ]
}

#[tokio::test]
async fn a_client_that_floods_waits_for_itself_whatever_door_the_others_come_by() {
    let server = server(tenants()).await;
    let network = Held::at(&server, 64).await;
    let mut clients = Vec::new();
    for picture in 0..12 {
        clients.push(send(&server, CLASSIFY, &[("x-tenant", "flood")], &gray(picture)).await);
        network.waiting(&server, usize::from(picture)).await;
    }
    let pixels = vec![41; VALUES];
    let input = json!({ "name": "input", "shape": [1, 3, SIDE, SIDE], "datatype": "UINT8", "data": pixels });
    let tensor = with_input(input).to_string();
    for (tenant, path, body) in [
        ("40", CLASSIFY, gray(40)),
        ("41", "/v2/models/pets/infer", Bytes::from(tensor)),
        ("42", "/v1/models/pets:predict", gray(42)),
    ] {
        clients.push(send(&server, path, &[("x-tenant", tenant)], &body).await);
        network.waiting(&server, 12 + clients.len() - 13).await;
    }
    let mut answers = Vec::new();
    for call in calls(&server).await {
        answers.push(tokio::spawn(call));
        network.waiting(&server, 14 + answers.len()).await;
    }

    network.release();

    for mut client in clients {
        assert_eq!(client.answer("POST").await.status, 200);
    }
    for answer in answers {
        answer.await.expect("an answer");
    }
    let mut expected = vec![0, 1, 40, 41, 42, 51, 52, 53, 54];
    expected.extend(2..12);
    assert_eq!(network.seen(), expected);
}

#[tokio::test]
async fn addresses_tell_clients_apart_and_without_turns_they_keep_their_order() {
    for (fair_by, expected) in [(FairBy::Address, [0, 1, 4, 2, 3]), (FairBy::Nobody, [0, 1, 2, 3, 4])] {
        let server = server(fair_by).await;
        let network = Held::at(&server, 64).await;
        let mut clients = Vec::new();
        for (picture, host) in [(0, 1), (1, 1), (2, 1), (3, 1), (4, 2)] {
            let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, host));
            let mut http = HttpClient::connect_from(from, server.http_address).await;
            http.send("POST", CLASSIFY, &[], &gray(picture)).await;
            clients.push(http);
            network.waiting(&server, usize::from(picture)).await;
        }

        network.release();

        for mut client in clients {
            assert_eq!(client.answer("POST").await.status, 200);
        }
        assert_eq!(network.seen(), expected);
    }
}

#[tokio::test]
async fn one_client_does_not_get_the_last_places() {
    let server = server(FairBy::ApiKey).await;
    let network = Held::at(&server, 10).await;
    let mut clients = Vec::new();
    for picture in 0..8 {
        clients.push(send(&server, CLASSIFY, &[("x-api-key", "flood")], &gray(picture)).await);
        eventually("it is in work", || server.in_flight() == clients.len()).await;
    }
    let refused = server.http().await.request("POST", CLASSIFY, &[("x-api-key", "flood")], &gray(9)).await;
    let message = refused.refusal(429, "OVERLOADED");
    assert!(message.contains("8 images in work") && refused.header("retry-after").is_some(), "{message}");
    for (picture, token) in [(10, "Bearer one"), (11, "Bearer two")] {
        clients.push(send(&server, CLASSIFY, &[("authorization", token)], &gray(picture)).await);
        eventually("it is in work", || server.in_flight() == clients.len()).await;
    }

    network.release();

    for mut client in clients {
        assert_eq!(client.answer("POST").await.status, 200);
    }
}
