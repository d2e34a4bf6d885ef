//! What is no call, no message, or a packed one: refused or read in gRPC's own form.

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use prost::Message as _;
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{ClassifyRequest, ClassifyResponse, GetModelRequest},
    service::RequestLimits,
};
use tonic::Code;

use crate::{
    grpc_classify::request,
    support::{
        grpc::{CLASSIFY, call_with, framed},
        server::{TestServer, logits},
    },
};

const STREAM: &str = "/resnetd.v1.Classifier/ClassifyStream";

fn code(code: Code) -> String {
    (code as i32).to_string()
}

fn message() -> Bytes {
    framed(0, &request().encode_to_vec())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::new(6));
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

/// The counter of requests over gRPC that were refused with this code before their model was known.
fn refused(server: &TestServer, code: &str) -> u32 {
    let line = format!(r#"resnetd_requests_total{{model="",version="",protocol="grpc",code="{code}"}} "#);
    let text = server.service.metrics_text();
    text.lines().find_map(|found| found.strip_prefix(&line)?.parse().ok()).unwrap_or(0)
}

#[tokio::test]
async fn what_is_no_protobuf_is_an_invalid_argument_and_counted() {
    let server = TestServer::start().await;
    for (path, counts) in [
        (CLASSIFY, true),
        (STREAM, true),
        ("/resnetd.v1.Classifier/GetModel", false),
        ("/grpc.health.v1.Health/Check", false),
        ("/grpc.health.v1.Health/Watch", false),
    ] {
        let before = refused(&server, "INVALID_ARGUMENT");
        let answer = call_with(&server, path, &[], framed(0, b"\xff\xff\xff no protobuf")).await;
        assert_eq!(answer.get("grpc-status"), code(Code::InvalidArgument), "{path}: {}", answer.get("grpc-message"));
        assert_eq!(answer.get("x-error-code"), "INVALID_ARGUMENT", "{path}");
        assert_ne!(answer.get("x-request-id"), "none", "{path}");
        assert_eq!(refused(&server, "INVALID_ARGUMENT") - before, u32::from(counts), "{path}");
    }
}

#[tokio::test]
async fn a_unary_call_has_one_message() {
    let server = TestServer::start().await;
    for (body, part) in [
        ([message(), message()].concat().into(), "second"),
        (Bytes::new(), ""),
        (message().slice(..20), "ended before"),
        (message().slice(..3), "ended before"),
        (framed(7, b"x"), "begins with 7"),
        (framed(1, b"x"), "no grpc-encoding"),
    ] {
        let answer = call_with(&server, CLASSIFY, &[], body).await;
        assert_eq!(answer.get("grpc-status"), code(Code::InvalidArgument), "{part}: {}", answer.get("grpc-message"));
        assert_eq!(answer.get("x-error-code"), "INVALID_ARGUMENT", "{part}");
        assert!(answer.get("grpc-message").replace("%20", " ").contains(part), "{}", answer.get("grpc-message"));
    }
    assert_eq!(refused(&server, "INVALID_ARGUMENT"), 6);
    assert_eq!(call_with(&server, CLASSIFY, &[], message()).await.get("grpc-status"), "0");
}

#[tokio::test]
async fn what_is_no_grpc_is_refused_for_grpc_and_for_http() {
    let server = TestServer::start().await;
    for (header, http, status, name) in [
        (("content-type", "application/json"), 415, Code::InvalidArgument, "UNSUPPORTED_FORMAT"),
        (("content-type", "application/grpc+json"), 415, Code::InvalidArgument, "UNSUPPORTED_FORMAT"),
        (("content-type", "application/grpc-web"), 415, Code::InvalidArgument, "UNSUPPORTED_FORMAT"),
        ((":method", "GET"), 405, Code::InvalidArgument, "INVALID_ARGUMENT"),
    ] {
        let answer = call_with(&server, CLASSIFY, &[header], message()).await;
        assert_eq!((answer.http.as_u16(), answer.get("grpc-status")), (http, &*code(status)), "{header:?}");
        assert_eq!(answer.get("x-error-code"), name, "{header:?}");
        assert_ne!(answer.get("x-request-id"), "none", "{header:?}");
    }
    for content_type in ["application/grpc", "application/grpc+proto", "Application/GRPC; charset=utf-8"] {
        let answer = call_with(&server, CLASSIFY, &[("content-type", content_type)], message()).await;
        assert_eq!(answer.get("grpc-status"), "0", "{content_type}: {}", answer.get("grpc-message"));
    }
}

#[tokio::test]
async fn an_unknown_method_is_unimplemented_and_named() {
    let server = TestServer::start().await;
    let answer = call_with(&server, "/resnetd.v1.Classifier/Clasify", &[], message()).await;
    assert_eq!(answer.get("grpc-status"), code(Code::Unimplemented));
    assert!(answer.get("grpc-message").contains("Clasify"), "{}", answer.get("grpc-message"));
}

#[tokio::test]
async fn packed_messages_are_read_and_packed_answers_sent() {
    let server = TestServer::start().await;
    let plain = request().encode_to_vec();
    let zstd = zstd::bulk::compress(&plain, 3).expect("memory");
    for (name, packed) in [("gzip", gzip(&plain)), ("zstd", zstd)] {
        let headers = [("grpc-encoding", name), ("grpc-accept-encoding", name)];
        let answer = call_with(&server, CLASSIFY, &headers, framed(1, &packed)).await;
        assert_eq!(answer.get("grpc-status"), "0", "{name}: {}", answer.get("grpc-message"));
        assert_eq!(answer.get("grpc-encoding"), name);
        let response = ClassifyResponse::decode(&answer.body[5..]).expect("a short answer is not packed");
        assert_eq!(response.predictions.len(), 1);
    }
    // Long enough to be packed: a picture for each entry of the answer.
    let many = ClassifyRequest { images: vec![request().images[0].clone(); 40], ..request() }.encode_to_vec();
    let whole = call_with(&server, CLASSIFY, &[], framed(0, &many)).await.body.len();
    let answer = call_with(&server, CLASSIFY, &[("grpc-accept-encoding", "gzip")], framed(0, &many)).await;
    assert_eq!(answer.body[0], 1, "it is packed");
    assert!(answer.body.len() * 2 < whole, "{} of {whole}", answer.body.len());
    let mut unpacked = Vec::new();
    GzDecoder::new(&answer.body[5..]).read_to_end(&mut unpacked).expect("whole gzip");
    assert_eq!(ClassifyResponse::decode(&*unpacked).expect("an answer").predictions.len(), 40);
}

#[tokio::test]
async fn a_stream_takes_packed_messages_among_others() {
    use resnetd::server::grpc::proto::{ClassifyStreamRequest, ClassifyStreamResponse};
    let server = TestServer::start().await;
    let item =
        |id: &str| ClassifyStreamRequest { id: id.to_owned(), request: Some(request()), timeout_ms: 0 }.encode_to_vec();
    let body = [framed(1, &gzip(&item("1"))), framed(0, &item("2")), framed(1, &gzip(&item("3")))].concat();
    let answer = call_with(&server, STREAM, &[("grpc-encoding", "gzip")], body.into()).await;
    assert_eq!(answer.get("grpc-status"), "0", "{}", answer.get("grpc-message"));
    let (mut rest, mut ids) = (&answer.body[..], Vec::new());
    while !rest.is_empty() {
        let length = u32::from_be_bytes(rest[1..5].try_into().expect("four bytes")) as usize;
        ids.push(ClassifyStreamResponse::decode(&rest[5..5 + length]).expect("an answer").id);
        rest = &rest[5 + length..];
    }
    ids.sort_unstable();
    assert_eq!(ids, ["1", "2", "3"]);
}

#[tokio::test]
async fn the_limit_of_a_message_holds_for_what_comes_out_of_it() {
    let limits = RequestLimits { max_body_bytes: 100_000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let large = ClassifyRequest { images: vec![vec![0; 50 << 20].into()], ..request() }.encode_to_vec();
    let zstd = zstd::bulk::compress(&large, 3).expect("memory");
    for (name, bomb) in [("gzip", gzip(&large)), ("zstd", zstd)] {
        for path in [CLASSIFY, STREAM] {
            let answer = call_with(&server, path, &[("grpc-encoding", name)], framed(1, &bomb)).await;
            assert_eq!(answer.get("grpc-status"), code(Code::ResourceExhausted), "{name} {path}");
            assert_eq!(answer.get("x-error-code"), "TOO_LARGE", "{name} {path}");
            assert!(answer.get("grpc-message").contains("100000"), "{}", answer.get("grpc-message"));
        }
    }
}

#[tokio::test]
async fn a_coding_that_is_not_read_is_unimplemented_with_those_that_are() {
    let server = TestServer::start().await;
    let answer = call_with(&server, CLASSIFY, &[("grpc-encoding", "snappy")], message()).await;
    assert_eq!(answer.get("grpc-status"), code(Code::Unimplemented));
    assert_eq!(answer.get("x-error-code"), "UNSUPPORTED_FORMAT");
    assert!(answer.get("grpc-accept-encoding").contains("gzip"));
}

#[tokio::test]
async fn no_message_repeats_more_than_200_characters_of_a_call() {
    let server = TestServer::start().await;
    let huge = "x".repeat(8 << 20);
    let long = "x".repeat(8_000);
    let classify = ClassifyRequest { model: huge.clone(), ..request() }.encode_to_vec();
    let get = GetModelRequest { name: huge.clone(), version: 0, version_label: String::new() }.encode_to_vec();
    let check = tonic_health::pb::HealthCheckRequest { service: long.clone() }.encode_to_vec();
    let large_check = tonic_health::pb::HealthCheckRequest { service: huge }.encode_to_vec();
    let reflect = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::FileContainingSymbol(long.clone()),
        ),
    };
    for (path, headers, message) in [
        (CLASSIFY.to_owned(), vec![], classify),
        ("/resnetd.v1.Classifier/GetModel".to_owned(), vec![], get),
        ("/grpc.health.v1.Health/Check".to_owned(), vec![], check),
        ("/grpc.health.v1.Health/Check".to_owned(), vec![], large_check),
        ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned(), vec![], reflect.encode_to_vec()),
        (format!("/{long}/x"), vec![], vec![]),
        (CLASSIFY.to_owned(), vec![("grpc-timeout", &*long)], request().encode_to_vec()),
        (CLASSIFY.to_owned(), vec![("grpc-encoding", &*long)], request().encode_to_vec()),
        (CLASSIFY.to_owned(), vec![("content-type", &*long)], request().encode_to_vec()),
    ] {
        let answer = call_with(&server, &path, &headers, framed(0, &message)).await;
        let text = answer.get("grpc-message");
        assert_ne!(answer.get("grpc-status"), "0", "{path:.100}");
        assert_ne!(answer.get("x-error-code"), "none", "{path:.100}: {text}");
        let repeated = text.matches('x').count();
        assert!(repeated <= 210 && text.len() < 900, "{repeated} in {text:.1200}");
    }
}
