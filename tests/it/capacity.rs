//! `resnetd capacity` as people run it: from a running server's numbers, from what a start has measured, and what it says where there is no answer.

use std::{path::Path, process::Output, thread::available_parallelism};

use resnetd::model::RESNET20_CIFAR10;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::support::{
    images::cifar,
    program::{ServerProcess, resnetd},
    server::TestServer,
};

async fn capacity(arguments: &[&str], settings: &[(&str, &str)]) -> Output {
    let mut command = resnetd(&[&["capacity"], arguments].concat());
    command.envs(settings.iter().copied());
    let ended = spawn_blocking(move || command.output()).await.expect("no panic");
    ended.expect("the program starts")
}

#[track_caller]
fn document(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[track_caller]
fn complaint(output: &Output, code: i32) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    stderr
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// A server that has run its model often enough.
async fn asked_server() -> (TestServer, String) {
    let server = TestServer::with_a_trained_model().await;
    let url = format!("http://{}", server.http_address);
    let mut client = server.http().await;
    for _ in 0..8 {
        let path = format!("/v1/models/{}:classify", RESNET20_CIFAR10.name);
        assert_eq!(client.post(&path, "image/jpeg", &cifar("ship")).await.status, 200);
    }
    (server, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_own_numbers_say_how_many_like_it_a_rate_needs() {
    let (_server, url) = asked_server().await;
    let asked = ["--url", &url, "--rate", "1000000", "--spare", "2", "--headroom", "0.25", "--core-hour", "0.04"];
    let told = document(&capacity(&[&asked[..], &["--format", "json"]].concat(), &[]).await);
    assert_eq!(told["model"], RESNET20_CIFAR10.name);
    let (replica, fleet) = (&told["replica"], &told["fleet"]);
    assert_eq!(replica["runs"][0]["images"], 1, "{told}");
    // Three quarters of what it can do, whatever that is here.
    let (most, each) = (number(&told["most_images_per_second"]), number(&told["each"]["images_per_second"]));
    assert!((each / most - 0.75).abs() < 1e-3 && told["limited_by"] == "headroom", "{told}");
    let replicas = number(&fleet["replicas"]);
    assert!((replicas - ((1e6 / each).ceil() + 2.0)).abs() <= 1.0, "{told}");
    let cores = replicas * number(&replica["cores"]);
    assert_eq!(number(&fleet["cores"]), cores);
    // A million images a second: one second of all cores.
    let cost = number(&told["cost"]["million_images"]);
    assert!((cost - cores * 0.04 / 3600.0).abs() < 1e-3, "{told}");

    let text = capacity(&asked, &[]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for said in ["replicas for 1000000 images a second", "resnetd_load_ratio", "with 2 lost", "cost of a million"] {
        assert!(text.contains(said), "{said}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_that_no_machine_keeps_and_a_server_that_is_not_there_are_said() {
    let (server, url) = asked_server().await;
    let said = complaint(&capacity(&["--url", &url, "--p99-ms", "0.001"], &[]).await, 1);
    assert!(said.contains("a p99 of 0.001 ms cannot be kept") && said.contains("resnetd tune"), "{said}");
    let said = complaint(&capacity(&["--url", &url, "nobody"], &[]).await, 1);
    assert!(said.contains("no model `nobody`") && said.contains(RESNET20_CIFAR10.name), "{said}");
    drop(server);
    let said = complaint(&capacity(&["--ca", "ca.pem"], &[]).await, 1);
    assert!(said.contains("--url https://"), "{said}");
    for wrong in [["--rate", "0"], ["--p99-ms", "-1"], ["--headroom", "0.95"], ["--core-hour", "NaN"]] {
        let said = complaint(&capacity(&wrong, &[]).await, 2);
        assert!(said.contains(wrong[1]), "{wrong:?}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_never_ran_its_model_is_told_to_be_asked_first() {
    let server = TestServer::start().await;
    let url = format!("http://{}", server.http_address);
    let said = complaint(&capacity(&["--url", &url], &[]).await, 1);
    assert!(said.contains("resnetd bench"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_start_has_measured_is_reckoned_with() {
    let (cache, empty) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let path = |folder: &Path| folder.display().to_string();
    let (cache_path, empty_path) = (path(cache.path()), path(empty.path()));
    let settings = [
        ("XDG_CACHE_HOME", cache_path.as_str()),
        ("RESNETD__RUNTIME__TUNE", "true"),
        ("RESNETD__RUNTIME__INSTANCES", "0"),
    ];
    if available_parallelism().is_ok_and(|cores| cores.get() == 1) {
        return; // There is nothing to choose from, so nothing is measured.
    }
    ServerProcess::start(&settings, std::process::Stdio::null()).await.stop().await;
    let models = [&settings[..], &[("RESNETD__MODELS__DIR", empty_path.as_str())]].concat();
    let output = capacity(&["--format", "json"], &models).await;
    let told = document(&output);
    assert!(!String::from_utf8_lossy(&output.stderr).contains("not measured"), "{output:?}");
    assert_eq!(told["model"], RESNET20_CIFAR10.name);
    let (runs, each) = (&told["replica"]["runs"], &told["each"]);
    assert!(runs.as_array().is_some_and(|runs| runs.len() >= 2) && runs[0]["images"] == 1, "{told}");
    assert!(number(&told["replica"]["preparation_ms"]) > 0.0, "{told}");
    assert!(number(&each["p99_ms"]) >= number(&each["p50_ms"]), "{told}");
    assert!(told["fleet"].is_null() && told["cost"].is_null(), "{told}");
}
