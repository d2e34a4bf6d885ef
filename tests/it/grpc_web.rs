//! gRPC-Web on the HTTP port: what a page in a browser sends and gets, over HTTP/1.1 and by hand.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use prost::Message as _;
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{ClassifyRequest, ClassifyResponse, ClassifyStreamRequest, ClassifyStreamResponse},
    service::RequestLimits,
};
use tonic_health::pb::HealthCheckRequest;

use crate::{
    grpc_classify::request,
    support::{
        eventually,
        grpc::{CLASSIFY, call_at, framed},
        http::{Answer, HttpClient},
        images,
        server::{TestServer, logits},
    },
};

const WEB: &str = "application/grpc-web+proto";
const TEXT: &str = "application/grpc-web-text";
const STREAM: &str = "/resnetd.v1.Classifier/ClassifyStream";
const WATCH: &str = "/grpc.health.v1.Health/Watch";

/// Before each message.
const HEAD_BYTES: usize = 5;

fn message() -> Bytes {
    framed(0, &request().encode_to_vec())
}

/// The messages of a body, and what its last one, the trailers, says of each name.
fn taken_apart(mut body: &[u8]) -> (Vec<Bytes>, Vec<(String, String)>) {
    let (mut messages, mut trailers) = (Vec::new(), Vec::new());
    while let [flag, a, b, c, d, rest @ ..] = body {
        assert!(trailers.is_empty(), "nothing stands behind the trailers");
        let (content, rest) = rest.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        match flag {
            0 => messages.push(Bytes::copy_from_slice(content)),
            0x80 => {
                let text = std::str::from_utf8(content).expect("text");
                let lines = text.split_terminator("\r\n").map(|line| line.split_once(':').expect("a name and a value"));
                trailers = lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
                assert!(!trailers.is_empty());
            }
            flag => panic!("a message of kind {flag}"),
        }
        body = rest;
    }
    assert!(body.is_empty(), "half a message: {body:?}");
    (messages, trailers)
}

/// A name's value in the trailers, or in the headers of an answer that has nothing else.
fn value<'a>(answer: &'a Answer, trailers: &'a [(String, String)], name: &str) -> &'a str {
    let trailer = trailers.iter().find(|(known, _)| known == name).map(|(_, value)| &**value);
    trailer.or(answer.header(name)).unwrap_or("none")
}

async fn call(http: &mut HttpClient, body: &[u8]) -> (Answer, Vec<Bytes>, Vec<(String, String)>) {
    let answer = http.post(CLASSIFY, WEB, body).await;
    let (messages, trailers) = taken_apart(&answer.body);
    (answer, messages, trailers)
}

#[tokio::test]
async fn a_picture_is_classified_over_http_1() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for _ in 0..2 {
        let (answer, messages, trailers) = call(&mut http, &message()).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(WEB)));
        assert_eq!(value(&answer, &trailers, "grpc-status"), "0");
        assert_ne!(value(&answer, &trailers, "x-request-id"), "none");
        let [message] = &*messages else { panic!("one message") };
        let response = ClassifyResponse::decode(message.clone()).expect("an answer");
        assert_eq!(response.predictions[0].classes[0].label, "tabby");
    }
    assert_eq!(http.post("/v1/models/pets:classify", "image/png", &images::png()).await.status, 200);
    let counted = r#"resnetd_requests_total{model="pets",version="3",protocol="grpc",code="OK"} 2"#;
    assert!(server.service.metrics_text().contains(counted));
    eventually("all memory is given back", || server.service.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn the_same_as_text() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let answer = http.post(CLASSIFY, TEXT, STANDARD.encode(message()).as_bytes()).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/grpc-web-text+proto")));
    // Each piece is padded by itself.
    let body: Vec<u8> = answer.body.chunks(4).flat_map(|four| STANDARD.decode(four).expect("base64")).collect();
    let (messages, trailers) = taken_apart(&body);
    assert_eq!(value(&answer, &trailers, "grpc-status"), "0");
    assert_eq!(ClassifyResponse::decode(messages[0].clone()).expect("an answer").predictions.len(), 1);
}

#[tokio::test]
async fn over_http_2_the_trailers_are_a_message_as_well() {
    let server = TestServer::start().await;
    let answer = call_at(server.http_address, CLASSIFY, &[("content-type", WEB)], message()).await;
    let (messages, trailers) = taken_apart(&answer.body);
    assert_eq!((answer.http.as_u16(), messages.len(), answer.get("grpc-status")), (200, 1, "none"));
    assert!(trailers.contains(&("grpc-status".to_owned(), "0".to_owned())), "{trailers:?}");
}

#[tokio::test]
async fn many_requests_in_one_body_are_answered_in_one() {
    let server = TestServer::start().await;
    let item = |id: &str| ClassifyStreamRequest { id: id.to_owned(), request: Some(request()), timeout_ms: 0 };
    let body = ["1", "2", "3"].map(|id| framed(0, &item(id).encode_to_vec())).concat();
    let answer = server.http().await.post(STREAM, WEB, &body).await;
    let (messages, trailers) = taken_apart(&answer.body);
    let mut ids: Vec<_> =
        messages.into_iter().map(|message| ClassifyStreamResponse::decode(message).expect("an answer").id).collect();
    ids.sort();
    assert_eq!(ids, ["1", "2", "3"]);
    assert_eq!(value(&answer, &trailers, "grpc-status"), "0");
}

#[tokio::test]
async fn a_watch_goes_on_until_the_server_leaves() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let body = framed(0, &HealthCheckRequest::default().encode_to_vec());
    http.send("POST", WATCH, &[("content-type", WEB)], &body).await;
    assert_eq!(http.answer("HEAD").await.status, 200);
    let mut serving = Vec::new();
    while serving.len() < HEAD_BYTES + 2 {
        serving.extend(http.chunk().await.expect("a state"));
    }
    assert_eq!(taken_apart(&serving).0[0], [8, 1][..], "SERVING");
    server.stop();
    let mut rest = Vec::new();
    while let Some(chunk) = http.chunk().await {
        rest.extend_from_slice(&chunk);
    }
    let (_, trailers) = taken_apart(&rest);
    assert!(trailers.contains(&("grpc-status".to_owned(), "14".to_owned())), "{trailers:?}");
    assert!(server.left().await.is_ok());
}

#[tokio::test]
async fn bad_bodies_are_refused_with_a_status_and_the_connection_goes_on() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let many = ClassifyRequest { images: vec![images::png(); 65], ..request() }.encode_to_vec();
    for (content_type, body, code, name) in [
        (WEB, framed(0x80, b"grpc-status:0\r\n"), "3", "INVALID_ARGUMENT"),
        (WEB, framed(1, b"packed?"), "3", "INVALID_ARGUMENT"),
        (WEB, message().slice(..3), "3", "INVALID_ARGUMENT"),
        (WEB, message().slice(..20), "3", "INVALID_ARGUMENT"),
        (WEB, [message(), message()].concat().into(), "3", "INVALID_ARGUMENT"),
        (WEB, Bytes::new(), "3", "INVALID_ARGUMENT"),
        (WEB, framed(0, b"\xff\xff\xff"), "3", "INVALID_ARGUMENT"),
        (WEB, framed(0, &many), "8", "TOO_LARGE"),
        (TEXT, message(), "3", "INVALID_ARGUMENT"),
        (TEXT, STANDARD.encode(message())[..41].to_owned().into(), "3", "INVALID_ARGUMENT"),
        ("application/grpc-web+json", message(), "3", "UNSUPPORTED_FORMAT"),
    ] {
        let answer = http.post(CLASSIFY, content_type, &body).await;
        let (_, trailers) = match answer.header("content-type") {
            Some("application/grpc-web-text+proto") => Default::default(),
            _ => taken_apart(&answer.body),
        };
        assert_eq!(value(&answer, &trailers, "grpc-status"), code, "{content_type} {body:?}");
        assert_eq!(value(&answer, &trailers, "x-error-code"), name, "{content_type} {body:?}");
        let message = value(&answer, &trailers, "grpc-message");
        assert!(message != "none" && !message.contains("tonic"), "{message}");
    }
    let long = "a".repeat(40_000);
    let answer = http.request("POST", CLASSIFY, &[("content-type", WEB), ("x-long", &long)], &message()).await;
    assert_eq!(answer.header("x-error-code"), Some("TOO_LARGE"));
    let answer = http.request("GET", CLASSIFY, &[("content-type", WEB)], b"").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert_eq!(call(&mut http, &message()).await.1.len(), 1);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_is_read() {
    let limits = RequestLimits { max_body_bytes: 1000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let mut http = server.http().await;
    // Longer than what is passed over: the connection ends, and the client still gets its answer.
    http.send("POST", CLASSIFY, &[("content-type", WEB)], &framed(0, &vec![0; 200_000])).await;
    let answer = http.answer("POST").await;
    let (_, trailers) = taken_apart(&answer.body);
    assert_eq!(value(&answer, &trailers, "x-error-code"), "TOO_LARGE");
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_head_that_two_could_read_differently_ends_the_connection() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    http.send_raw(format!("POST {CLASSIFY} HTTP/1.1\r\ncontent-type: {WEB}\r\ncontent-length: 0\r\n\r\n").as_bytes())
        .await;
    let answer = http.answer("POST").await;
    assert_eq!((answer.header("x-error-code"), answer.header("connection")), (Some("INVALID_ARGUMENT"), Some("close")));
}

#[tokio::test]
async fn a_client_that_left_gives_up_its_place() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut first = server.http().await;
    first.send("POST", CLASSIFY, &[("content-type", WEB)], &message()).await;
    eventually("a worker holds the first", || server.in_flight() == 1).await;
    let mut second = server.http().await;
    second.send("POST", CLASSIFY, &[("content-type", WEB)], &message()).await;
    eventually("the second waits", || server.in_flight() == 2).await;
    drop(second);
    eventually("it is gone", || server.in_flight() == 1).await;
    network.release();
    assert_eq!(first.answer("POST").await.status, 200);
}

#[tokio::test]
async fn pages_may_call_where_the_configuration_names_their_origin() {
    let origin = ("origin", "https://example.com");
    let asks = [
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type,x-grpc-web"),
    ];
    let open = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.cors_origins = vec!["https://example.com".to_owned()])
        .start()
        .await;
    let closed = TestServer::start().await;
    for (server, allowed) in [(&open, Some("https://example.com")), (&closed, None)] {
        let mut http = server.http().await;
        let preflight = http.request("OPTIONS", CLASSIFY, &asks, b"").await;
        assert_eq!(preflight.header("access-control-allow-origin"), allowed);
        let answer = http.request("POST", CLASSIFY, &[origin, ("content-type", WEB)], &message()).await;
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert_eq!(taken_apart(&answer.body).0.len(), 1, "the page is what the browser keeps from reading");
    }
}
