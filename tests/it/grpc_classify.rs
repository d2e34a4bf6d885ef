//! `resnetd.v1.Classifier` with single calls.

use std::time::Duration;

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{ClassifyRequest, GetModelRequest, ListModelsRequest, model::State},
    service::RequestLimits,
};
use tonic::{Code, Request, Status};

use crate::support::{
    eventually,
    grpc::bare_call,
    images,
    server::{LABELS, TestServer, logits},
};

/// One image for the scripted model.
pub(crate) fn request() -> ClassifyRequest {
    ClassifyRequest { model: "pets".to_owned(), images: vec![images::png()], ..ClassifyRequest::default() }
}

fn error_code(status: &Status) -> &str {
    status.metadata().get("x-error-code").map_or("none", |code| code.to_str().expect("ASCII"))
}

#[tokio::test]
async fn images_get_their_most_probable_classes() {
    let server = TestServer::start().await;
    let request = ClassifyRequest { images: vec![images::png(); 2], top_k: Some(2), ..request() };

    let answer = server.grpc().await.classify(request).await.expect("an answer").into_inner();

    assert_eq!((answer.model.as_str(), answer.version, answer.architecture.as_str()), ("pets", 3, "resnet20-cifar"));
    assert_eq!(answer.predictions.len(), 2);
    let classes = &answer.predictions[1].classes;
    assert_eq!(classes.iter().map(|class| class.label.as_str()).collect::<Vec<_>>(), ["tabby", "parrot"]);
    assert_eq!(classes[0].index, 1);
    assert!((classes[0].probability - 0.4).abs() < 1e-6);
    assert!(answer.timing.is_some_and(|timing| timing.total_ms >= timing.inference_ms));
}

#[tokio::test]
async fn both_doors_give_the_same_answer() {
    let server = TestServer::start().await;
    let http = server.http().await.post("/v1/models/pets:classify", "image/png", &images::png()).await.json();
    let grpc = server.grpc().await.classify(request()).await.expect("an answer").into_inner();
    let over_http = http["predictions"][0]["classes"].as_array().expect("classes");
    let over_grpc = &grpc.predictions[0].classes;
    assert_eq!(over_http.len(), over_grpc.len());
    for (http, grpc) in over_http.iter().zip(over_grpc) {
        assert_eq!(http["label"], grpc.label);
        assert_eq!(http["probability"].as_f64().map(|probability| probability as f32), Some(grpc.probability));
    }
}

#[tokio::test]
async fn the_request_id_comes_back_with_an_answer_and_with_an_error() {
    let server = TestServer::start().await;
    let mut grpc = server.grpc().await;
    let named = |message: ClassifyRequest| {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-request-id", "order-66".parse().expect("ASCII"));
        request
    };
    let answer = grpc.classify(named(request())).await.expect("an answer");
    assert_eq!(answer.metadata().get("x-request-id").expect("an id"), "order-66");
    let refused = grpc.classify(named(ClassifyRequest::default())).await.expect_err("no model, no image");
    assert_eq!(refused.metadata().get("x-request-id").expect("an id"), "order-66");
    let unnamed = grpc.classify(request()).await.expect("an answer");
    assert!(unnamed.metadata().get("x-request-id").is_some());
}

#[tokio::test]
async fn bad_requests_get_the_codes_of_the_table() {
    let server = TestServer::start().await;
    let mut grpc = server.grpc().await;
    let png = images::png();
    for (bad, code, name, part) in [
        (ClassifyRequest { model: "plants".to_owned(), ..request() }, Code::NotFound, "NOT_FOUND", "pets"),
        (ClassifyRequest { version: 9, ..request() }, Code::NotFound, "NOT_FOUND", "3"),
        (ClassifyRequest { images: vec![], ..request() }, Code::InvalidArgument, "INVALID_ARGUMENT", "no image"),
        (ClassifyRequest { images: vec!["text".into()], ..request() }, Code::InvalidArgument, "UNSUPPORTED_FORMAT", ""),
        (ClassifyRequest { images: vec![png.slice(..40)], ..request() }, Code::InvalidArgument, "INVALID_ARGUMENT", ""),
        (ClassifyRequest { top_k: Some(0), ..request() }, Code::InvalidArgument, "INVALID_ARGUMENT", "1 to 4"),
        (ClassifyRequest { top_k: Some(5), ..request() }, Code::InvalidArgument, "INVALID_ARGUMENT", "1 to 4"),
        (
            ClassifyRequest { min_probability: f32::NAN, ..request() },
            Code::InvalidArgument,
            "INVALID_ARGUMENT",
            "0 to 1",
        ),
        (ClassifyRequest { images: vec![png; 65], ..request() }, Code::ResourceExhausted, "TOO_LARGE", "65"),
    ] {
        let status = grpc.classify(bad).await.expect_err(name);
        assert_eq!((status.code(), error_code(&status)), (code, name), "{status}");
        assert!(status.message().contains(part), "{status}");
    }
}

#[tokio::test]
async fn a_message_over_the_limit_is_resource_exhausted() {
    let limits = RequestLimits { max_body_bytes: 1000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let large = ClassifyRequest { images: vec![vec![0; 2000].into()], ..request() };
    let status = server.grpc().await.classify(large).await.expect_err("too large");
    assert_eq!((status.code(), error_code(&status)), (Code::ResourceExhausted, "TOO_LARGE"));
    assert!(status.message().contains("1000"), "names the limit: {status}");
    assert!(status.metadata().get("x-request-id").is_some());
}

#[tokio::test]
async fn overload_is_told_from_size_and_says_when_to_come_back() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).capacity(1).start().await;
    let mut first = server.grpc().await;
    let mut second = first.clone();
    let waiting = tokio::spawn(async move { first.classify(request()).await });
    eventually("the queue is full", || server.in_flight() == 1).await;

    let status = second.classify(request()).await.expect_err("full");

    assert_eq!((status.code(), error_code(&status)), (Code::ResourceExhausted, "OVERLOADED"));
    let pushback = status.metadata().get("grpc-retry-pushback-ms").expect("a delay").to_str().expect("ASCII");
    assert!(pushback.parse::<u32>().is_ok_and(|ms| ms > 0), "{pushback}");
    network.release();
    assert!(waiting.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn the_deadline_of_the_call_is_the_deadline_of_the_request() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let headers = bare_call(&server, "/resnetd.v1.Classifier/Classify", &[("grpc-timeout", "300m")], &request()).await;
    assert_eq!(headers["grpc-status"], (Code::DeadlineExceeded as i32).to_string());
    assert_eq!(headers["x-error-code"], "DEADLINE_EXCEEDED");
    network.release();
}

#[tokio::test]
async fn a_timeout_that_is_none_is_refused() {
    let server = TestServer::start().await;
    let headers = bare_call(&server, "/resnetd.v1.Classifier/Classify", &[("grpc-timeout", "soon")], &request()).await;
    assert_eq!(headers["grpc-status"], (Code::InvalidArgument as i32).to_string());
}

#[tokio::test]
async fn a_cancelled_call_gives_up_its_place() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut grpc = server.grpc().await;
    let mut short = Request::new(request());
    short.set_timeout(Duration::from_secs(3600));
    let call = tokio::spawn(async move { grpc.classify(short).await });
    eventually("the call is in flight", || server.in_flight() == 1).await;
    call.abort();
    eventually("the place is free", || server.in_flight() == 0).await;
    network.release();
}

#[tokio::test]
async fn models_are_listed_and_described() {
    let server = TestServer::start().await;
    let mut grpc = server.grpc().await;

    let models = grpc.list_models(ListModelsRequest {}).await.expect("a list").into_inner().models;
    assert_eq!(
        models.iter().map(|model| (model.name.as_str(), model.version)).collect::<Vec<_>>(),
        [("broken", 1), ("pets", 3)]
    );
    assert_eq!((models[0].state(), models[0].reason.as_str()), (State::Failed, "model.toml: no such key `crop`"));
    assert!(models[1].info.as_ref().is_some_and(|info| info.labels.is_empty() && info.classes == 4));

    let pets = GetModelRequest { name: "pets".to_owned(), version: 0, version_label: String::new() };
    let model = grpc.get_model(pets).await.expect("the model").into_inner();
    let info = model.info.expect("it is loaded");
    assert_eq!((model.version, info.architecture.as_str()), (3, "resnet20-cifar"));
    assert_eq!(info.labels, LABELS);
    assert_eq!(info.input.expect("an input").shape, [-1, 3, 8, 8]);

    let plants = GetModelRequest { name: "plants".to_owned(), version: 0, version_label: String::new() };
    assert_eq!(grpc.get_model(plants).await.expect_err("unknown").code(), Code::NotFound);
}
