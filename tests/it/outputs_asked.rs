//! What a client may ask for beside the classes, and what is refused.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use resnetd::{model::RESNET20_CIFAR10, server::grpc::proto::ClassifyRequest};
use serde_json::json;
use tonic::Code;

use crate::support::{
    images,
    server::{MODEL, TestServer},
};

const CLASSIFY: &str = "/v1/models/resnet20-cifar10:classify";

fn picture() -> Bytes {
    Bytes::from_static(include_bytes!("../fixtures/cifar10/cat.jpg"))
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_that_cannot_be_meant_are_refused_with_those_that_there_are() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let file = picture();
    let instance = json!({ "b64": BASE64_STANDARD.encode(&file) });
    let there = "it has `logits`, `probabilities`, `features`";
    for (outputs, part) in [
        (json!(["embedding"]), there),
        (json!(["features", "Logits"]), there),
        (json!([""]), there),
        (json!(["features", "features"]), "output `features` is asked for twice"),
        (json!(vec!["features"; 10_000]), "output `features` is asked for twice"),
        ((0..10_000).map(|index| index.to_string()).collect(), "10000 outputs are asked for"),
        (json!("features"), "expected a list of names"),
        (json!([7]), "expected a string"),
    ] {
        let body = json!({ "instances": [instance], "outputs": outputs }).to_string();
        let message = http.post(CLASSIFY, "application/json", body.as_bytes()).await.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part), "{message}");
    }
    for (query, part) in [
        ("outputs=features,", there),
        ("outputs=features,logits,features", "twice"),
        ("outputs=features&encoding=hex", "`numbers` or `base64`"),
        ("outputs=features&top_k=0", "top_k is `0`"),
    ] {
        let answer = http.post(&format!("{CLASSIFY}?{query}"), "image/jpeg", &file).await;
        let message = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part), "{query}: {message}");
    }
    let many = format!("{CLASSIFY}?outputs={}", vec!["x"; 500].join(","));
    let message = http.post(&many, "image/jpeg", &file).await.refusal(400, "INVALID_ARGUMENT");
    assert!(message.contains("twice"), "{message}");
    let headers = [("content-type", "image/jpeg"), ("accept", "application/x-npy")];
    let two = http.request("POST", &format!("{CLASSIFY}?outputs=features,logits"), &headers, &file).await;
    let message = two.refusal(400, "INVALID_ARGUMENT");
    assert!(message.contains("application/x-npy holds one output and 2 are asked for"), "{message}");
    let examples = json!({ "examples": [{ "image": instance }], "outputs": ["features"] }).to_string();
    let message = http.post(CLASSIFY, "application/json", examples.as_bytes()).await.refusal(400, "INVALID_ARGUMENT");
    assert!(message.contains("send `instances`"), "{message}");

    let request = |outputs: Vec<String>| ClassifyRequest {
        model: RESNET20_CIFAR10.name.to_owned(),
        images: vec![file.clone()],
        outputs,
        ..ClassifyRequest::default()
    };
    let mut grpc = server.grpc().await;
    for (outputs, part) in [
        (vec!["embedding".to_owned()], there),
        (vec!["features".to_owned(); 10_000], "twice"),
        ((0..10_000).map(|index| index.to_string()).collect(), "10000 outputs are asked for"),
    ] {
        let status = grpc.classify(request(outputs)).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(part), "{}", status.message());
    }
    let classification = json!({
        "inputs": [{ "name": "input", "shape": [1], "datatype": "BYTES", "data": [BASE64_STANDARD.encode(&file)] }],
        "outputs": [{ "name": "features", "parameters": { "classification": 3 } }],
    });
    let infer = "/v2/models/resnet20-cifar10/infer";
    let answer = http.post(infer, "application/json", classification.to_string().as_bytes()).await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("`classification` is of classes"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_no_outputs_gets_json_whatever_else_it_would_take() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let file = picture();
    let headers = [("content-type", "image/jpeg"), ("accept", "application/octet-stream")];
    for path in [CLASSIFY.to_owned(), format!("{CLASSIFY}?outputs=")] {
        let answer = http.request("POST", &path, &headers, &file).await.json();
        assert_eq!(answer["predictions"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["classes"]);
    }
    let body = json!({ "instances": [{ "b64": BASE64_STANDARD.encode(&file) }], "outputs": [] }).to_string();
    let answer = http.post(CLASSIFY, "application/json", body.as_bytes()).await.json();
    assert_eq!(answer["predictions"][0].as_object().unwrap().keys().collect::<Vec<_>>(), ["classes"]);
}

#[tokio::test]
async fn a_model_without_features_says_why() {
    let server = TestServer::start().await;
    let path = format!("/v1/models/{MODEL}:classify?outputs=features");
    let answer = server.http().await.post(&path, "image/png", &images::png()).await;
    let message = answer.refusal(400, "INVALID_ARGUMENT");
    assert!(
        message.contains("no output `features`: a scripted network has no layers; it has `logits`, `probabilities`"),
        "{message}"
    );
}
