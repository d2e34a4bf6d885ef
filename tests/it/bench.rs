//! `resnetd bench` as people run it: every protocol and form against a real server, what it says when there is none, and Ctrl-C.

use std::{
    fs,
    path::Path,
    process::{Output, Stdio},
};

use resnetd::{model::RESNET20_CIFAR10, runtime::scripted::ScriptedExecutor};
use serde_json::Value;
use tokio::{net::TcpListener, task::spawn_blocking, time::timeout};

use crate::support::{
    PATIENCE,
    program::{glance, resnetd, send},
    server::{MODEL, TestServer, logits},
};

/// Runs `resnetd bench` with these arguments to its end.
async fn bench(url: &str, arguments: &[&str]) -> Output {
    let mut command = resnetd(&["bench", "--url", url]);
    command.args(arguments);
    spawn_blocking(move || command.output()).await.expect("no panic").expect("the program starts")
}

/// The same, where it succeeds: what it printed.
async fn figures(url: &str, arguments: &[&str]) -> Value {
    let output = bench(url, &[arguments, &["--format", "json"]].concat()).await;
    let (told, complaints) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {complaints}\n{told}");
    serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_every_protocol_is_answered() {
    let server = TestServer::with_a_trained_model().await;
    let forms = [
        ("http1", &["body", "multipart", "json", "predict", "v2-json", "v2-binary", "v2-raw", "v2-tensor"][..]),
        ("http2", &["body", "multipart", "json", "predict", "v2-json", "v2-binary", "v2-raw", "v2-tensor"]),
        ("grpc", &["classify", "stream", "predict", "v2-binary", "v2-tensor"]),
    ];
    for (protocol, forms) in forms {
        let url = format!("http://{}", server.http_address);
        for form in forms {
            let arguments =
                ["--protocol", protocol, "--form", form, "--requests", "20", "--connections", "2", "--warmup", "0"];
            let told = figures(&url, &arguments).await;
            let run = &told["runs"][0];
            assert_eq!((&told["protocol"], &told["form"]), (&protocol.into(), &(*form).into()), "{told}");
            assert_eq!(told["model"], RESNET20_CIFAR10.name);
            assert_eq!((&run["requests"], &run["answered"]), (&20.into(), &20.into()), "{protocol} {form}: {told}");
            assert_eq!(run["latency_ms"]["count"], 20);
            assert_eq!(run["loop"], "closed");
            let status = if protocol == "grpc" { "OK" } else { "200" };
            assert_eq!(run["statuses"][status], 20, "{told}");
            let tells_phases = protocol != "grpc" || matches!(*form, "classify" | "stream");
            assert_eq!(run["server_ms"]["total"].is_object(), tells_phases, "{protocol} {form}: {told}");
            let tells_batch = matches!(*form, "body" | "multipart" | "json" | "classify" | "stream");
            assert_eq!(run["batch_size_mean"].is_f64(), tells_batch, "{protocol} {form}: {told}");
            assert!(run["received_bytes"].as_u64() > Some(0) && run["sent_bytes"].as_u64() > Some(0), "{told}");
        }
    }
    let url = format!("http://{}", server.grpc_address);
    let told = figures(&url, &["--protocol", "grpc", "--requests", "20", "--images-per-request", "3"]).await;
    assert_eq!((&told["runs"][0]["answered"], &told["images_per_request"]), (&20.into(), &3.into()), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_rates_are_a_run_each() {
    let server = TestServer::start().await;
    let url = format!("http://{}", server.http_address);
    let arguments = ["--rate", "200,400", "--arrivals", "even", "--requests", "15", "--warmup", "0"];
    let told = figures(&url, &arguments).await;
    let runs = told["runs"].as_array().expect("runs");
    let rates: Vec<_> = runs.iter().map(|run| run["rate"].as_f64()).collect();
    assert_eq!(rates, [Some(200.0), Some(400.0)]);
    for run in runs {
        assert_eq!((&run["loop"], &run["arrivals"]), (&"open".into(), &"even".into()), "{told}");
        assert_eq!((&run["requests"], &run["answered"]), (&15.into(), &15.into()), "{told}");
        assert_eq!(run["send_lag_ms"]["count"], 15, "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_and_the_figures_are_written_where_they_are_wanted() {
    let server = TestServer::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let url = format!("http://{}", server.http_address);
    let (page, json) = (at("load.html"), at("load.json"));
    let arguments = ["--requests", "20", "--timeout-ms", "60000", "--report", &page, "--output", &json];
    let output = bench(&url, &arguments).await;
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = text(&output.stdout);
    for word in ["pets at http://", "16 clients", "latency ms p99.9", "goodput/s", "mean ms inference", "mean batch"] {
        assert!(table.contains(word), "no `{word}` in:\n{table}");
    }
    let told: Value = serde_json::from_str(&read(&json)).expect("JSON");
    assert_eq!((&told["timeout_ms"], &told["runs"][0]["in_deadline"]), (&60_000.into(), &20.into()), "{told}");
    let page = read(&page);
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    assert!(page.contains("default-src 'none'") && page.matches("<svg").count() >= 3);
    assert!(!page.contains("<script") && !page.contains("src="));
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).expect("it was written")
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_said_with_what_to_do() {
    // Bound, so that nobody else has it, and closed at once.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    drop(listener);
    let output = bench(&url, &["--requests", "20"]).await;
    assert_eq!(output.status.code(), Some(1));
    let complaint = text(&output.stderr);
    assert!(complaint.starts_with(&format!("error: no server at {url}: ")), "{complaint}");
    assert!(complaint.contains("resnetd serve") && text(&output.stdout).is_empty(), "{complaint}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_refuses_is_said_in_its_words() {
    let server = TestServer::start().await;
    let url = format!("http://{}", server.http_address);
    for protocol in ["http1", "http2", "grpc"] {
        let output = bench(&url, &["--protocol", protocol, "--model", "lions"]).await;
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{complaint}");
        let status = if protocol == "grpc" { "NOT_FOUND" } else { "404" };
        assert!(complaint.contains(status) && complaint.contains("lions") && complaint.contains(MODEL), "{complaint}");
    }
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), "no picture").expect("it can be written");
    let output = bench(&url, &["--image", file.path().to_str().expect("text")]).await;
    let complaint = text(&output.stderr);
    assert!(output.status.code() == Some(1) && complaint.contains("the server answers 415: "), "{complaint}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_refused_before_anything_is_sent() {
    let cases: [(&[&str], i32, &str); 6] = [
        (&["--url", "ftp://127.0.0.1"], 1, "is no URL"),
        (&["--url", "two words"], 1, "is no URL"),
        (&["--protocol", "http3"], 2, "http1, http2, grpc"),
        (&["--rate", "0"], 2, "is no rate"),
        (&["--seed", "3"], 2, "--rate"),
        (&["--requests", "3"], 1, "lower --connections"),
    ];
    for (arguments, code, words) in cases {
        let mut command = resnetd(&["bench"]);
        command.args(arguments);
        let output = spawn_blocking(move || command.output()).await.expect("no panic").expect("the program starts");
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {complaint}");
        assert!(complaint.contains(words), "{arguments:?}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_that_nothing_is_answered_of_is_a_failure_and_reported() {
    let server = TestServer::builder(ScriptedExecutor::blocked(&logits())).start().await;
    let url = format!("http://{}", server.http_address);
    let arguments =
        ["--requests", "4", "--connections", "2", "--warmup", "0", "--timeout-ms", "50", "--format", "json"];
    let output = bench(&url, &arguments).await;
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "error: no request was answered\n");
    let told: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    let run = &told["runs"][0];
    // In the queue until their deadline, or not taken because they would be late.
    let count = |key: &str| run[key].as_u64().unwrap_or_else(|| panic!("{key} in {told}"));
    assert_eq!((count("requests"), count("answered"), count("expired") + count("refused")), (4, 0, 4), "{told}");
    assert!(run["messages"]["504"].is_string() || run["messages"]["429"].is_string(), "{told}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_load_reports_what_there_is() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).start().await;
    let url = format!("http://{}", server.http_address);
    let mut command = resnetd(&["bench", "--url", &url, "--duration", "60", "--warmup", "0", "--connections", "1"]);
    command.args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn().expect("the program starts");
    // The first one tries whether it works, the second one counts, and is answered when the third one comes.
    let counted = format!("resnetd_requests_total{{model=\"{MODEL}\"");
    glance("three requests came", async || {
        let metrics = text(&server.http().await.get("/metrics").await.body);
        // A line for each protocol and code, in no order.
        let lines = metrics.lines().filter(|line| line.starts_with(&counted));
        let counts = lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok());
        counts.sum::<f64>() >= 3.0
    })
    .await;
    send(&child, libc::SIGINT);
    // Read to its end, because a full pipe would hold it up.
    let output = timeout(PATIENCE, spawn_blocking(move || child.wait_with_output())).await.expect("it ends in time");
    let output = output.expect("no panic").expect("its pipes");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let told: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    let run = &told["runs"][0];
    assert!(run["interrupted"] == true && run["answered"].as_u64() > Some(0), "{told}");
}
