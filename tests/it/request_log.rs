//! What a client can make the log say, at the level that servers run at.

use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use resnetd::runtime::scripted::ScriptedExecutor;
use tracing::level_filters::LevelFilter;

use crate::{
    grpc_classify::request,
    support::{
        grpc::{CLASSIFY, call_with, framed},
        images,
        kept_log::KeptLog,
        server::{TestServer, logits},
    },
};

const STREAM: &str = "/resnetd.v1.Classifier/ClassifyStream";

/// On one thread, so that its log is the server's as well.
#[tokio::test]
async fn a_client_that_is_slow_and_never_done_is_no_line_of_the_log() {
    let kept = KeptLog::up_to(LevelFilter::INFO);
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        // Everything is slow.
        .options(|options| (options.slow_request, options.body_timeout) = (Duration::ZERO, Duration::from_millis(20)))
        .start()
        .await;
    let message = framed(0, &request().encode_to_vec());

    // Calls that end in the middle of a message, and one that brings none.
    for (path, body) in [(CLASSIFY, message.slice(..20)), (STREAM, message.slice(..20)), (STREAM, Bytes::new())] {
        call_with(&server, path, &[], body).await;
    }
    // A body that does not come.
    let mut http = server.http().await;
    http.send_raw(b"POST /v1/models/pets:classify HTTP/1.1\r\nhost: test\r\ncontent-length: 10\r\n\r\nabc").await;
    http.answer("POST").await.refusal(408, "REQUEST_TIMEOUT");
    let quiet = kept.lines().into_iter().filter(|line| line.contains("request_id")).collect::<Vec<_>>();
    assert_eq!(quiet, [""; 0]);

    // What took the server long is.
    call_with(&server, CLASSIFY, &[], message).await;
    server.http().await.post("/v1/models/pets:classify", "image/png", &images::png()).await;
    let slow = kept.lines().into_iter().filter(|line| line.contains("slow=true")).count();
    assert_eq!(slow, 2, "{:#?}", kept.lines());
}
