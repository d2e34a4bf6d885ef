//! How the server leaves: not ready at once, still answering, connections told to close, what is in flight answered.

use std::time::{Duration, Instant};

use resnetd::{runtime::scripted::ScriptedExecutor, service::Readiness};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    eventually,
    http::HttpClient,
    images,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

async fn connected(server: &TestServer) -> Vec<HttpClient> {
    let mut clients = Vec::new();
    for _ in 0..32 {
        clients.push(server.http().await);
    }
    clients
}

/// Asks on each of these in turn, so that nearly all of them are idle at any moment, until each has been told that it closes. A request on a
/// connection that was closed unsaid finds no answer, and is a panic.
async fn each_is_told(mut clients: Vec<HttpClient>) {
    while !clients.is_empty() {
        let mut left = Vec::new();
        for mut http in clients {
            let answer = http.get("/livez").await;
            assert_eq!(answer.status, 200);
            match answer.header("connection") {
                None => left.push(http),
                told => {
                    assert_eq!(told, Some("close"));
                    assert!(http.is_closed().await);
                }
            }
        }
        clients = left;
    }
}

#[tokio::test]
async fn a_draining_server_is_not_ready_but_still_answers() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.drain_delay = Duration::from_secs(3600))
        .options(|options| options.shutdown_grace = Duration::from_secs(7200))
        .start()
        .await;
    let mut old = server.http().await;
    assert_eq!(old.get("/readyz").await.status, 200);

    server.stop();
    eventually("the server drains", || server.service.readiness() == Readiness::Draining).await;

    assert!(old.get("/readyz").await.refusal(503, "UNAVAILABLE").contains("draining"));
    let mut new = server.http().await;
    for http in [&mut old, &mut new] {
        let answer = http.post(CLASSIFY, "image/png", &images::png()).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("connection"), None, "the balancer may still send");
        assert_eq!(http.get("/livez").await.status, 200);
    }
    assert_eq!(old.get("/v1/models/pets").await.json()["ready"], false);
}

#[tokio::test]
async fn what_is_in_flight_is_answered_and_told_that_the_connection_closes() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let (mut clients, mut idle) = (connected(&server).await, server.http().await);
    for http in clients.iter_mut().chain([&mut idle]) {
        assert_eq!(http.get("/livez").await.header("connection"), None);
    }
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &images::png()).await;
    let mut grpc = server.grpc().await;
    let call = tokio::spawn(async move { grpc.classify(crate::grpc_classify::request()).await });
    eventually("both requests are in flight", || server.in_flight() == 2).await;

    server.stop();
    each_is_told(clients).await;
    assert!(TcpStream::connect(server.http_address).await.is_err(), "nobody new comes in");
    assert!(idle.is_closed().await, "an idle connection is closed soon");
    network.release();

    let answer = busy.answer("POST").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    assert!(call.await.expect("no panic").is_ok(), "the gRPC call is answered as well");
    assert!(server.left().await.is_ok());
}

#[tokio::test]
async fn what_takes_longer_than_the_grace_period_is_cut() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone())
        .options(|options| options.shutdown_grace = Duration::from_millis(50))
        .start()
        .await;
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &images::png()).await;
    eventually("the request is in flight", || server.in_flight() == 1).await;
    let stopped = Instant::now();

    server.stop();

    assert!(busy.is_closed().await);
    assert!(server.left().await.is_ok());
    assert!(stopped.elapsed() < Duration::from_secs(10), "{:?}", stopped.elapsed());
    network.release();
}

#[tokio::test]
async fn a_connection_of_age_is_told_to_close_with_its_next_answer() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone())
        .options(|options| options.max_connection_age = Duration::from_millis(100))
        .start()
        .await;
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &images::png()).await;

    // Twice: ages differ by chance, and that of `busy` is over then in any case.
    for _ in 0..2 {
        each_is_told(connected(&server).await).await;
    }
    network.release();

    let answer = busy.answer("POST").await;
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "one that was busy all the time");
    assert!(busy.is_closed().await);
    assert_eq!(server.http().await.get("/livez").await.status, 200, "and a new one is welcome");
}

#[tokio::test]
async fn a_connection_of_age_that_nobody_asks_on_is_closed_when_it_was_idle_for_long_enough() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.max_connection_age = Duration::from_millis(1))
        .options(|options| options.idle_timeout = Duration::from_millis(100))
        .start()
        .await;
    assert!(server.http().await.is_closed().await);
}

#[tokio::test]
async fn what_was_sent_behind_the_last_request_does_not_take_its_answer_away() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.max_connection_age = Duration::from_millis(1))
        .start()
        .await;
    // More than sockets take in: closed with any of it unread, one would be reset under the client that still writes.
    let ahead = b"GET /livez HTTP/1.1\r\nhost: test\r\n\r\n".repeat(300_000);
    let mut client = TcpStream::connect(server.http_address).await.expect("a connection");
    let (mut answers, mut requests) = client.split();
    let mut text = String::new();
    let (sent, read) = tokio::join!(requests.write_all(&ahead), answers.read_to_string(&mut text));
    sent.expect("what is sent behind the last answer is taken");
    read.expect("the last answer arrives");
    let heads: Vec<_> = text.matches("HTTP/1.1 200").collect();
    let last = text.rfind("HTTP/1.1 200").expect("an answer");
    assert!(heads.len() < 300_000 && text[last..].contains("connection: close"), "{}", &text[last..]);
    assert_eq!(text.matches("connection: close").count(), 1);
}
