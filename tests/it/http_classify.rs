//! `POST /v1/models/{model}:classify`: the forms of a body, the options, and the shape of the answer.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use resnetd::{runtime::scripted::ScriptedExecutor, server::grpc::proto::ClassifyRequest};
use serde_json::{Value, json};

use crate::support::{
    eventually, images,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

fn labels(classes: &Value) -> Vec<&str> {
    classes.as_array().expect("a list").iter().map(|class| class["label"].as_str().expect("a label")).collect()
}

#[tokio::test]
async fn an_image_as_it_is_gets_its_most_probable_classes() {
    let server = TestServer::start().await;

    let answer = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;

    let document = answer.json();
    assert_eq!(answer.status, 200, "{document}");
    assert_eq!(document["model"], "pets");
    assert_eq!(document["version"], 3);
    assert_eq!(document["architecture"], "resnet20-cifar");
    assert_eq!(document["batch_size"], 1);
    let classes = &document["predictions"][0]["classes"];
    assert_eq!(labels(classes), ["tabby", "parrot", "goldfish", "beagle"]);
    assert_eq!(classes[0]["index"], 1);
    assert!((classes[0]["probability"].as_f64().expect("a number") - 0.4).abs() < 1e-6, "{classes}");
    for phase in ["preprocess", "queue", "inference", "total"] {
        assert!(document["timing_ms"][phase].as_f64().is_some_and(|ms| ms >= 0.0), "{phase}: {document}");
    }
}

#[tokio::test]
async fn every_form_of_a_body_gets_the_same_predictions() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let png = images::png();
    let base64 = BASE64_STANDARD.encode(&png);
    let form = [
        b"--cut\r\ncontent-disposition: form-data; name=\"image\"; filename=\"pet.png\"\r\ncontent-type: image/png\r\n\r\n",
        &png[..],
        b"\r\n--cut--\r\n",
    ]
    .concat();
    let expected = http.post(CLASSIFY, "image/png", &png).await.json()["predictions"].clone();
    assert_eq!(expected.as_array().map(Vec::len), Some(1));

    for (content_type, body) in [
        ("application/octet-stream", png.to_vec()),
        ("application/x-www-form-urlencoded", png.to_vec()),
        ("multipart/form-data; boundary=cut", form),
        ("application/json", json!({ "instances": [{ "b64": base64 }] }).to_string().into_bytes()),
        ("application/json", json!({ "instances": [{ "image": { "b64": base64 } }] }).to_string().into_bytes()),
    ] {
        let answer = http.post(CLASSIFY, content_type, &body).await;
        assert_eq!(answer.json()["predictions"], expected, "{content_type}");
    }
    let untyped = http.request("POST", CLASSIFY, &[], &png).await;
    assert_eq!(untyped.json()["predictions"], expected);
    let chunked = [
        format!("POST {CLASSIFY} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n", png.len())
            .as_bytes(),
        &png,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    http.send_raw(&chunked).await;
    assert_eq!(http.answer("POST").await.json()["predictions"], expected);
}

#[tokio::test]
async fn a_tensorflow_serving_body_gets_tensorflow_servings_answer() {
    let server = TestServer::start().await;
    let image = json!({ "image": { "b64": BASE64_STANDARD.encode(images::png()) } });
    let body = json!({ "signature_name": "serving_default", "context": { "k": 2 }, "examples": [image, image] });

    let answer = server.http().await.post(CLASSIFY, "application/json", body.to_string().as_bytes()).await;

    let document = answer.json();
    assert_eq!(document.as_object().map(|document| document.len()), Some(1), "{document}");
    let results = document["results"].as_array().expect("results");
    assert_eq!(results.len(), 2);
    assert_eq!(results[0].as_array().map(Vec::len), Some(2));
    assert_eq!(results[0][0][0], "tabby");
    assert!((results[0][0][1].as_f64().expect("a score") - 0.4).abs() < 1e-6);
}

#[tokio::test]
async fn several_images_are_answered_in_their_order() {
    let server = TestServer::start().await;
    let image = json!({ "b64": BASE64_STANDARD.encode(images::png()) });
    let body = json!({ "instances": [image, image, image], "top_k": 1 }).to_string();

    let document = server.http().await.post(CLASSIFY, "application/json", body.as_bytes()).await.json();

    let predictions = document["predictions"].as_array().expect("predictions");
    assert_eq!(predictions.len(), 3);
    assert!(predictions.iter().all(|image| labels(&image["classes"]) == ["tabby"]), "{document}");
}

#[tokio::test]
async fn the_query_narrows_the_answer() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for (query, expected) in [
        ("top_k=1", &["tabby"][..]),
        ("top_k=4", &["tabby", "parrot", "goldfish", "beagle"]),
        ("min_probability=0.25", &["tabby", "parrot"]),
        ("min_probability=0.9", &[]),
        ("top_k=3&min_probability=0.15", &["tabby", "parrot", "goldfish"]),
    ] {
        let document = http.post(&format!("{CLASSIFY}?{query}"), "image/png", &images::png()).await.json();
        assert_eq!(labels(&document["predictions"][0]["classes"]), expected, "{query}");
    }
}

#[tokio::test]
async fn a_version_is_chosen_by_the_path() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let third = http.post("/v1/models/pets/versions/3:classify", "image/png", &images::png()).await;
    assert_eq!(third.json()["version"], 3);
    let second = http.post("/v1/models/pets/versions/2:classify", "image/png", &images::png()).await;
    let message = second.refusal(404, "NOT_FOUND");
    assert!(message.contains('3'), "says which versions there are: {message}");
}

#[tokio::test]
async fn the_phases_stand_in_the_server_timing_header() {
    let server = TestServer::start().await;
    let answer = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;
    let header = answer.header("server-timing").expect("the header");
    let phases: Vec<_> = header.split(", ").map(|phase| phase.split_once(";dur=").expect("a duration")).collect();
    assert_eq!(phases.iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["preprocess", "queue", "inference", "total"]);
    assert!(phases.iter().all(|(_, ms)| ms.parse::<f64>().is_ok()), "{header}");
}

#[tokio::test]
async fn the_request_id_is_taken_or_made_and_always_returned() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let png = images::png();
    let named = http.request("POST", CLASSIFY, &[("x-request-id", "order-66")], &png).await;
    assert_eq!(named.header("x-request-id"), Some("order-66"));
    let first = http.request("POST", CLASSIFY, &[], &png).await;
    let second = http.request("POST", CLASSIFY, &[("x-request-id", "two words")], &png).await;
    let (first, second) = (first.header("x-request-id"), second.header("x-request-id"));
    assert!(first.is_some() && second.is_some() && first != second && second != Some("two words"));
    let refused = http.request("POST", CLASSIFY, &[("x-request-id", "order-67")], b"").await;
    assert_eq!(refused.json()["request_id"], "order-67");
}

#[tokio::test]
async fn answers_that_are_not_finite_numbers_are_errors_over_both_protocols() {
    for value in [f32::INFINITY, f32::NEG_INFINITY, f32::NAN] {
        let mut row = logits();
        row[2] = value;
        let server = TestServer::builder(ScriptedExecutor::answering(&row)).start().await;
        let answer = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;
        assert_eq!((answer.status, &answer.json()["code"]), (500, &"INTERNAL".into()), "{value}");
        assert!(answer.json().get("predictions").is_none(), "{value}");
        let request =
            ClassifyRequest { model: "pets".to_owned(), images: vec![images::png()], ..ClassifyRequest::default() };
        let status = server.grpc().await.classify(request).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::Internal, "{value}");
    }
}

#[tokio::test]
async fn a_client_that_left_costs_no_session_time() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut first = server.http().await;
    first.send("POST", CLASSIFY, &[], &images::png()).await;
    eventually("the first image is in work", || server.in_flight() == 1).await;
    let mut second = server.http().await;
    second.send("POST", CLASSIFY, &[], &images::png()).await;
    eventually("the second image is admitted", || server.in_flight() == 2).await;

    drop(second);
    eventually("the server noticed that the client left", || server.in_flight() == 1).await;
    network.release();

    assert_eq!(first.answer("POST").await.status, 200);
    let mut third = server.http().await;
    assert_eq!(third.request("POST", CLASSIFY, &[], &images::png()).await.status, 200);
    assert_eq!(network.batch_sizes(), [1, 1], "the first and the third image, not the second");
}
