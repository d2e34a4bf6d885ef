//! How loaded the server is, in the answers of both doors, for balancers.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use bytes::Bytes;
use prost::Message as _;
use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::{LoadReports, grpc::proto::ClassifyRequest},
};

use crate::support::{
    eventually,
    grpc::{CLASSIFY, call_with, framed},
    images,
    server::{MODEL, TestServer, logits},
};

const ROUTE: &str = "/v1/models/pets:classify";
const ASKING: (&str, &str) = ("endpoint-load-metrics-format", "json");

fn message(image: Bytes) -> Bytes {
    let request = ClassifyRequest { model: MODEL.to_owned(), images: vec![image], ..ClassifyRequest::default() };
    framed(0, &request.encode_to_vec())
}

#[tokio::test]
async fn an_answer_and_a_refusal_tell_the_load_where_they_are_asked() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for (path, status) in [(ROUTE, 200), ("/v1/models/nobody:classify", 404)] {
        let answer = http.request("POST", path, &[("content-type", "image/png"), ASKING], &images::png()).await;
        assert_eq!(answer.status, status);
        let report = answer.header("endpoint-load-metrics").expect("it was asked for");
        let report = report.strip_prefix("JSON ").expect("in that form");
        let report: serde_json::Value = serde_json::from_str(report).expect("JSON");
        let load = report["application_utilization"].as_f64().expect("a number");
        assert!((0.0..=1.0).contains(&load), "{report}");
        assert_eq!(report["named_metrics"]["queue_depth"], 0);
    }
    assert_eq!(http.post(ROUTE, "image/png", &images::png()).await.header("endpoint-load-metrics"), None);
}

#[tokio::test]
async fn a_saturated_model_says_so() {
    let engine = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(engine.clone()).capacity(1).start().await;
    let mut waiting = server.http().await;
    waiting.send("POST", ROUTE, &[("content-type", "image/png")], &images::png()).await;
    eventually("its only place is taken", || server.in_flight() == 1).await;

    let refused =
        server.http().await.request("POST", ROUTE, &[("content-type", "image/png"), ASKING], &images::png()).await;

    assert_eq!(refused.status, 429);
    let report = refused.header("endpoint-load-metrics").expect("it was asked for");
    assert!(report.contains("\"application_utilization\": 1.0000"), "{report}");
    engine.release();
    assert_eq!(waiting.answer("POST").await.status, 200);
}

#[tokio::test]
async fn a_call_of_grpc_has_the_report_behind_its_message_and_a_refusal_in_its_head() {
    let server = TestServer::start().await;
    for image in [images::png(), Bytes::from_static(b"no picture")] {
        let answer = call_with(&server, CLASSIFY, &[ASKING], message(image)).await;
        let report = STANDARD_NO_PAD.decode(answer.get("endpoint-load-metrics-bin")).expect("base64 without padding");
        // named_metrics, the field 8 of xds.data.orca.v3.OrcaLoadReport, is there even where all numbers are 0.
        assert!(report.windows(11).any(|name| name == b"queue_depth"), "{report:?}");
    }
    assert_eq!(
        call_with(&server, CLASSIFY, &[], message(images::png())).await.get("endpoint-load-metrics-bin"),
        "none"
    );
}

#[tokio::test]
async fn every_answer_has_a_report_where_that_is_set() {
    let always = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.load_reports = LoadReports::Always)
        .start()
        .await;
    let answer = always.http().await.post(ROUTE, "image/png", &images::png()).await;
    let report = answer.header("endpoint-load-metrics").expect("always");
    assert!(report.starts_with("TEXT application_utilization="), "{report}");
    let call = call_with(&always, CLASSIFY, &[], message(images::png())).await;
    assert_ne!(call.get("endpoint-load-metrics-bin"), "none");
}
