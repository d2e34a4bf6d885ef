//! KServe's protocol of version 1: the list, readiness, and predictions.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use resnetd::runtime::scripted::ScriptedExecutor;
use serde_json::json;

use crate::support::{
    images,
    server::{TestServer, logits},
};

#[tokio::test]
async fn the_list_has_the_names_of_models_and_nothing_twice() {
    let server = TestServer::start().await;
    server
        .lifecycle
        .serve(crate::support::server::scripted_model(4, ScriptedExecutor::answering(&logits()), 8, 1))
        .await;
    let document = server.http().await.get("/v1/models").await.json();
    assert_eq!(document["models"], json!(["broken", "pets"]));
    let versions: Vec<_> = document["model_versions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| (entry["name"].as_str().expect("a name"), entry["version"].as_u64().expect("a number")))
        .collect();
    assert_eq!(versions, [("broken", 1), ("pets", 3), ("pets", 4)]);
}

#[tokio::test]
async fn the_root_says_that_the_server_lives() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    assert_eq!(http.get("/").await.json(), json!({ "status": "alive" }));
    http.post("/", "application/json", b"{}").await.refusal(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn a_model_says_whether_it_is_ready() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let pets = http.get("/v1/models/pets").await.json();
    assert_eq!((&pets["name"], &pets["ready"]), (&json!("pets"), &json!(true)));
    assert_eq!(http.get("/v1/models/broken").await.json()["ready"], false);
    http.get("/v1/models/plants").await.refusal(404, "NOT_FOUND");
}

#[tokio::test]
async fn predictions_of_pictures_and_arrays_are_rows() {
    let server = TestServer::start().await;
    let picture = json!({ "b64": BASE64_STANDARD.encode(images::png()) });
    for instance in [picture.clone(), json!({ "image_bytes": picture }), json!(vec![vec![vec![0.0; 8]; 8]; 3])] {
        let body = json!({ "instances": [instance], "parameters": {} }).to_string();
        let answer =
            server.http().await.post("/v1/models/pets:predict", "application/json", body.as_bytes()).await.json();
        assert_eq!(answer["predictions"][0].as_array().expect("a row").len(), 4, "{answer}");
    }
}
