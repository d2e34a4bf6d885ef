//! A request's way as spans, at a collector that the test has. Every wait is for what must come.

use std::time::Duration;

use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::{Span, span::SpanKind, status::StatusCode};
use prost::Message as _;
use resnetd::{
    config::{TraceProtocol, TracingSection},
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{ClassifyRequest, ExplainRequest},
    telemetry::{Metrics, SpanCounts, TraceExport, Tracer},
};
use tokio::net::TcpListener;

use crate::support::{
    PATIENCE,
    collector::{Collector, attribute},
    grpc::{CLASSIFY, call_with, framed},
    http::{Answer, HttpClient},
    images,
    server::{MODEL, TestServer, logits},
};

const ROUTE: &str = "/v1/models/pets:classify";
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

/// The phases of a request, in their order.
const PHASES: [&str; 4] = ["preprocess", "queue", "inference", "postprocess"];

fn section(endpoint: String, sample_ratio: f64) -> TracingSection {
    TracingSection { endpoint, sample_ratio, ..TracingSection::default() }
}

fn traced(section: &TracingSection) -> (Tracer, TraceExport, SpanCounts) {
    let counts = Metrics::new(false).spans();
    let (tracer, export) = TraceExport::start(section, counts.clone()).expect("an endpoint");
    (tracer, export.expect("traces are wanted"), counts)
}

async fn server(tracer: Tracer) -> TestServer {
    TestServer::builder(ScriptedExecutor::answering(&logits())).options(|options| options.tracer = tracer).start().await
}

/// Sends what there is, on a thread that may wait.
async fn goodbye(export: TraceExport) {
    tokio::task::spawn_blocking(|| export.close(PATIENCE)).await.expect("it ends");
}

async fn classify(server: &TestServer, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("content-type", "image/png")][..], headers].concat();
    let answer = server.http().await.request("POST", ROUTE, &headers, &images::png()).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer
}

fn named<'s>(spans: &'s [Span], name: &str) -> &'s Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} among {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>());
    found[0]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn the_way_of_a_request_is_a_trace_with_the_callers_id_and_its_batch_is_linked() {
    let (collector, address) = Collector::over_grpc().await;
    let (tracer, export, counts) = traced(&section(format!("http://{address}"), 0.0));
    let server = server(tracer).await;

    let parent = format!("00-{TRACE_ID}-{CALLER}-01");
    let answer = classify(&server, &[("traceparent", &parent), ("tracestate", "vendor=7")]).await;
    goodbye(export).await;

    let spans = collector.spans();
    assert_eq!(spans.len(), 6, "{spans:?}");
    let (door, batch) = (named(&spans, "POST classify"), named(&spans, "batch"));
    assert_eq!((hex(&door.trace_id), hex(&door.parent_span_id)), (TRACE_ID.to_owned(), CALLER.to_owned()));
    assert_eq!((door.kind(), &*door.trace_state), (SpanKind::Server, "vendor=7"));
    assert_eq!(attribute(&door.attributes, "http.response.status_code").as_deref(), Some("200"));
    assert_eq!(attribute(&door.attributes, "url.path").as_deref(), Some(ROUTE));
    let place = format!("00-{TRACE_ID}-{}-01", hex(&door.span_id));
    assert_eq!(answer.header("traceresponse"), Some(&*place));

    let mut before = door.start_time_unix_nano;
    for name in PHASES {
        let phase = named(&spans, name);
        assert_eq!((&phase.trace_id, &phase.parent_span_id), (&door.trace_id, &door.span_id), "{name}");
        assert!(before <= phase.start_time_unix_nano, "{name} begins before what comes before it");
        assert!(phase.start_time_unix_nano <= phase.end_time_unix_nano, "{name}");
        assert!(phase.end_time_unix_nano <= door.end_time_unix_nano, "{name} ends behind the answer");
        before = phase.start_time_unix_nano;
    }

    let inference = named(&spans, "inference");
    assert_eq!(attribute(&inference.attributes, "resnetd.model").as_deref(), Some(MODEL));
    assert_ne!(batch.trace_id, door.trace_id, "a batch is nobody's alone");
    let (to_batch, to_request) = (&inference.links[0], &batch.links[0]);
    assert_eq!((&to_batch.trace_id, &to_batch.span_id), (&batch.trace_id, &batch.span_id));
    assert_eq!((&to_request.trace_id, &to_request.span_id), (&inference.trace_id, &inference.span_id));
    assert_eq!(attribute(&batch.attributes, "resnetd.batch_size").as_deref(), Some("1"));
    assert_eq!(attribute(&collector.resource(), "service.name").as_deref(), Some("resnetd"));
    assert_eq!(counts.exported.get(), 6);
}

#[tokio::test]
async fn a_call_of_grpc_is_recorded_alike_and_sent_over_http_as_well() {
    let (collector, address) = Collector::over_http().await;
    let section = TracingSection { protocol: TraceProtocol::Http, ..section(format!("http://{address}"), 1.0) };
    let (tracer, export, _) = traced(&section);
    let server = server(tracer).await;

    let message = |image: Bytes| {
        let request = ClassifyRequest { model: MODEL.to_owned(), images: vec![image], ..ClassifyRequest::default() };
        framed(0, &request.encode_to_vec())
    };
    let answer = call_with(&server, CLASSIFY, &[], message(images::png())).await;
    assert_eq!(answer.get("grpc-status"), "0");
    let place = answer.get("traceresponse").to_owned();
    let refused = call_with(&server, CLASSIFY, &[], message(Bytes::from_static(b"no picture"))).await;
    assert_eq!(refused.get("grpc-status"), "3");
    // Which method a client makes up is no name of a span.
    call_with(&server, "/made.Up/Name", &[], framed(0, b"")).await;
    goodbye(export).await;

    let spans = collector.spans();
    let of_answer: Vec<_> = spans.iter().filter(|span| place.contains(&hex(&span.trace_id))).cloned().collect();
    let door = named(&of_answer, &CLASSIFY[1..]);
    assert_eq!(attribute(&door.attributes, "rpc.grpc.status_code").as_deref(), Some("0"));
    assert!(door.parent_span_id.is_empty() && place.contains(&hex(&door.span_id)), "{place}");
    for name in PHASES {
        named(&of_answer, name);
    }
    let refused = spans.iter().find(|span| attribute(&span.attributes, "rpc.grpc.status_code").as_deref() == Some("3"));
    let refused = refused.expect("the refused call");
    assert!(attribute(&refused.attributes, "resnetd.refusal").is_some());
    assert_ne!(refused.status.clone().unwrap_or_default().code(), StatusCode::Error, "the client's mistake");
    let unknown = named(&spans, "unknown method");
    assert_eq!(attribute(&unknown.attributes, "rpc.method").as_deref(), Some("made.Up/Name"));
}

#[tokio::test]
async fn what_is_not_sampled_is_not_recorded_and_no_answer_tells_of_it() {
    let (collector, address) = Collector::over_grpc().await;
    let (tracer, export, counts) = traced(&section(format!("http://{address}"), 0.0));
    let server = server(tracer).await;

    let unsampled = format!("00-{TRACE_ID}-{CALLER}-00");
    for headers in [&[][..], &[("traceparent", &*unsampled)], &[("traceparent", "00-1-2-01")]] {
        assert_eq!(classify(&server, headers).await.header("traceresponse"), None);
    }
    goodbye(export).await;

    assert_eq!((collector.spans().len(), counts.exported.get()), (0, 0));
}

#[tokio::test]
async fn probes_and_scrapes_are_not_recorded() {
    let (collector, address) = Collector::over_grpc().await;
    let (tracer, export, _) = traced(&section(format!("http://{address}"), 1.0));
    let server = server(tracer).await;
    let mut http = server.http().await;
    for path in ["/livez", "/readyz", "/metrics", "/v2/health/ready"] {
        assert_eq!(http.get(path).await.header("traceresponse"), None, "{path}");
    }
    assert!(http.get("/v1/models").await.header("traceresponse").is_some());
    goodbye(export).await;
    assert_eq!(collector.spans().iter().map(|span| &*span.name).collect::<Vec<_>>(), ["GET models"]);
}

#[tokio::test]
async fn a_span_is_called_by_its_route_and_never_by_what_clients_make_up() {
    let (collector, address) = Collector::over_grpc().await;
    let (tracer, export, _) = traced(&section(format!("http://{address}"), 1.0));
    let server = server(tracer).await;
    let mut http = server.http().await;
    let model = format!("/v1/models/{MODEL}");
    for path in
        [format!("{model}:regress"), format!("{model}:label"), format!("{model}:made_up"), "/made/up".to_owned()]
    {
        http.post(&path, "application/json", b"{}").await;
    }
    http.get(&model).await;
    goodbye(export).await;
    let spans = collector.spans();
    let mut named: Vec<_> = spans.iter().map(|span| (&*span.name, attribute(&span.attributes, "http.route"))).collect();
    named.sort();
    let route = |route: &str| Some(route.to_owned());
    let of_model = || route("/v1/models/{model}");
    let wanted = [
        ("GET models", of_model()),
        ("POST", None),
        ("POST label", route("/v1/models/{model}:label")),
        ("POST models", of_model()),
        ("POST regress", route("/v1/models/{model}:regress")),
    ];
    assert_eq!(named, wanted);
}

#[tokio::test]
async fn spans_come_without_a_goodbye_too() {
    let (collector, address) = Collector::over_grpc().await;
    let (tracer, export, _) = traced(&section(format!("http://{address}"), 1.0));
    let server = server(tracer).await;
    classify(&server, &[]).await;
    assert!(!collector.span("batch").await.links.is_empty());
    goodbye(export).await;
}

#[tokio::test]
async fn nothing_waits_for_a_collector_that_does_not_answer() {
    // It takes connections, by its backlog, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    for protocol in [TraceProtocol::Grpc, TraceProtocol::Http] {
        let of_silent = section(endpoint.clone(), 1.0);
        let section = TracingSection { protocol, timeout_ms: 60_000, queue_capacity: 8, ..of_silent };
        let (tracer, export, counts) = traced(&section);
        let server = server(tracer).await;
        for _ in 0..20 {
            classify(&server, &[]).await;
        }
        let closed = tokio::task::spawn_blocking(|| export.close(Duration::from_millis(50)));
        tokio::time::timeout(PATIENCE, closed).await.expect("the goodbye has an end").expect("it ends");
        assert_eq!(counts.exported.get(), 0);
    }
}

#[tokio::test]
async fn what_a_collector_that_is_away_does_not_get_is_counted() {
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", gone.local_addr().expect("an address"));
    drop(gone);
    let section = TracingSection { timeout_ms: 100, ..section(endpoint, 1.0) };
    let (tracer, export, counts) = traced(&section);
    let server = server(tracer).await;
    classify(&server, &[]).await;
    goodbye(export).await;
    assert_eq!((counts.exported.get(), counts.failed.get(), counts.queue_full.get()), (0, 6, 0));
}

#[tokio::test]
async fn a_recorded_request_is_the_exemplar_of_its_buckets_and_plain_text_has_none() {
    let (_collector, address) = Collector::over_grpc().await;
    let (tracer, export, _) = traced(&section(format!("http://{address}"), 0.0));
    let server = server(tracer).await;
    let parent = format!("00-{TRACE_ID}-{CALLER}-01");
    classify(&server, &[("traceparent", &parent)]).await;

    let mut http = server.http().await;
    let accept = [("accept", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")];
    let open = http.request("GET", "/metrics", &accept, b"").await;
    assert_eq!(open.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let open = String::from_utf8(open.body).expect("UTF-8");
    assert!(open.ends_with("# EOF\n") && open.contains("# TYPE resnetd_requests counter\n"), "{open}");
    let exemplar = format!(" # {{trace_id=\"{TRACE_ID}\"}} ");
    for phase in ["request", "preprocess", "queue"] {
        let bucket = format!("resnetd_{phase}_duration_seconds_bucket{{");
        assert!(open.lines().any(|line| line.starts_with(&bucket) && line.contains(&exemplar)), "{phase} in\n{open}");
    }

    let plain = http.get("/metrics").await;
    let plain = String::from_utf8(plain.body).expect("UTF-8");
    assert!(!plain.contains(TRACE_ID) && plain.contains("# TYPE resnetd_requests_total counter\n"), "{plain}");
    goodbye(export).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_is_an_exemplar_as_a_classification_is() {
    let (_collector, address) = Collector::over_grpc().await;
    let (tracer, export, _) = traced(&section(format!("http://{address}"), 0.0));
    let name = "resnet20-cifar10";
    let server = TestServer::with_models(&[name], |options| options.tracer = tracer).await;
    let parent = |trace: &str| format!("00-{trace}-{CALLER}-01");
    let traces = [TRACE_ID, "5bf92f3577b34da6a3ce929d0e0e4737"];

    let mut http = server.http().await;
    let first = parent(traces[0]);
    let headers = [("content-type", "image/png"), ("traceparent", &*first)];
    let answer = http.request("POST", &format!("/v1/models/{name}:explain"), &headers, &images::png()).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let exemplars = async |http: &mut HttpClient| {
        let accept = [("accept", "application/openmetrics-text;version=1.0.0")];
        let text = String::from_utf8(http.request("GET", "/metrics", &accept, b"").await.body).expect("UTF-8");
        let buckets = text.lines().filter(|line| line.starts_with("resnetd_request_duration_seconds_bucket{"));
        buckets.filter(|line| line.contains(" # {")).map(str::to_owned).collect::<Vec<_>>().join("\n")
    };
    let found = exemplars(&mut http).await;
    assert!(found.contains(traces[0]), "{found}");

    let message = ExplainRequest { model: name.to_owned(), images: vec![images::png()], ..ExplainRequest::default() };
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("traceparent", parent(traces[1]).parse().expect("ASCII"));
    server.grpc().await.explain(request).await.expect("an explanation");
    // Buckets remember the last one each, whichever they are.
    let found = exemplars(&mut http).await;
    assert!(found.contains(traces[1]), "{found}");
    goodbye(export).await;
}
