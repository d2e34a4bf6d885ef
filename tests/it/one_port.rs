//! gRPC on the HTTP port: the same services, refusals, metrics, account of memory and drain as on its own.

use std::time::Duration;

use prost::Message as _;
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{
        ClassifyRequest, ClassifyResponse, ClassifyStreamRequest, GetModelRequest, ListModelsRequest,
        classifier_client::ClassifierClient,
        inference::{ServerReadyRequest, grpc_inference_service_client::GrpcInferenceServiceClient},
    },
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::{
    grpc_classify::request,
    support::{
        PATIENCE, eventually,
        grpc::{CLASSIFY, call_at, framed},
        images,
        server::{TestServer, channel, logits},
    },
};

async fn classifier(server: &TestServer) -> ClassifierClient<Channel> {
    ClassifierClient::new(channel(server.http_address).await)
}

#[tokio::test]
async fn every_kind_of_call_is_answered_beside_http() {
    let server = TestServer::start().await;
    let mut grpc = classifier(&server).await;
    let answer = grpc.classify(request()).await.expect("an answer").into_inner();
    assert_eq!(answer.predictions[0].classes[0].label, "tabby");
    assert_eq!(grpc.list_models(ListModelsRequest {}).await.expect("a list").into_inner().models.len(), 2);
    let unknown = grpc.get_model(GetModelRequest { name: "plants".to_owned(), ..GetModelRequest::default() }).await;
    assert_eq!(unknown.expect_err("unknown").code(), Code::NotFound);

    let items =
        ["1", "2", "3"].map(|id| ClassifyStreamRequest { id: id.to_owned(), request: Some(request()), timeout_ms: 0 });
    let mut answers = grpc.classify_stream(tokio_stream::iter(items)).await.expect("a stream").into_inner();
    let mut count = 0;
    while answers.message().await.expect("open").is_some() {
        count += 1;
    }
    assert_eq!(count, 3);

    let mut inference = GrpcInferenceServiceClient::new(channel(server.http_address).await);
    assert!(inference.server_ready(ServerReadyRequest {}).await.expect("an answer").into_inner().ready);
    let mut health = HealthClient::new(channel(server.http_address).await);
    let of = HealthCheckRequest { service: "pets".to_owned() };
    assert_eq!(health.check(of).await.expect("a health").into_inner().status(), ServingStatus::Serving);

    let picture = server.http().await.post("/v1/models/pets:classify", "image/png", &images::png()).await;
    assert_eq!(picture.status, 200);
    let metrics = server.service.metrics_text();
    // The stream's requests count one by one.
    for line in [
        r#"resnetd_requests_total{model="pets",version="3",protocol="grpc",code="OK"} 4"#,
        r#"resnetd_requests_total{model="pets",version="3",protocol="http",code="OK"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    drop((grpc, answers, inference, health));
    eventually("all memory is given back", || server.service.in_flight_bytes() == 0).await;
}

#[tokio::test]
async fn packed_messages_go_both_ways() {
    let server = TestServer::start().await;
    let many = ClassifyRequest { images: vec![images::png(); 40], ..request() }.encode_to_vec();
    let packed = zstd::bulk::compress(&many, 3).expect("memory");
    let headers = [("grpc-encoding", "zstd"), ("grpc-accept-encoding", "zstd")];
    let answer = call_at(server.http_address, CLASSIFY, &headers, framed(1, &packed)).await;
    assert_eq!((answer.get("grpc-status"), answer.get("grpc-encoding"), answer.body[0]), ("0", "zstd", 1));
    let answer = zstd::bulk::decompress(&answer.body[5..], 1 << 20).expect("whole zstd");
    assert_eq!(ClassifyResponse::decode(&*answer).expect("an answer").predictions.len(), 40);
}

#[tokio::test]
async fn refusals_are_those_of_the_grpc_port() {
    let server = TestServer::start().await;
    let message = || framed(0, &request().encode_to_vec());
    for (path, headers, body) in [
        (CLASSIFY, vec![], framed(0, b"\xff\xff\xff no protobuf")),
        (CLASSIFY, vec![], [message(), message()].concat().into()),
        (CLASSIFY, vec![], message().slice(..20)),
        (CLASSIFY, vec![("content-type", "application/grpc+json")], message()),
        (CLASSIFY, vec![(":method", "GET")], message()),
        (CLASSIFY, vec![("grpc-encoding", "snappy")], message()),
        (CLASSIFY, vec![("grpc-timeout", "soon")], message()),
        ("/resnetd.v1.Classifier/Clasify", vec![], message()),
        ("/v1/models/pets:classify", vec![], message()),
    ] {
        let [here, there] = [server.http_address, server.grpc_address].map(|port| {
            let (headers, body) = (headers.clone(), body.clone());
            async move { call_at(port, path, &headers, body).await }
        });
        let (here, there) = (here.await, there.await);
        assert_ne!(here.get("grpc-status"), "0");
        assert_ne!(here.get("x-request-id"), "none");
        for name in ["grpc-status", "grpc-message", "x-error-code", "grpc-status-details-bin", "allow"] {
            assert_eq!(here.get(name), there.get(name), "{name} of {path} {headers:?}");
        }
        assert_eq!(here.http, there.http, "{path} {headers:?}");
    }
}

#[tokio::test]
async fn over_http_1_a_call_is_told_what_it_needs() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let answer = http.post(CLASSIFY, "application/grpc", &framed(0, &request().encode_to_vec())).await;
    assert_eq!((answer.status, answer.header("x-error-code")), (415, Some("UNSUPPORTED_FORMAT")));
    let message = answer.header("grpc-message").expect("a reason");
    assert!(message.contains("HTTP/2") && message.contains("application/grpc-web"), "{message}");
    assert_eq!(http.get("/livez").await.status, 200, "the connection goes on");
}

#[tokio::test]
async fn a_full_port_answers_probes_of_grpc_and_refuses_calls() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).options(|options| options.max_connections = 1).start().await;
    let mut busy = classifier(&server).await;
    let call = tokio::spawn(async move { busy.classify(request()).await });
    eventually("the one place is taken", || server.in_flight() == 1).await;
    let second = channel(server.http_address).await;
    let health = HealthClient::new(second.clone()).check(HealthCheckRequest::default()).await;
    assert_eq!(health.expect("a health").into_inner().status(), ServingStatus::Serving);
    let refused = ClassifierClient::new(second).classify(request()).await.expect_err("full");
    assert_eq!(refused.code(), Code::Unavailable);
    assert!(refused.message().contains("max_connections"), "{refused}");
    network.release();
    assert!(call.await.expect("no panic").is_ok());
}

#[tokio::test]
async fn at_the_end_calls_are_answered_and_streams_told_to_go_elsewhere() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut grpc = classifier(&server).await;
    let mut streaming = grpc.clone();
    let (requests, receiver) = tokio::sync::mpsc::channel(1);
    let item = ClassifyStreamRequest { id: "1".to_owned(), request: Some(request()), timeout_ms: 0 };
    requests.send(item).await.expect("room");
    let mut answers = streaming.classify_stream(ReceiverStream::new(receiver)).await.expect("a stream").into_inner();
    let call = tokio::spawn(async move { grpc.classify(request()).await });
    let mut watch = HealthClient::new(channel(server.http_address).await)
        .watch(HealthCheckRequest::default())
        .await
        .expect("a watch")
        .into_inner();
    assert_eq!(watch.message().await.expect("open").expect("a state").status(), ServingStatus::Serving);
    eventually("both are in flight", || server.in_flight() == 2).await;

    server.stop();
    eventually("nobody new comes in", || std::net::TcpStream::connect(server.http_address).is_err()).await;
    assert!(TcpStream::connect(server.http_address).await.is_err());
    network.release();

    assert!(call.await.expect("no panic").is_ok());
    assert!(answers.message().await.expect("the answer of what was read").is_some());
    assert_eq!(answers.message().await.expect_err("the end").code(), Code::Unavailable);
    let mut last = watch.message().await;
    while let Ok(Some(_)) = last {
        last = watch.message().await;
    }
    assert_eq!(last.expect_err("the end").code(), Code::Unavailable);
    drop(requests);
    assert!(server.left().await.is_ok());
}

#[tokio::test]
async fn a_deadline_holds_here_too() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let body = framed(0, &request().encode_to_vec());
    let answer = call_at(server.http_address, CLASSIFY, &[("grpc-timeout", "50m")], body).await;
    assert_eq!((answer.get("grpc-status"), answer.get("x-error-code")), ("4", "DEADLINE_EXCEEDED"));
    network.release();
    eventually("its place is free", || server.in_flight() == 0).await;
}

#[tokio::test]
async fn a_connection_that_answers_no_ping_is_closed_on_both_ports() {
    const PING: u8 = 6;
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.keepalive_interval = Duration::from_millis(50))
        .options(|options| options.keepalive_timeout = Duration::from_millis(50))
        .start()
        .await;
    for address in [server.http_address, server.grpc_address] {
        let mut stream = TcpStream::connect(address).await.expect("the door is open");
        // What a client begins with: the preface and its settings, none. It acknowledges nothing.
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("it reads");
        // A call that is never sent whole: without one there is nothing to keep alive, and the connection is merely idle.
        stream.write_all(&headers_of_a_call()).await.expect("it reads");
        let mut said = Vec::new();
        let read = timeout(PATIENCE, stream.read_to_end(&mut said)).await.expect("closed in time");
        assert!(read.is_ok() || !said.is_empty());
        let (mut kinds, mut rest) = (Vec::new(), &said[..]);
        while let [a, b, c, kind, _, _, _, _, _, behind @ ..] = rest {
            kinds.push(*kind);
            rest = behind.get(u32::from_be_bytes([0, *a, *b, *c]) as usize..).unwrap_or_default();
        }
        assert!(kinds.contains(&PING), "{kinds:?}");
    }
}

/// A frame of HEADERS for `Classify` that leaves its stream open. No name or value is packed.
fn headers_of_a_call() -> Vec<u8> {
    let fields = [(":method", "POST"), (":scheme", "http"), (":path", CLASSIFY), (":authority", "test")];
    let mut block = Vec::new();
    for (name, value) in fields.into_iter().chain([("content-type", "application/grpc"), ("te", "trailers")]) {
        block.push(0);
        for text in [name, value] {
            block.push(text.len() as u8);
            block.extend_from_slice(text.as_bytes());
        }
    }
    // HEADERS, END_HEADERS, of stream 1.
    [&[0, 0, block.len() as u8, 1, 4, 0, 0, 0, 1][..], &block].concat()
}
