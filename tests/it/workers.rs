//! Workers that break outside the engine's call: who is told, what is counted, and what the probes say.

use std::sync::atomic::{
    AtomicUsize,
    Ordering::{AcqRel, Acquire},
};

use resnetd::{
    batching::{FinishedRun, SubmitError, Terms, WorkerObserver},
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::ClassifyRequest,
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use crate::support::{
    eventually, images,
    server::{MODEL, TestServer, logits, scripted_model},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// The times that a worker may break before it gives up.
const ENOUGH: usize = 8;

/// Breaks the worker after each of the next runs.
struct Breaking(AtomicUsize);

impl WorkerObserver for Breaking {
    fn ran(&self, _: &FinishedRun) {
        let left = self.0.fetch_update(AcqRel, Acquire, |left| left.checked_sub(1));
        assert!(left.is_err(), "the observer breaks");
    }
}

/// A server whose one worker breaks after each of so many runs.
async fn breaking(times: usize) -> TestServer {
    let server = TestServer::start().await;
    // One image a batch, so that as many batches break as images are sent, however slowly a break is reported.
    let model = scripted_model(3, ScriptedExecutor::answering(&logits()), 64, 1);
    model.model.batcher.observe(Box::new(Breaking(AtomicUsize::new(times))));
    server.lifecycle.serve(model).await;
    server
}

async fn status(server: &TestServer) -> u16 {
    server.http().await.post(CLASSIFY, "image/png", &images::png()).await.status
}

async fn metrics(server: &TestServer) -> String {
    String::from_utf8(server.http().await.get("/metrics").await.body).expect("text")
}

async fn health(server: &TestServer, name: &str) -> ServingStatus {
    let request = HealthCheckRequest { service: name.to_owned() };
    let answer = HealthClient::new(server.channel().await).check(request).await;
    answer.expect("a health").into_inner().status()
}

#[tokio::test]
async fn a_worker_that_breaks_answers_its_images_begins_anew_and_is_counted() {
    let server = breaking(1).await;
    assert!(metrics(&server).await.contains("\nresnetd_worker_restarts_total{model=\"pets\"} 0\n"));

    assert_eq!(status(&server).await, 500, "whoever waits for the broken run is told");
    for _ in 0..10 {
        assert_eq!(status(&server).await, 200, "and the next images are answered");
    }

    let metrics = metrics(&server).await;
    assert!(metrics.contains("\nresnetd_worker_restarts_total{model=\"pets\"} 1\n"), "{metrics}");
    assert_eq!(server.http().await.get("/readyz").await.status, 200);
    // The counts of idle and busy workers are in order: an idle one takes what comes at once, and nothing is running.
    let target = server.service.target(MODEL, None).expect("it is served");
    assert!(target.model().batcher.load() < 0.5, "{}", target.model().batcher.load());
}

#[tokio::test]
async fn breaks_that_are_far_between_never_end_a_worker() {
    let server = TestServer::start().await;
    for _ in 0..3 * ENOUGH {
        let target = server.service.target(MODEL, None).expect("it is served");
        target.model().batcher.observe(Box::new(Breaking(AtomicUsize::new(1))));
        assert_eq!((status(&server).await, status(&server).await), (500, 200));
    }
}

#[tokio::test]
async fn a_model_whose_last_worker_has_broken_is_not_ready_and_nobody_waits_for_it() {
    let server = breaking(usize::MAX).await;
    assert_eq!(health(&server, MODEL).await, ServingStatus::Serving);
    let target = server.service.target(MODEL, None).expect("it is served");
    let clients = (0..3 * ENOUGH).map(|_| {
        let (http, grpc) = (server.http(), server.grpc());
        async {
            let request =
                ClassifyRequest { model: MODEL.to_owned(), images: vec![images::png()], ..ClassifyRequest::default() };
            let over_grpc = grpc.await.classify(request).await;
            assert!(over_grpc.is_err(), "{over_grpc:?}");
            http.await.post(CLASSIFY, "image/png", &images::png()).await.status
        }
    });
    let answers = futures_util::future::join_all(clients).await;
    assert!(answers.iter().all(|status| [404, 500, 503].contains(status)), "{answers:?}");

    eventually("the model is given up", || server.service.target(MODEL, None).is_err()).await;
    // Whoever found it before is refused before a picture is decoded.
    assert_eq!(target.model().batcher.announce(&Terms::default()).err(), Some(SubmitError::Broken));
    drop(target);
    let mut http = server.http().await;
    let answer = http.post(CLASSIFY, "image/png", &images::png()).await;
    let body = String::from_utf8_lossy(&answer.body).into_owned();
    assert!(answer.status == 404 && body.contains("all of its workers have broken"), "{answer:?}");
    let ready = http.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("broken"), "{ready:?}");
    assert_eq!(http.get("/v1/models/pets").await.json()["ready"], false);
    assert_eq!(health(&server, MODEL).await, ServingStatus::NotServing);
    assert_eq!(health(&server, "").await, ServingStatus::NotServing);

    // What takes its place is served, and traffic may come again.
    server.lifecycle.serve(scripted_model(3, ScriptedExecutor::answering(&logits()), 64, 8)).await;
    assert_eq!(status(&server).await, 200);
    assert_eq!(http.get("/readyz").await.status, 200);
    assert_eq!(health(&server, MODEL).await, ServingStatus::Serving);
}
