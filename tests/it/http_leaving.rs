//! Clients that close their half of the connection and wait, and clients that leave: at first they look the same.

use resnetd::runtime::scripted::ScriptedExecutor;

use crate::support::{
    eventually, images,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// A request in pieces that a test can send by itself.
fn request(version: &str) -> Vec<u8> {
    let png = images::png();
    let head = format!("POST {CLASSIFY} {version}\r\nhost: test\r\ncontent-length: {}\r\n\r\n", png.len());
    [head.as_bytes(), &png].concat()
}

#[tokio::test]
async fn a_client_that_closed_its_half_is_answered() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut clients = [server.http().await, server.http().await];
    for (http, version) in clients.iter_mut().zip(["HTTP/1.1", "HTTP/1.0"]) {
        http.send_raw(&request(version)).await;
        http.close_sending().await;
    }
    eventually("the requests are in flight", || server.in_flight() == 2).await;
    network.release();
    for http in &mut clients {
        assert_eq!(http.answer("POST").await.status, 200);
        assert!(http.is_closed().await, "there is nobody to go on with");
    }
}

#[tokio::test]
async fn a_client_that_closed_its_half_and_waits_long_is_asked_whether_it_is_there() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut http = server.http().await;
    http.send_raw(&request("HTTP/1.1")).await;
    http.close_sending().await;
    assert_eq!(http.answer("HEAD").await.status, 100, "clients pass over what is not final");
    assert_eq!(server.in_flight(), 1);
    network.release();
    assert_eq!(http.answer("POST").await.status, 200);
}

#[tokio::test]
async fn a_client_that_left_gives_up_its_place() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut http = server.http().await;
    http.send_raw(&request("HTTP/1.1")).await;
    // A worker holds it until it is released; the second one waits in the queue.
    eventually("the request is in flight", || server.in_flight() == 1).await;
    let mut second = server.http().await;
    second.send_raw(&request("HTTP/1.1")).await;
    eventually("both requests are in flight", || server.in_flight() == 2).await;
    drop(second);
    eventually("the place is free", || server.in_flight() == 1).await;
    network.release();
    assert_eq!(http.answer("POST").await.status, 200);
}

#[tokio::test]
async fn a_client_that_left_while_it_sent_gives_up_its_place() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let whole = request("HTTP/1.1");
    http.send_raw(&whole[..whole.len() - 10]).await;
    eventually("memory is taken", || server.service.in_flight_bytes() > 0).await;
    http.close_sending().await;
    assert!(http.answer("POST").await.refusal(400, "INVALID_ARGUMENT").contains("ended before"));
    drop(http);
    eventually("the memory is free", || server.service.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn a_client_that_has_sent_its_next_request_is_there() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut http = server.http().await;
    http.send_raw(&request("HTTP/1.1").repeat(2)).await;
    eventually("the first is in flight", || server.in_flight() == 1).await;
    network.release();
    assert_eq!(http.answer("POST").await.status, 200);
    assert_eq!(http.answer("POST").await.status, 200);
}
