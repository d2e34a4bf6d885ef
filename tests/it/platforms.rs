//! Routes that hosting platforms and other servers' clients expect, each where its dialect is on.

use std::process::Stdio;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::{Platforms, VertexRoutes},
};
use serde_json::{Value, json};

use crate::support::{
    http::{Answer, HttpClient},
    images,
    program::ServerProcess,
    server::{MODEL, TestServer, logits},
};

const CAT: &[u8] = include_bytes!("../fixtures/cifar10/cat.jpg");
const TRAINED: &str = "resnet20-cifar10";

fn all() -> Platforms {
    let vertex = VertexRoutes { predict: "/predict".to_owned(), health: "/health".to_owned() };
    Platforms { sagemaker: true, torchserve: true, vertex: Some(vertex), default_model: None }
}

async fn server(platforms: Platforms) -> TestServer {
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    builder.options(|options| options.platforms = platforms).start().await
}

/// What `:classify` says of the picture.
async fn classified(http: &mut HttpClient, model: &str, query: &str) -> Value {
    http.post(&format!("/v1/models/{model}:classify{query}"), "image/jpeg", CAT).await.json()
}

#[tokio::test]
async fn a_route_of_a_platform_is_none_unless_its_dialect_is_on() {
    let server = server(Platforms::default()).await;
    let mut http = server.http().await;
    for path in ["/ping", "/health"] {
        http.get(path).await.refusal(404, "NOT_FOUND");
    }
    for path in ["/invocations", "/predictions/pets", "/predictions/pets/3", "/predict"] {
        http.post(path, "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    }
}

#[tokio::test]
async fn a_ping_is_answered_503_until_the_server_is_ready_and_while_it_drains() {
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let loading = builder.options(|options| options.platforms = all()).still_loading().start().await;
    let mut http = loading.http().await;
    for path in ["/ping", "/health"] {
        http.get(path).await.refusal(503, "UNAVAILABLE");
    }
    http.post("/invocations", "image/png", &images::png()).await.refusal(503, "UNAVAILABLE");

    let ready = server(all()).await;
    let mut http = ready.http().await;
    for path in ["/ping", "/ping/", "/health"] {
        let answer = http.get(path).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "status": "Healthy" })), "{path}");
    }
    ready.service.start_draining();
    http.get("/ping").await.refusal(503, "UNAVAILABLE");
}

#[tokio::test(flavor = "multi_thread")]
async fn sagemakers_invocations_are_answered_as_classify_answers() {
    let server = TestServer::with_models(&[TRAINED], |options| options.platforms = all()).await;
    let mut http = server.http().await;
    let wanted = classified(&mut http, TRAINED, "").await["predictions"].clone();
    let instances = json!({ "instances": [{ "b64": BASE64_STANDARD.encode(CAT) }] }).to_string();
    for (content_type, body) in
        [("image/jpeg", CAT), ("application/x-image", CAT), ("application/json", instances.as_bytes())]
    {
        let headers = [("content-type", content_type), ("x-amzn-sagemaker-custom-attributes", "trace=7")];
        let answer = http.request("POST", "/invocations", &headers, body).await;
        assert_eq!((answer.status, &answer.json()["predictions"]), (200, &wanted), "{content_type}");
    }
    let headers = [("content-type", "image/jpeg"), ("accept", "application/x-npy")];
    let features = http.request("POST", "/invocations?outputs=features", &headers, CAT).await;
    assert_eq!((features.status, features.header("x-output-shape")), (200, Some("1,64")));
    http.post("/invocations", "image/jpeg", b"no picture").await.refusal(415, "UNSUPPORTED_FORMAT");
    http.get("/invocations").await.refusal(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_models_the_one_answers_that_the_header_or_the_configuration_names() {
    let server = TestServer::with_models(&["a", "b"], |options| options.platforms = all()).await;
    let mut http = server.http().await;
    for path in ["/invocations", "/predict"] {
        let message = http.post(path, "image/jpeg", CAT).await.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains("(`a`, `b`)") && message.contains("[server] default_model"), "{message}");
    }
    let mut named = async |name: &str| -> Answer {
        let headers = [("content-type", "image/jpeg"), ("x-amzn-sagemaker-target-model", name)];
        http.request("POST", "/invocations", &headers, CAT).await
    };
    assert_eq!(named("b").await.json()["model"], "b");
    assert_eq!(named("a.tar.gz").await.json()["model"], "a");
    assert!(named("c").await.refusal(404, "NOT_FOUND").contains("`c`"));

    let platforms = Platforms { default_model: Some("b".to_owned()), ..all() };
    let server = TestServer::with_models(&["a", "b"], |options| options.platforms = platforms).await;
    let answer = server.http().await.post("/invocations", "image/jpeg", CAT).await;
    assert_eq!(answer.json()["model"], "b");
}

#[tokio::test(flavor = "multi_thread")]
async fn vertex_gets_predictions_to_instances_and_parameters() {
    let server = TestServer::with_models(&[TRAINED], |options| options.platforms = all()).await;
    let mut http = server.http().await;
    let text = BASE64_STANDARD.encode(CAT);
    let ask =
        |instance: Value, parameters: Value| json!({ "instances": [instance], "parameters": parameters }).to_string();
    let wanted = classified(&mut http, TRAINED, "?top_k=2").await["predictions"].clone();
    for (instance, parameters) in [
        (json!({ "b64": text }), json!({ "top_k": 2 })),
        // Numbers of Vertex AI are floats, and these are AutoML's words.
        (json!({ "content": text }), json!({ "maxPredictions": 2.0 })),
        (json!({ "image": { "b64": text } }), json!({ "top_k": 2, "confidenceThreshold": 0 })),
    ] {
        let answer = http.post("/predict", "application/json", ask(instance, parameters).as_bytes()).await;
        assert_eq!((answer.status, answer.json()), (200, json!({ "predictions": wanted })));
    }
    let raw = http.post("/predict?top_k=2", "image/jpeg", CAT).await.json();
    assert_eq!(raw, json!({ "predictions": wanted }));
    let features = ask(json!({ "b64": text }), json!({ "outputs": ["features"], "top_k": 1 }));
    let answer = http.post("/predict", "application/json", features.as_bytes()).await.json();
    assert_eq!(answer["predictions"][0]["outputs"]["features"].as_array().map(Vec::len), Some(64), "{answer}");

    for (parameters, part) in [
        (json!({ "topk": 2 }), "unknown field `topk`"),
        (json!({ "top_k": 2.5 }), "top_k is `2.5`"),
        (json!({ "confidenceThreshold": 7 }), "min_probability is `7`"),
        (json!("2"), "invalid type"),
    ] {
        let body = ask(json!({ "b64": text }), parameters);
        let message = http.post("/predict", "application/json", body.as_bytes()).await.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part), "{message}");
    }
    http.get("/predict").await.refusal(405, "METHOD_NOT_ALLOWED");
    http.post("/health", "image/jpeg", CAT).await.refusal(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn torchserve_gets_labels_with_their_probabilities() {
    let server = server(all()).await;
    let mut http = server.http().await;
    let form = [
        &b"--x\r\ncontent-disposition: form-data; name=\"data\"; filename=\"kitten.png\"\r\n\r\n"[..],
        &images::png(),
        b"\r\n--x--\r\n",
    ]
    .concat();
    let predictions = format!("/predictions/{MODEL}");
    for (path, content_type, body) in [
        (predictions.clone(), "application/octet-stream", &*images::png()),
        (predictions.clone(), "multipart/form-data; boundary=x", &form),
        (format!("{predictions}/3"), "image/png", &images::png()),
        (format!("{predictions}/3.0"), "image/png", &images::png()),
    ] {
        let answer = http.post(&path, content_type, body).await;
        let document = answer.json();
        assert_eq!(answer.status, 200, "{path}: {document}");
        let probability = |label: &str| document[label].as_f64().unwrap_or_else(|| panic!("{document}"));
        assert_eq!(document.as_object().map(|labels| labels.len()), Some(4));
        assert!((probability("tabby") - 0.4).abs() < 1e-6 && (probability("beagle") - 0.1).abs() < 1e-6, "{document}");
    }
    let put = http.request("PUT", &predictions, &[], &images::png()).await;
    assert_eq!(put.status, 200);
    let first = http.post(&format!("{predictions}?top_k=1"), "image/png", &images::png()).await.json();
    assert_eq!(first.as_object().unwrap().keys().collect::<Vec<_>>(), ["tabby"]);

    http.post("/predictions/plants", "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    http.post(&format!("{predictions}/7"), "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    http.post(&format!("{predictions}/x"), "image/png", &images::png()).await.refusal(400, "INVALID_ARGUMENT");
    http.post("/predictions/%ff", "image/png", &images::png()).await.refusal(400, "INVALID_ARGUMENT");
    http.get(&predictions).await.refusal(405, "METHOD_NOT_ALLOWED");
    let outputs = http.post(&format!("{predictions}?outputs=logits"), "image/png", &images::png()).await;
    assert!(outputs.refusal(400, "INVALID_ARGUMENT").contains("TorchServe"));
}

#[tokio::test]
async fn a_predict_route_of_vertex_that_is_ours_stays_ours() {
    let vertex = VertexRoutes { predict: format!("/v1/models/{MODEL}:predict"), health: "/readyz".to_owned() };
    let server = server(Platforms { vertex: Some(vertex), ..Platforms::default() }).await;
    let mut http = server.http().await;
    let instances = json!({ "instances": [{ "b64": BASE64_STANDARD.encode(images::png()) }] }).to_string();
    let path = format!("/v1/models/{MODEL}:predict");
    let answer = http.post(&path, "application/json", instances.as_bytes()).await.json();
    assert_eq!(answer["predictions"][0].as_array().map(Vec::len), Some(4), "{answer}");
    assert_eq!(http.get("/readyz").await.json(), json!({ "status": "ready" }));
}

#[tokio::test]
async fn a_platforms_variables_choose_the_port_and_turn_its_dialect_on() {
    let variables = [("AIP_HTTP_PORT", "0"), ("AIP_PREDICT_ROUTE", "/infer"), ("AIP_HEALTH_ROUTE", "/alive")];
    let vertex = ServerProcess::start_without_address(&variables, Stdio::null()).await;
    let mut http = vertex.http().await;
    assert_eq!(http.get("/alive").await.status, 200);
    let answer = http.post("/infer?top_k=1", "image/jpeg", CAT).await.json();
    assert_eq!(answer["predictions"][0]["classes"][0]["label"], "cat", "{answer}");
    http.get("/ping").await.refusal(404, "NOT_FOUND");

    // A port alone is no dialect; its number is another's than the configuration's.
    let run = [("PORT", "0"), ("RESNETD__SERVER__HTTP", "127.0.0.1:1")];
    let run = ServerProcess::start_without_address(&run, Stdio::null()).await;
    assert_eq!(run.http().await.get("/readyz").await.status, 200);
    run.http().await.get("/ping").await.refusal(404, "NOT_FOUND");

    let bound = ServerProcess::start_without_address(&[("SAGEMAKER_BIND_TO_PORT", "0")], Stdio::null()).await;
    assert_eq!(bound.http().await.get("/ping").await.status, 200);
}
