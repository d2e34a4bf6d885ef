//! `GET /v1/stats`: the numbers behind the metrics.

use resnetd::runtime::scripted::ScriptedExecutor;
use serde_json::json;

use crate::support::{
    eventually,
    images::png,
    server::{TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

#[tokio::test]
async fn stats_say_how_a_model_runs_and_what_it_did() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let before = http.get("/v1/stats").await.json();
    let model = &before["models"][0];
    assert_eq!((&model["name"], &model["version"]), (&json!("pets"), &json!(3)));
    assert_eq!(model["service_times"], json!([]));
    assert_eq!(model["latencies"]["queue"], json!({ "count": 0, "p50_ms": null, "p99_ms": null }));
    for _ in 0..3 {
        assert_eq!(http.post(CLASSIFY, "image/png", &png()).await.status, 200);
    }

    let stats = http.get("/v1/stats").await.json();

    let model = &stats["models"][0];
    assert_eq!(model["engine"]["provider"], "cpu");
    assert_eq!((&model["batches"][0]["images"], &model["batches"][0]["runs"]), (&json!(1), &json!(3)));
    assert_eq!(model["service_times"][0]["measured"], true);
    assert_eq!(model["latencies"]["inference"]["count"], 3);
    assert!(model["latencies"]["queue"]["p99_ms"].as_f64() >= model["latencies"]["queue"]["p50_ms"].as_f64());
    assert_eq!((&model["queue"]["capacity"], &model["queue"]["care_factor"]), (&json!(64), &json!(1.0)));
    assert_eq!((&stats["threads"]["decode"], &stats["connections"]["http"]), (&json!(1), &json!(1)));
    assert!(stats["memory"]["max_in_flight_bytes"].as_u64() > Some(0) && stats["uptime_s"].is_f64());
}

#[tokio::test]
async fn refusals_are_told_by_their_reason_and_are_those_of_the_metrics() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).capacity(1).start().await;
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &png()).await;
    eventually("it is in work", || server.in_flight() == 1).await;
    let mut http = server.http().await;
    http.post(CLASSIFY, "image/png", &png()).await.refusal(429, "OVERLOADED");

    let stats = http.get("/v1/stats").await.json();

    let model = &stats["models"][0];
    assert_eq!((&model["refused_images"]["places"], &model["refused_images"]["deadline"]), (&json!(1), &json!(0)));
    assert_eq!((&model["queue"]["in_work"], &model["queue"]["capacity"]), (&json!(1), &json!(1)));
    let counted = "resnetd_refused_images_total{model=\"pets\",reason=\"places\"} 1";
    assert!(server.service.metrics_text().contains(counted));
    network.release();
    assert_eq!(busy.answer("POST").await.status, 200);
}
