//! `ClassifyStream`: answers as they are ready, each with its request's id; a failure is an item, not the end.

use std::collections::BTreeMap;

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{
        ClassifyRequest, ClassifyStreamRequest, ClassifyStreamResponse, classify_stream_response::Result as Item,
        error::Code as Kind,
    },
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::{
    grpc_classify::request,
    support::{
        eventually,
        server::{TestServer, logits},
    },
};

fn item(id: &str, request: ClassifyRequest) -> ClassifyStreamRequest {
    ClassifyStreamRequest { id: id.to_owned(), request: Some(request), timeout_ms: 0 }
}

/// Opens a stream; requests go into the sender.
async fn open(server: &TestServer) -> (mpsc::Sender<ClassifyStreamRequest>, Streaming<ClassifyStreamResponse>) {
    let (requests, receiver) = mpsc::channel(64);
    let answers = server.grpc().await.classify_stream(ReceiverStream::new(receiver)).await.expect("a stream");
    (requests, answers.into_inner())
}

async fn next(answers: &mut Streaming<ClassifyStreamResponse>) -> Option<(String, Item)> {
    let answer = answers.message().await.expect("no error")?;
    Some((answer.id, answer.result.expect("a result")))
}

#[tokio::test]
async fn every_request_is_answered_under_its_id() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.stream_concurrency = 4)
        .start()
        .await;
    let (requests, mut answers) = open(&server).await;
    for id in 0..40 {
        requests.send(item(&id.to_string(), request())).await.expect("the stream is open");
    }
    drop(requests);

    let mut answered = BTreeMap::new();
    while let Some((id, result)) = next(&mut answers).await {
        let Item::Response(response) = result else { panic!("{id}: {result:?}") };
        assert_eq!(response.predictions[0].classes[0].label, "tabby");
        assert!(answered.insert(id.parse::<u32>().expect("our id"), ()).is_none(), "answered twice");
    }
    assert_eq!(answered.into_keys().collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_bad_request_gets_an_error_item_and_the_stream_goes_on() {
    let server = TestServer::start().await;
    let (requests, mut answers) = open(&server).await;
    for (id, bad, kind) in [
        ("text", item("text", ClassifyRequest { images: vec!["text".into()], ..request() }), Kind::UnsupportedFormat),
        ("model", item("model", ClassifyRequest { model: "plants".to_owned(), ..request() }), Kind::NotFound),
        ("none", ClassifyStreamRequest { id: "none".to_owned(), request: None, timeout_ms: 0 }, Kind::InvalidArgument),
    ] {
        requests.send(bad).await.expect("the stream is open");
        let (answered, result) = next(&mut answers).await.expect("an item");
        let Item::Error(error) = result else { panic!("{id}: {result:?}") };
        assert_eq!((answered.as_str(), error.code()), (id, kind), "{error:?}");
        assert!(!error.message.is_empty());
    }
    requests.send(item("good", request())).await.expect("the stream is open");
    assert!(matches!(next(&mut answers).await, Some((id, Item::Response(_))) if id == "good"));
}

#[tokio::test]
async fn a_request_of_a_stream_has_its_own_deadline() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let (requests, mut answers) = open(&server).await;
    requests.send(ClassifyStreamRequest { timeout_ms: 300, ..item("late", request()) }).await.expect("open");
    let Some((_, Item::Error(error))) = next(&mut answers).await else { panic!("an error item") };
    assert_eq!(error.code(), Kind::DeadlineExceeded);
    network.release();
}

#[tokio::test]
async fn a_stream_works_on_no_more_than_its_bound() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).options(|options| options.stream_concurrency = 2).start().await;
    let (requests, mut answers) = open(&server).await;
    for id in 0..8 {
        requests.send(item(&id.to_string(), request())).await.expect("the stream is open");
    }
    eventually("the stream is at its bound", || server.in_flight() == 2).await;
    // Another connection is answered between: whatever the stream had read by then, it did not start.
    assert_eq!(server.http().await.get("/livez").await.status, 200);
    assert_eq!(server.in_flight(), 2);
    network.release();
    for _ in 0..8 {
        assert!(matches!(next(&mut answers).await, Some((_, Item::Response(_)))));
    }
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_gives_up_its_places() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let (requests, answers) = open(&server).await;
    for id in 0..3 {
        requests.send(item(&id.to_string(), request())).await.expect("the stream is open");
    }
    eventually("the requests are in flight", || server.in_flight() == 3).await;
    drop((requests, answers));
    eventually("their places are free", || server.in_flight() == 0).await;
    network.release();
}

#[tokio::test]
async fn a_server_that_stops_answers_what_it_read_and_ends_the_stream() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let (requests, mut answers) = open(&server).await;
    requests.send(item("last", request())).await.expect("the stream is open");
    eventually("the request is in flight", || server.in_flight() == 1).await;

    server.stop();
    network.release();

    assert!(matches!(next(&mut answers).await, Some((id, Item::Response(_))) if id == "last"));
    let status = answers.message().await.expect_err("the stream ends with a reason");
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert!(server.left().await.is_ok(), "although the client never half-closed");
}
