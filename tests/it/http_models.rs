//! What is served, over HTTP, and the probes.

use resnetd::{runtime::scripted::ScriptedExecutor, service::Readiness};
use serde_json::json;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{
    http::HttpClient,
    images,
    server::{LABELS, TestServer, logits},
};

#[tokio::test]
async fn the_list_shows_what_is_served_and_why_something_is_not() {
    let server = TestServer::start().await;
    let document = server.http().await.get("/v1/models").await.json();
    assert_eq!(document["models"], json!(["broken", "pets"]));
    let models = document["model_versions"].as_array().expect("a list");
    assert_eq!(models.len(), 2, "{document}");
    assert_eq!(models[0]["name"], "broken");
    assert_eq!(models[0]["state"], "FAILED");
    assert_eq!(models[0]["reason"], "model.toml: no such key `crop`");
    assert_eq!(models[1]["name"], "pets");
    assert_eq!(models[1]["version"], 3);
    assert_eq!(models[1]["state"], "AVAILABLE");
    assert_eq!(models[1]["architecture"], "resnet20-cifar");
}

#[tokio::test]
async fn a_models_status_is_the_document_of_tensorflow_serving_and_kserve() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let available = json!({
        "name": "pets",
        "ready": true,
        "model_version_status": [
            { "version": "3", "state": "AVAILABLE", "status": { "error_code": "OK", "error_message": "" } }
        ],
    });
    assert_eq!(http.get("/v1/models/pets").await.json(), available);
    assert_eq!(http.get("/v1/models/pets/versions/3").await.json(), available);

    let broken = http.get("/v1/models/broken").await.json();
    assert_eq!(broken["ready"], false);
    assert_eq!(broken["model_version_status"][0]["state"], "END");
    assert_eq!(broken["model_version_status"][0]["status"]["error_message"], "model.toml: no such key `crop`");

    http.get("/v1/models/plants").await.refusal(404, "NOT_FOUND");
}

#[tokio::test]
async fn metadata_and_labels_describe_the_model() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let metadata = http.get("/v1/models/pets/metadata").await.json();
    assert_eq!(metadata["inputs"], json!([{ "name": "input", "shape": [-1, 3, 8, 8] }]));
    assert_eq!(metadata["outputs"], json!([{ "name": "logits", "shape": [-1, 4] }]));
    assert_eq!(metadata["classes"], 4);
    let architecture = &metadata["architecture"];
    assert_eq!(architecture["name"], "resnet20-cifar");
    assert_eq!(architecture["resnet"]["depth"], 20);
    assert_eq!(architecture["resnet"]["shortcut"], "identity-trailing");
    assert_eq!(metadata["layout"], "nchw");
    assert_eq!(metadata["color"], "rgb");
    let labels = http.get("/v1/models/pets/versions/3/labels").await.json();
    assert_eq!(labels["labels"], json!(LABELS));
    http.get("/v1/models/broken/labels").await.refusal(404, "NOT_FOUND");
}

#[tokio::test]
async fn head_answers_as_get_without_the_body() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let head = http.request("HEAD", "/v1/models", &[], b"").await;
    let get = http.get("/v1/models").await;
    assert_eq!(head.status, 200);
    assert_eq!(head.header("content-length"), get.header("content-length"));
}

#[tokio::test]
async fn a_server_that_loads_is_alive_but_not_ready() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).still_loading().start().await;
    let mut http = server.http().await;
    assert_eq!(http.get("/livez").await.status, 200);
    let ready = http.get("/readyz").await;
    assert!(ready.refusal(503, "UNAVAILABLE").contains("loading"));
    assert!(ready.header("retry-after").is_some());
    let classify = http.post("/v1/models/pets:classify", "image/png", &images::png()).await;
    classify.refusal(503, "UNAVAILABLE");
    assert!(classify.header("retry-after").is_some());

    server.lifecycle.set_ready().await;
    let mut readiness = server.service.readiness_watch();
    readiness.wait_for(|readiness| *readiness == Readiness::Ready).await.expect("the service lives");

    assert_eq!(http.get("/readyz").await.json(), json!({ "status": "ready" }));
}

#[tokio::test]
async fn before_the_repository_was_looked_at_no_model_is_said_not_to_exist() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).just_started().start().await;
    let mut http = server.http().await;
    let classify =
        async |http: &mut HttpClient| http.post("/v1/models/pets:classify", "image/png", &images::png()).await;
    let early = classify(&mut http).await;
    assert!(early.refusal(503, "UNAVAILABLE").contains("just started"));
    assert!(early.header("retry-after").is_some());
    let early = server.grpc().await.classify(crate::grpc_classify::request()).await.expect_err("unknown yet");
    assert_eq!(early.code(), Code::Unavailable, "{early}");
    let of_pets = || HealthCheckRequest { service: "pets".to_owned() };
    let mut health = HealthClient::new(server.channel().await);
    assert_eq!(health.check(of_pets()).await.expect("a state").into_inner().status(), ServingStatus::NotServing);

    // There is nothing in it.
    server.lifecycle.apply(Vec::new()).await;

    classify(&mut http).await.refusal(404, "NOT_FOUND");
    let unknown = server.grpc().await.classify(crate::grpc_classify::request()).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound, "{unknown}");
    assert_eq!(health.check(of_pets()).await.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test]
async fn a_label_of_a_model_that_loads_may_come_and_is_not_said_to_be_unknown() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).still_loading().start().await;
    let mut http = server.http().await;
    let early = http.post("/v1/models/pets/labels/stable:classify", "image/png", &images::png()).await;
    assert!(early.refusal(503, "UNAVAILABLE").contains("`stable`"));
    http.post("/v1/models/plants/labels/stable:classify", "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
}
