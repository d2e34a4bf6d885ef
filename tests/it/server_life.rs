//! How the server leaves: not ready at once, still answering, connections told to close, what is in flight answered.

use std::time::{Duration, Instant};

use resnetd::{runtime::scripted::ScriptedExecutor, service::Readiness};
use tokio::net::TcpStream;

use crate::support::{
    eventually, images,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

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
    let mut idle = server.http().await;
    assert_eq!(idle.get("/livez").await.status, 200);
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &images::png()).await;
    let mut grpc = server.grpc().await;
    let call = tokio::spawn(async move { grpc.classify(crate::grpc_classify::request()).await });
    eventually("both requests are in flight", || server.in_flight() == 2).await;

    server.stop();
    assert!(idle.is_closed().await, "an idle connection is closed at once");
    assert!(TcpStream::connect(server.http_address).await.is_err(), "nobody new comes in");
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
async fn a_connection_of_age_is_told_to_close() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone())
        .options(|options| options.max_connection_age = Duration::from_millis(30))
        .start()
        .await;
    let mut idle = server.http().await;
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &images::png()).await;

    assert!(idle.is_closed().await, "an idle one is closed");
    network.release();

    let answer = busy.answer("POST").await;
    assert_eq!(answer.status, 200, "a busy one is answered first");
    assert!(busy.is_closed().await);
    assert_eq!(server.http().await.get("/livez").await.status, 200, "and a new one is welcome");
}
