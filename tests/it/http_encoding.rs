//! Bodies as clients pack, mark, name and mangle them.

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use resnetd::{runtime::scripted::ScriptedExecutor, service::RequestLimits};
use serde_json::json;

use crate::support::{
    images,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::new(6));
    packer.write_all(bytes).expect("memory");
    packer.finish().expect("memory")
}

#[tokio::test]
async fn packed_bodies_get_the_same_answer() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let png = images::png();
    let zstd = zstd::bulk::compress(&png, 3).expect("memory");
    let expected = http.post(CLASSIFY, "image/png", &png).await.json()["predictions"].clone();
    for (name, body) in [
        ("gzip", gzip(&png)),
        ("GZIP", gzip(&png)),
        ("x-gzip", gzip(&png)),
        ("identity, gzip", gzip(&png)),
        ("Zstd", zstd),
        ("identity", png.to_vec()),
    ] {
        let answer = http.request("POST", CLASSIFY, &[("content-encoding", name)], &body).await;
        assert_eq!(answer.status, 200, "{name}: {}", answer.json());
        assert_eq!(answer.json()["predictions"], expected, "{name}");
    }
    let document = json!({ "instances": [{ "b64": base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &png) }] });
    let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = http.request("POST", CLASSIFY, &headers, &gzip(document.to_string().as_bytes())).await;
    assert_eq!(answer.json()["predictions"], expected);
}

#[tokio::test]
async fn a_coding_that_is_not_read_is_refused_with_those_that_are() {
    let server = TestServer::start().await;
    for name in ["compress", "gzip, gzip", "x"] {
        let mut http = server.http().await;
        let answer = http.request("POST", CLASSIFY, &[("content-encoding", name)], &images::png()).await;
        assert!(answer.refusal(415, "UNSUPPORTED_FORMAT").contains(name));
        assert_eq!(answer.header("accept-encoding"), Some("gzip, deflate, br, zstd"));
    }
}

#[tokio::test]
async fn the_limit_of_a_body_holds_for_what_comes_out_of_it() {
    let limits = RequestLimits { max_body_bytes: 100_000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let mut http = server.http().await;
    let zeros = vec![0; 50 << 20];
    for (name, bomb) in [("gzip", gzip(&zeros)), ("zstd", zstd::bulk::compress(&zeros, 3).expect("memory"))] {
        assert!(bomb.len() < 100_000, "it passes as it comes");
        let answer = http.request("POST", CLASSIFY, &[("content-encoding", name)], &bomb).await;
        assert!(answer.refusal(413, "TOO_LARGE").contains("100000"));
    }
    let text = http.request("POST", CLASSIFY, &[("content-encoding", "gzip")], &gzip(&zeros[..100_000])).await;
    text.refusal(415, "UNSUPPORTED_FORMAT");
}

#[tokio::test]
async fn what_is_unpacked_is_charged_to_the_account_of_memory() {
    let limits = RequestLimits { max_in_flight_bytes: 1 << 20, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let mut http = server.http().await;
    let bomb = gzip(&vec![0; 20 << 20]);
    http.request("POST", CLASSIFY, &[("content-encoding", "gzip")], &bomb).await.refusal(429, "OVERLOADED");
    assert_eq!(http.post(CLASSIFY, "image/png", &images::png()).await.status, 200);
}

#[tokio::test]
async fn what_is_not_whole_is_refused() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let packed = gzip(&images::png());
    for body in [&packed[..packed.len() / 2], &images::png()] {
        let answer = http.request("POST", CLASSIFY, &[("content-encoding", "gzip")], body).await;
        assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("not whole gzip"));
    }
    let empty = http.request("POST", CLASSIFY, &[("content-encoding", "gzip")], b"").await;
    assert!(empty.refusal(400, "INVALID_ARGUMENT").contains("the body is empty"));
    let empty = http.request("POST", CLASSIFY, &[("content-encoding", "gzip")], &gzip(b"")).await;
    assert!(empty.refusal(400, "INVALID_ARGUMENT").contains("the body is empty"));
}

#[tokio::test]
async fn a_colon_may_be_escaped() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for path in ["/v1/models/pets%3Aclassify", "/v1/models/pets%3aclassify", "/v1/models/pets/versions/3%3Aclassify"] {
        assert_eq!(http.post(path, "image/png", &images::png()).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_file_that_curl_sent_as_a_form_gets_a_hint() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let form = "application/x-www-form-urlencoded";
    // What `curl -d @pet.png` makes of it.
    let mangled: Vec<u8> =
        images::png().iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | b'\0')).collect();
    let message = http.post(CLASSIFY, form, &mangled).await.refusal(415, "UNSUPPORTED_FORMAT");
    assert!(message.contains("--data-binary"), "{message}");
    let cut = &images::png()[..40];
    assert!(http.post(CLASSIFY, form, cut).await.refusal(400, "INVALID_ARGUMENT").contains("--data-binary"));
    let message =
        http.post(&format!("{CLASSIFY}?top_k=9"), form, &images::png()).await.refusal(400, "INVALID_ARGUMENT");
    assert!(!message.contains("--data-binary"), "the picture is whole: {message}");
    let message = http.post(CLASSIFY, "image/png", &mangled).await.refusal(415, "UNSUPPORTED_FORMAT");
    assert!(!message.contains("--data-binary"), "{message}");
    assert_eq!(http.post(CLASSIFY, form, &images::png()).await.status, 200);
}
