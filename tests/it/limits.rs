//! What one client takes is bounded, and does not keep the others out: memory, time, decoding, places at the door.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use futures_util::poll;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::{body::Frame, client::conn::http2::SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::{DoorOptions, grpc::proto::ClassifyRequest},
    service::{Priority, Request, RequestLimits, TraceContext, Wanted},
};
use tokio::{io::AsyncReadExt as _, net::TcpStream, task::JoinHandle};
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::support::{
    PATIENCE, eventually, images,
    server::{MODEL, TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";
const MIB: usize = 1 << 20;

fn answering() -> ScriptedExecutor {
    ScriptedExecutor::answering(&logits())
}

#[tokio::test]
async fn bodies_that_are_only_announced_keep_nobody_out() {
    let limits = RequestLimits { max_in_flight_bytes: 33 * MIB, ..RequestLimits::default() };
    let server = TestServer::builder(answering()).limits(limits).start().await;
    let mut silent = Vec::new();
    for transfer in ["content-length: 33000000", "transfer-encoding: chunked"].into_iter().cycle().take(40) {
        let mut http = server.http().await;
        http.send_raw(format!("POST {CLASSIFY} HTTP/1.1\r\nhost: x\r\n{transfer}\r\n\r\n").as_bytes()).await;
        if transfer.ends_with("chunked") {
            http.send_raw(format!("9c40\r\n{}\r\n", "x".repeat(40_000)).as_bytes()).await;
        }
        silent.push(http);
    }
    eventually("their bytes are charged", || server.service.in_flight_bytes() > 20 * 40_000).await;

    let answer = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;

    assert_eq!(answer.status, 200);
    drop(silent);
    eventually("their bytes are free again", || server.service.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn what_does_not_fit_the_account_is_refused_on_both_doors() {
    let limits = RequestLimits { max_in_flight_bytes: MIB, max_body_bytes: MIB, ..RequestLimits::default() };
    let server = TestServer::builder(answering()).limits(limits).start().await;
    let large = vec![0; MIB - 1000];

    let answer = server.http().await.post(CLASSIFY, "image/png", &large).await;
    let message = answer.refusal(429, "OVERLOADED");
    assert!(message.contains("1048576"), "{message}");

    let request = ClassifyRequest { model: "pets".into(), images: vec![large.into()], ..ClassifyRequest::default() };
    let refused = server.grpc().await.classify(request).await.expect_err("no room");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    assert_eq!(refused.metadata().get("x-error-code").map(|code| code.as_bytes()), Some(&b"OVERLOADED"[..]));
    eventually("nothing is left charged", || server.service.in_flight_bytes() == 0).await;
}

/// A call of HTTP/2 with this body, which ends or never does, and a task that waits for the end of its answer.
fn begin(
    client: &mut SendRequest<BoxBody<Bytes, Infallible>>,
    (path, body, ends): (&str, &Bytes, bool),
) -> JoinHandle<hyper::HeaderMap> {
    let body = tokio_stream::once(Ok(Frame::data(body.clone())));
    let body = match ends {
        true => BoxBody::new(StreamBody::new(body)),
        false => BoxBody::new(StreamBody::new(body.chain(tokio_stream::pending()))),
    };
    let request = hyper::Request::post(format!("http://test{path}")).header("te", "trailers");
    let kind = if path == CLASSIFY { "image/png" } else { "application/grpc" };
    let request = request.header("content-type", kind).body(body).expect("a request");
    let answer = client.send_request(request);
    tokio::spawn(async move {
        let answer = answer.await.expect("an answer");
        let headers = answer.headers().clone();
        let rest = answer.into_body().collect().await.expect("its end");
        rest.trailers().cloned().unwrap_or(headers)
    })
}

/// Each kind fills the account by itself, over one connection, and sends no more.
#[tokio::test]
async fn calls_that_only_wait_keep_nobody_out_on_either_door() {
    // What 32 calls take, and a little for what they have sent.
    let limits = RequestLimits { max_in_flight_bytes: MIB + 4000, ..RequestLimits::default() };
    let (message, item) = (Bytes::from_static(&[0, 1, 0, 0, 0, 7]), Bytes::from_static(&[0, 0, 0, 0, 3, 10, 1, b'a']));
    let (classifier, empty) = ("/resnetd.v1.Classifier", Bytes::from_static(&[0; 5]));
    // Asked for the services there are, reflection answers and waits for the next question. An empty question would end the call.
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let services = Bytes::from_static(&[0, 0, 0, 0, 3, 0x3a, 1, b'*']);
    let mut full = Vec::new();
    for (path, body, ends) in [
        (CLASSIFY.to_owned(), &message, false),
        (format!("{classifier}/Classify"), &message, false),
        (format!("{classifier}/ClassifyStream"), &message, false),
        (format!("{classifier}/ClassifyStream"), &item, false),
        (reflection.to_owned(), &services, false),
        ("/grpc.health.v1.Health/Watch".to_owned(), &empty, true),
    ] {
        let server = TestServer::builder(answering()).limits(limits).start().await;
        let address = if path == CLASSIFY { server.http_address } else { server.grpc_address };
        let stream = TokioIo::new(TcpStream::connect(address).await.expect("the door is open"));
        let (mut client, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let calls: Vec<_> = (0..32).map(|_| begin(&mut client, (&path, body, ends))).collect();
        eventually(&format!("the account is full of {path}"), || server.service.in_flight_bytes() >= MIB).await;
        full.push((path, server, calls, client));
    }

    for (path, server, calls, _client) in full {
        let serve =
            async { while server.http().await.post(CLASSIFY, "image/png", &images::png()).await.status != 200 {} };
        tokio::time::timeout(PATIENCE, serve).await.unwrap_or_else(|_| panic!("kept out by {path}"));
        eventually("one of them is ended for it", || calls.iter().any(JoinHandle::is_finished)).await;
        let given_up = calls.into_iter().find(JoinHandle::is_finished).expect("one").await.expect("no panic");
        let status = given_up.get("grpc-status").map(|status| status.as_bytes());
        // tonic-reflection ends its answer without a word when its questions end in an error.
        assert!(path == CLASSIFY || path == reflection || status == Some(b"8"), "{path}: {given_up:?}");
    }
}

/// Their windows stay shut, or let one byte through, so that no answer comes to its end; what others need is taken from them.
#[tokio::test]
async fn whoever_never_reads_answers_keeps_nobody_out_and_is_cut() {
    let limits = RequestLimits { max_in_flight_bytes: MIB, ..RequestLimits::default() };
    for (path, window) in [("/grpc.health.v1.Health/Check", 1), ("/livez", 1), ("/livez", 0)] {
        let server = TestServer::builder(answering()).limits(limits).start().await;
        let address = if path == "/livez" { server.http_address } else { server.grpc_address };
        let stream = TokioIo::new(TcpStream::connect(address).await.expect("the door is open"));
        let mut shut = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        shut.initial_stream_window_size(window);
        let (mut client, connection) = shut.handshake(stream).await.expect("HTTP/2");
        tokio::spawn(connection);
        let body = Bytes::from_static(&[0; 5]);
        let unread: Vec<_> = (0..32)
            .map(|_| {
                let request = hyper::Request::post(format!("http://test{path}")).header("te", "trailers");
                let kind = if path == "/livez" { "text/plain" } else { "application/grpc" };
                let request = request.header("content-type", kind).body(Full::new(body.clone()));
                tokio::spawn(client.send_request(request.expect("a request")))
            })
            .collect();
        eventually("their answers are charged", || server.service.in_flight_bytes() >= MIB).await;

        let serve = async {
            while server.http().await.post(CLASSIFY, "image/png", &images::png()).await.status != 200 {}
            // As long as others need more than there is.
            let mut others = Vec::new();
            while !client.is_closed() {
                others.extend(server.service.open_charge());
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, serve).await.unwrap_or_else(|_| panic!("kept out by {path}"));
        drop(unread);
        eventually("all is free again", || server.service.in_flight_bytes() == 0).await;
    }
}

#[tokio::test]
async fn uploads_that_stop_keep_nobody_out() {
    let limits = RequestLimits { max_in_flight_bytes: MIB, ..RequestLimits::default() };
    let server = TestServer::builder(answering()).limits(limits).start().await;
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut http = server.http().await;
        http.send_raw(format!("POST {CLASSIFY} HTTP/1.1\r\nhost: x\r\ncontent-length: 200000\r\n\r\n").as_bytes())
            .await;
        http.send_raw(&[0; 100_000]).await;
        silent.push(http);
    }
    eventually("the account is full", || server.service.in_flight_bytes() > MIB - 132_000).await;

    let photo = vec![0; 150_000];
    let serve = async { while server.http().await.post(CLASSIFY, "image/png", &photo).await.status == 429 {} };

    tokio::time::timeout(PATIENCE, serve).await.expect("it is taken in");
    drop(silent);
    eventually("all is free again", || server.service.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn a_request_without_a_deadline_gets_the_servers() {
    let limits = RequestLimits { default_timeout: Some(Duration::from_millis(50)), ..RequestLimits::default() };
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).limits(limits).start().await;
    server.http().await.post(CLASSIFY, "image/png", &images::png()).await.refusal(504, "DEADLINE_EXCEEDED");
    network.release();
}

#[tokio::test]
async fn a_deadline_is_never_later_than_allowed() {
    let limits = RequestLimits { max_timeout: Duration::from_millis(50), ..RequestLimits::default() };
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).limits(limits).start().await;
    let path = format!("{CLASSIFY}?timeout_ms=3600000");
    server.http().await.post(&path, "image/png", &images::png()).await.refusal(504, "DEADLINE_EXCEEDED");
    network.release();
}

#[tokio::test]
async fn a_request_of_too_many_pixels_is_refused_before_anything_is_decoded() {
    let limits = RequestLimits { max_request_pixels: 2 * 64, ..RequestLimits::default() };
    let server = TestServer::builder(answering()).limits(limits).start().await;
    let request =
        |count| ClassifyRequest { model: "pets".into(), images: vec![images::png(); count], ..Default::default() };
    server.grpc().await.classify(request(2)).await.expect("two fit");
    let refused = server.grpc().await.classify(request(3)).await.expect_err("three do not");
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.message().contains("192 pixels") && refused.message().contains("128"), "{}", refused.message());
}

#[tokio::test]
async fn a_full_door_closes_an_idle_connection_and_serves_the_new_one() {
    let server = TestServer::builder(answering()).options(|options| options.max_connections = 2).start().await;
    let mut idlest = server.http().await;
    assert_eq!(idlest.get("/livez").await.status, 200);
    let mut idle = server.http().await;
    assert_eq!(idle.get("/livez").await.status, 200);

    let mut newcomer = server.http().await;

    assert_eq!(newcomer.get("/livez").await.status, 200);
    assert!(idlest.is_closed().await);
    assert_eq!(newcomer.post(CLASSIFY, "image/png", &images::png()).await.status, 200);
    assert_eq!(idle.get("/livez").await.status, 200, "the other one stays");
    let metrics = String::from_utf8(newcomer.get("/metrics").await.body).expect("text");
    assert!(metrics.contains("resnetd_full_door_total{door=\"http\"} 1"), "{metrics}");
    assert!(metrics.contains("resnetd_connections{door=\"http\"} 2"), "{metrics}");
}

#[tokio::test]
async fn a_probe_is_answered_although_every_place_is_taken_by_work() {
    let network = ScriptedExecutor::blocked(&logits());
    let with_pages = |options: &mut DoorOptions| {
        (options.max_connections, options.cors_origins) = (1, vec!["https://example.com".to_owned()]);
    };
    let server = TestServer::builder(network.clone()).options(with_pages).start().await;
    let mut working = server.http().await;
    working.send("POST", CLASSIFY, &[("content-type", "image/png")], &images::png()).await;
    eventually("the request is in flight", || server.in_flight() == 1).await;

    let mut newcomer = server.http().await;

    assert_eq!(newcomer.get("/livez").await.status, 200);
    assert_eq!(newcomer.get("/readyz").await.status, 200);
    let refused = newcomer.request("GET", "/v1/models", &[("origin", "https://example.com")], b"").await;
    assert!(refused.refusal(503, "UNAVAILABLE").contains("max_connections"));
    // A page that may read answers learns when to come again.
    assert_eq!(refused.header("access-control-allow-origin"), Some("https://example.com"));
    assert!(refused.header("retry-after").is_some());
    network.release();
    assert_eq!(working.answer("POST").await.status, 200);
    drop(working);
    let mut status = 0;
    while status != 200 {
        status = newcomer.get("/v1/models").await.status;
    }
}

#[tokio::test]
async fn a_silent_connection_is_closed_on_both_doors_and_a_working_one_is_not() {
    let network = ScriptedExecutor::blocked(&logits());
    let idle = Duration::from_millis(100);
    let server = TestServer::builder(network.clone()).options(|options| options.idle_timeout = idle).start().await;
    let mut working = server.http().await;
    working.send("POST", CLASSIFY, &[("content-type", "image/png")], &images::png()).await;
    let mut working_grpc = server.grpc().await;
    let call = tokio::spawn(async move {
        let images = vec![images::png()];
        working_grpc.classify(ClassifyRequest { model: "pets".into(), images, ..Default::default() }).await
    });
    eventually("both requests are in flight", || server.in_flight() == 2).await;

    for address in [server.http_address, server.grpc_address] {
        let mut silent = TcpStream::connect(address).await.expect("the door is open");
        // A gRPC door greets with its settings first.
        let mut greeting = Vec::new();
        let closed = tokio::time::timeout(PATIENCE, silent.read_to_end(&mut greeting)).await;
        closed.expect("closed in time").ok();
    }

    network.release();
    assert_eq!(working.answer("POST").await.status, 200);
    call.await.expect("no panic").expect("an answer");
}

/// All on one thread: what a poll does not give back keeps everybody waiting.
#[tokio::test]
async fn a_request_of_a_thousand_small_pictures_lets_others_in_between() {
    let limits = RequestLimits { max_images_per_request: 1000, ..RequestLimits::default() };
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).limits(limits).capacity(1000).start().await;
    let target = server.service.target(MODEL, None).expect("it is served");
    let request = Request {
        items: (0..1000).map(|_| target.picture(images::png())).collect(),
        target: target.clone(),
        wanted: Wanted::classes(Default::default()),
        deadline: None,
        priority: Priority::DEFAULT,
        client: None,
        charge: server.service.open_charge().expect("there is room"),
        trace: TraceContext::new("test"),
    };
    let mut answering = Box::pin(server.service.answer(request));
    let (mut decoded, mut polls) = (0, 0);
    // One is with the worker.
    while decoded < 999 {
        assert!(poll!(answering.as_mut()).is_pending());
        let depth = target.model().batcher.depth();
        assert!(depth - decoded <= 200, "{} at once", depth - decoded);
        (decoded, polls) = (depth, polls + 1);
        tokio::task::yield_now().await;
    }
    assert!(polls >= 5, "{polls}");
    network.release();
    answering.await.expect("all are answered");
}

/// All on one thread, as above.
#[tokio::test]
async fn a_client_that_sends_many_requests_ahead_lets_others_in_between() {
    const AHEAD: usize = 3000;
    let server = TestServer::start().await;
    let (mut many, mut one) = (server.http().await, server.http().await);
    let answer_bytes = {
        many.send("GET", "/livez", &[], b"").await;
        let bytes = many.unread_bytes().await;
        assert_eq!((many.answer("GET").await.status, one.get("/livez").await.status), (200, 200));
        bytes
    };
    // Both are there before the server's thread, which is this one, looks for either.
    many.send_raw(&b"GET /livez HTTP/1.1\r\nhost: test\r\ncontent-length: 0\r\n\r\n".repeat(AHEAD)).await;
    one.send("GET", "/livez", &[], b"").await;
    assert_eq!(one.answer("GET").await.status, 200);
    let answered = many.unread_bytes().await / answer_bytes;
    assert!(answered <= 32, "{answered} of {AHEAD} came first");
    for _ in 0..AHEAD {
        assert_eq!(many.answer("GET").await.status, 200);
    }
}
