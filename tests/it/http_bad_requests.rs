//! Bad input over HTTP: each gets the contract's status, code, and a message that says what to do.

use std::time::Duration;

use resnetd::{runtime::scripted::ScriptedExecutor, service::RequestLimits};

use crate::support::{
    eventually, images,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

#[tokio::test]
async fn an_empty_body_is_refused() {
    let server = TestServer::start().await;
    let answer = server.http().await.post(CLASSIFY, "image/jpeg", b"").await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("the body is empty"));
}

#[tokio::test]
async fn text_is_no_image_format() {
    let server = TestServer::start().await;
    let answer = server.http().await.post(CLASSIFY, "text/plain", b"not an image at all").await;
    answer.refusal(415, "UNSUPPORTED_FORMAT");
}

#[tokio::test]
async fn a_truncated_image_is_refused() {
    let server = TestServer::start().await;
    let png = images::png();
    let answer = server.http().await.post(CLASSIFY, "image/png", &png[..png.len() / 2]).await;
    answer.refusal(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn an_image_that_claims_a_huge_size_is_refused_from_its_header() {
    let server = TestServer::start().await;
    let mut png = images::png().to_vec();
    // Width and height stand at offset 16, big-endian; the checksum of the header is not looked at before the size.
    png[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let answer = server.http().await.post(CLASSIFY, "image/png", &png).await;
    answer.refusal(413, "TOO_LARGE");
}

#[tokio::test]
async fn top_k_out_of_range_is_refused_with_the_range() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for value in ["0", "5", "-1", "abc", "99999999999999999999999", ""] {
        let answer = http.post(&format!("{CLASSIFY}?top_k={value}"), "image/png", &images::png()).await;
        let message = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains("1 to 4"), "{value}: {message}");
    }
}

#[tokio::test]
async fn broken_json_is_refused_with_its_place() {
    let server = TestServer::start().await;
    let answer = server.http().await.post(CLASSIFY, "application/json", b"{\n  \"instances\": [}").await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("line 2 column 17"));
}

#[tokio::test]
async fn one_bad_image_of_several_is_named_by_its_index() {
    let server = TestServer::start().await;
    let body = [
        b"--cut\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n",
        &images::png()[..],
        b"\r\n--cut\r\ncontent-disposition: form-data; name=\"image\"; filename=\"b.png\"\r\n\r\nnot an image\r\n--cut--\r\n",
    ]
    .concat();
    let answer = server.http().await.post(CLASSIFY, "multipart/form-data; boundary=cut", &body).await;
    assert!(answer.refusal(415, "UNSUPPORTED_FORMAT").contains("image 1"));
}

#[tokio::test]
async fn too_many_images_are_refused() {
    let limits = RequestLimits { max_images_per_request: 2, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let body = br#"{"instances": [{"b64": "AQID"}, {"b64": "AQID"}, {"b64": "AQID"}]}"#;
    let answer = server.http().await.post(CLASSIFY, "application/json", body).await;
    assert!(answer.refusal(413, "TOO_LARGE").contains("the limit is 2"));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_before_it_is_sent() {
    let limits = RequestLimits { max_body_bytes: 1000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let mut http = server.http().await;
    http.send_raw(format!("POST {CLASSIFY} HTTP/1.1\r\nhost: test\r\ncontent-length: 1001\r\n\r\n").as_bytes()).await;
    let message = http.answer("POST").await.refusal(413, "TOO_LARGE");
    assert!(message.contains("1001") && message.contains("1000"), "{message}");
}

#[tokio::test]
async fn a_body_without_a_length_is_refused_when_it_passes_the_limit() {
    let limits = RequestLimits { max_body_bytes: 1000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let mut http = server.http().await;
    let head = format!("POST {CLASSIFY} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n");
    let chunk = format!("320\r\n{}\r\n", "x".repeat(0x320));
    http.send_raw(format!("{head}{chunk}{chunk}").as_bytes()).await;
    http.answer("POST").await.refusal(413, "TOO_LARGE");
}

#[tokio::test]
async fn a_client_that_sends_far_too_much_can_still_read_why_it_was_refused() {
    let limits = RequestLimits { max_body_bytes: 1000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let mut http = server.http().await;
    // Far more than the buffers of the sockets: the server has to take it off the wire, or the write would fail.
    http.send("POST", CLASSIFY, &[], &vec![0; 32 << 20]).await;
    let answer = http.answer("POST").await;
    answer.refusal(413, "TOO_LARGE");
    assert_eq!(answer.header("connection"), Some("close"), "the rest of the body is still on the wire");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.body_timeout = Duration::from_millis(20))
        .start()
        .await;
    let mut http = server.http().await;
    http.send_raw(format!("POST {CLASSIFY} HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nabc").as_bytes()).await;
    http.answer("POST").await.refusal(408, "REQUEST_TIMEOUT");
}

#[tokio::test]
async fn an_unknown_model_is_answered_with_those_that_are_served() {
    let server = TestServer::start().await;
    let answer = server.http().await.post("/v1/models/plants:classify", "image/png", &images::png()).await;
    let message = answer.refusal(404, "NOT_FOUND");
    assert!(message.contains("plants") && message.contains("pets"), "{message}");
}

#[tokio::test]
async fn an_unknown_route_is_answered_with_the_nearest() {
    let server = TestServer::start().await;
    let answer = server.http().await.post("/v1/models/pets:clasify", "image/png", &images::png()).await;
    assert!(answer.refusal(404, "NOT_FOUND").contains("`/v1/models/pets:classify`"));
}

#[tokio::test]
async fn a_wrong_method_is_answered_with_the_right_ones() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let classify = http.get(CLASSIFY).await;
    classify.refusal(405, "METHOD_NOT_ALLOWED");
    assert_eq!(classify.header("allow"), Some("POST"));
    let models = http.post("/v1/models", "text/plain", b"").await;
    models.refusal(405, "METHOD_NOT_ALLOWED");
    assert_eq!(models.header("allow"), Some("GET, HEAD"));
}

#[tokio::test]
async fn a_version_that_is_no_positive_integer_is_refused() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for version in ["0", "latest", "-1"] {
        let answer = http.get(&format!("/v1/models/pets/versions/{version}")).await;
        assert!(answer.refusal(400, "INVALID_ARGUMENT").contains(version), "{version}");
    }
}

#[tokio::test]
async fn a_request_beyond_the_queue_is_refused_with_when_to_come_back() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).capacity(1).start().await;
    let mut waiting = server.http().await;
    waiting.send("POST", CLASSIFY, &[], &images::png()).await;
    eventually("the queue is full", || server.in_flight() == 1).await;

    let refused = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;

    refused.refusal(429, "OVERLOADED");
    assert!(
        refused.header("retry-after").is_some_and(|seconds| seconds.parse::<u64>().is_ok_and(|seconds| seconds >= 1))
    );
    network.release();
    assert_eq!(waiting.answer("POST").await.status, 200);
}

#[tokio::test]
async fn a_request_whose_time_is_up_is_told_so() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let answer = server.http().await.post(&format!("{CLASSIFY}?timeout_ms=300"), "image/png", &images::png()).await;
    answer.refusal(504, "DEADLINE_EXCEEDED");
    network.release();
}

#[tokio::test]
async fn a_failure_of_the_engine_is_not_shown_to_the_client() {
    let network = ScriptedExecutor::answering(&logits());
    network.fail("secret path /srv/models");
    let server = TestServer::builder(network).start().await;
    let answer = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;
    assert!(!answer.refusal(500, "INTERNAL").contains("secret"));
}

#[tokio::test]
async fn what_is_no_http_does_not_stop_the_server() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    http.send_raw(b"\x00\x01\x02 nonsense\r\n\r\n").await;
    assert_eq!(http.answer("POST").await.status, 400);
    let mut long = server.http().await;
    long.send_raw(format!("GET /livez HTTP/1.1\r\nx-long: {}\r\n\r\n", "a".repeat(40 << 10)).as_bytes()).await;
    long.answer("GET").await.refusal(431, "HEADERS_TOO_LARGE");
    let mut endless = server.http().await;
    endless.send_raw(format!("GET /livez HTTP/1.1\r\nx-long: {}\r\n", "a".repeat(80 << 10)).as_bytes()).await;
    assert_eq!(endless.answer("GET").await.status, 431);
    assert_eq!(server.http().await.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_network_that_gives_no_numbers_is_an_error_and_not_an_empty_answer() {
    let server = TestServer::builder(ScriptedExecutor::answering(&[1.0, f32::NAN, 0.5, 0.0])).start().await;
    let answer = server.http().await.post(CLASSIFY, "image/png", &images::png()).await;
    answer.refusal(500, "INTERNAL");
}
