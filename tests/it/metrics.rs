//! `GET /metrics`: what an operator's Prometheus sees of the requests, the line and the models.

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{ClassifyRequest, ClassifyStreamRequest},
};
use tokio_stream::StreamExt as _;

use crate::support::{
    eventually, images,
    server::{LABELS, MODEL, TestServer, logits},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// What one scrape found.
struct Scrape(String);

impl Scrape {
    async fn of(server: &TestServer) -> Self {
        let answer = server.http().await.get("/metrics").await;
        assert_eq!(answer.status, 200);
        let format = answer.header("content-type").expect("a content type");
        assert!(format.starts_with("text/plain; version=0.0.4"), "{format}");
        Self(String::from_utf8(answer.body).expect("UTF-8"))
    }

    /// The series of `name` with exactly these labels, in any order.
    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let mut wanted: Vec<_> = labels.iter().map(|(key, value)| format!("{key}=\"{value}\"")).collect();
        wanted.sort();
        self.0.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (found, labels) = series.trim_end_matches('}').split_once('{').unwrap_or((series, ""));
            let mut labels: Vec<_> = labels.split(',').filter(|label| !label.is_empty()).collect();
            labels.sort_unstable();
            (found == name && labels == wanted).then(|| value.parse().expect("a number"))
        })
    }

    fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).unwrap_or_else(|| panic!("no {name} with {labels:?} in\n{}", self.0))
    }

    fn requests(&self, model: &str, version: &str, protocol: &str, code: &str) -> f64 {
        let labels = [("model", model), ("version", version), ("protocol", protocol), ("code", code)];
        self.value("resnetd_requests_total", &labels)
    }
}

const PETS: [(&str, &str); 1] = [("model", MODEL)];

fn grpc_request() -> ClassifyRequest {
    ClassifyRequest { model: MODEL.to_owned(), images: vec![images::png()], ..ClassifyRequest::default() }
}

#[tokio::test]
async fn requests_are_counted_by_model_version_protocol_and_code() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let png = images::png();
    for (path, body, status) in [
        (CLASSIFY, &png[..], 200),
        ("/v1/models/pets/versions/3:classify", &png[..], 200),
        (CLASSIFY, b"no image", 415),
        ("/v1/models/pets:classify?top_k=5000", &png[..], 400),
        ("/v1/models/broken:classify", &png[..], 404),
        ("/v1/models/unicorns:classify", &png[..], 404),
        ("/v1/models/%ff:classify", &png[..], 400),
    ] {
        assert_eq!(http.post(path, "image/png", body).await.status, status, "{path}");
    }
    server.grpc().await.classify(grpc_request()).await.expect("an answer");
    let empty = ClassifyRequest { images: Vec::new(), ..grpc_request() };
    server.grpc().await.classify(empty).await.expect_err("no image");

    let scrape = Scrape::of(&server).await;

    assert_eq!(scrape.requests("pets", "3", "http", "OK"), 2.0);
    assert_eq!(scrape.requests("pets", "3", "http", "UNSUPPORTED_FORMAT"), 1.0);
    assert_eq!(scrape.requests("pets", "3", "http", "INVALID_ARGUMENT"), 1.0);
    assert_eq!(scrape.requests("broken", "", "http", "NOT_FOUND"), 1.0);
    assert_eq!(scrape.requests("", "", "http", "NOT_FOUND"), 1.0);
    assert_eq!(scrape.requests("", "", "http", "INVALID_ARGUMENT"), 1.0);
    assert_eq!(scrape.requests("pets", "3", "grpc", "OK"), 1.0);
    assert_eq!(scrape.requests("pets", "3", "grpc", "INVALID_ARGUMENT"), 1.0);
    let timed = |protocol| scrape.value("resnetd_request_duration_seconds_count", &[PETS[0], ("protocol", protocol)]);
    assert_eq!((timed("http"), timed("grpc")), (4.0, 2.0));
    assert_eq!(scrape.value("resnetd_preprocess_duration_seconds_count", &PETS), 3.0);
    assert_eq!(scrape.value("resnetd_queue_duration_seconds_count", &PETS), 3.0);
    assert_eq!(scrape.value("resnetd_inference_duration_seconds_count", &PETS), 3.0);
    for kind in ["requests_total counter", "request_duration_seconds histogram", "queue_depth gauge"] {
        let line = format!("# TYPE resnetd_{kind}");
        assert!(scrape.0.lines().any(|found| found == line), "{line}");
    }
}

#[tokio::test]
async fn a_client_cannot_make_series_with_names_of_its_own() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    http.post(CLASSIFY, "image/png", b"no image").await;
    http.post("/v1/models/unicorn:classify", "image/png", b"no image").await;
    let series = Scrape::of(&server).await.0.lines().count();

    for name in ["unicorn1", "unicorn2", "pets/versions/77", "pets/versions/x"] {
        http.post(&format!("/v1/models/{name}:classify"), "image/png", &images::png()).await;
    }

    let scrape = Scrape::of(&server).await;
    assert!(!scrape.0.contains("unicorn") && !scrape.0.contains("\"77\""), "{}", scrape.0);
    assert_eq!(scrape.requests("pets", "", "http", "NOT_FOUND"), 1.0);
    assert_eq!(scrape.requests("pets", "", "http", "INVALID_ARGUMENT"), 1.0);
    // Those two; none for the names.
    assert_eq!(scrape.0.lines().count(), series + 2, "{}", scrape.0);
}

#[tokio::test]
async fn batch_sizes_queue_and_load_show_how_busy_a_model_is() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).max_batch_size(8).capacity(4).start().await;
    let idle = Scrape::of(&server).await;
    assert_eq!(idle.value("resnetd_load_ratio", &PETS), 0.0);
    assert_eq!(idle.value("resnetd_in_flight_requests", &[]), 0.0);

    let (mut first, mut second) = (server.grpc().await, server.grpc().await);
    let running = tokio::spawn(async move { first.classify(grpc_request()).await });
    tokio::task::spawn_blocking({
        let network = network.clone();
        move || network.wait_for_batches(1)
    })
    .await
    .expect("a batch");
    let three = ClassifyRequest { images: vec![images::png(); 3], ..grpc_request() };
    let waiting = tokio::spawn(async move { second.classify(three).await });
    let target = server.service.target(MODEL, None).expect("the model");
    eventually("three images wait", || target.model().batcher.depth() == 3).await;

    let busy = Scrape::of(&server).await;
    assert_eq!(busy.value("resnetd_queue_depth", &PETS), 3.0);
    assert_eq!(busy.value("resnetd_in_flight_requests", &[]), 2.0);
    assert_eq!(busy.value("resnetd_load_ratio", &PETS), 1.0, "four of four places are taken");

    network.release();
    running.await.expect("no panic").expect("an answer");
    waiting.await.expect("no panic").expect("an answer");
    let after = Scrape::of(&server).await;
    let batches = |up_to| after.value("resnetd_batch_size_bucket", &[PETS[0], ("le", up_to)]);
    assert_eq!((batches("1.0"), batches("2.0"), batches("4.0"), batches("+Inf")), (1.0, 1.0, 2.0, 2.0));
    assert_eq!(after.value("resnetd_batch_size_sum", &PETS), 4.0);
    assert_eq!(after.value("resnetd_inference_duration_seconds_count", &PETS), 2.0);
    assert_eq!(after.value("resnetd_queue_depth", &PETS), 0.0);
    assert_eq!(after.value("resnetd_in_flight_requests", &[]), 0.0);
    let load = after.value("resnetd_load_ratio", &PETS);
    assert!(load > 0.0 && load < 1.0, "the worker was busy a moment ago and rests now: {load}");
}

#[tokio::test]
async fn models_are_shown_with_their_state_and_their_drift() {
    let server = TestServer::start().await;
    let scrape = Scrape::of(&server).await;
    assert_eq!(scrape.value("resnetd_model_loaded", &[PETS[0], ("version", "3")]), 1.0);
    assert_eq!(scrape.value("resnetd_model_loaded", &[("model", "broken"), ("version", "1")]), 0.0);
    let engine = [PETS[0], ("version", "3"), ("provider", "cpu"), ("precision", "fp32")];
    assert_eq!(scrape.value("resnetd_model_probability_drift", &engine), 0.004);
    assert_eq!(scrape.value("resnetd_build_info", &[("version", env!("CARGO_PKG_VERSION"))]), 1.0);

    let loading = TestServer::builder(ScriptedExecutor::answering(&logits())).still_loading().start().await;
    assert_eq!(Scrape::of(&loading).await.value("resnetd_model_loaded", &[PETS[0], ("version", "3")]), 0.0);
}

#[tokio::test]
async fn answered_classes_are_counted_only_when_asked_for() {
    let executor = || ScriptedExecutor::answering(&logits());
    for (builder, expected) in [
        (TestServer::builder(executor()), [None; 4]),
        (TestServer::builder(executor()).count_predictions(), [Some(0.0), Some(1.0), Some(0.0), Some(0.0)]),
    ] {
        let server = builder.start().await;
        server.http().await.post(CLASSIFY, "image/png", &images::png()).await;
        let scrape = Scrape::of(&server).await;
        let counts = LABELS.map(|label| scrape.find("resnetd_predictions_total", &[PETS[0], ("label", label)]));
        assert_eq!(counts, expected);
    }
}

#[tokio::test]
async fn a_client_that_left_is_counted_as_such() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut http = server.http().await;
    http.send("POST", CLASSIFY, &[("content-type", "image/png")], &images::png()).await;
    eventually("the image is in work", || server.in_flight() == 1).await;

    drop(http);
    eventually("the place is free again", || server.in_flight() == 0).await;

    let labels = [PETS[0], ("version", "3"), ("protocol", "http"), ("code", "CANCELLED")];
    let text = || Scrape(server.service.metrics_text());
    eventually("it is counted", || text().find("resnetd_requests_total", &labels) == Some(1.0)).await;
    assert_eq!(text().value("resnetd_in_flight_requests", &[]), 0.0);
}

#[tokio::test]
async fn every_request_of_a_stream_is_counted() {
    let server = TestServer::start().await;
    let item =
        |id: &str, request| ClassifyStreamRequest { id: id.to_owned(), request, ..ClassifyStreamRequest::default() };
    let unknown = ClassifyRequest { model: "unicorns".to_owned(), ..grpc_request() };
    let items =
        [item("1", Some(grpc_request())), item("2", Some(grpc_request())), item("3", Some(unknown)), item("4", None)];

    let mut answers =
        server.grpc().await.classify_stream(tokio_stream::iter(items)).await.expect("a stream").into_inner();
    while let Some(answer) = answers.next().await {
        answer.expect("an item");
    }

    let scrape = Scrape::of(&server).await;
    assert_eq!(scrape.requests("pets", "3", "grpc", "OK"), 2.0);
    assert_eq!(scrape.requests("", "", "grpc", "NOT_FOUND"), 1.0);
    assert_eq!(scrape.requests("", "", "grpc", "INVALID_ARGUMENT"), 1.0);
}
