//! A server whose models are in a bucket, as a process: it serves on while the store is away, takes what is new when it is back, starts without it, and
//! never logs a secret.

use std::{
    fs::{self, File},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use tempfile::TempDir;

use crate::support::{
    images,
    program::{ServerProcess, glance},
    s3::{FakeS3, Gate, SECRET, Treat},
};

const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/resnet20-cifar10");
const UP: &str = "resnetd_store_up{store=\"s3://bucket/models\"}";

fn put(s3: &FakeS3, version: u64) {
    let read = |name: &str| fs::read(Path::new(BUILT_IN).join(name)).unwrap();
    for file in ["model.toml", "labels.txt"] {
        s3.put(&format!("models/net/{file}"), read(file));
    }
    s3.put(&format!("models/net/{version}/model.onnx"), read("1/model.onnx"));
}

async fn start(s3: &FakeS3, folder: &TempDir, log: &str) -> ServerProcess {
    let cache = folder.path().join("cache");
    let environment = s3.environment();
    let mut settings: Vec<(&str, &str)> = environment.iter().map(|(name, value)| (&**name, &**value)).collect();
    settings.extend([
        ("RESNETD__MODELS__DIR", "s3://bucket/models"),
        ("RESNETD__MODELS__CACHE_DIR", cache.to_str().unwrap()),
        ("RESNETD__MODELS__STORE_INTERVAL_MS", "100"),
        ("RESNETD__MODELS__WATCH_INTERVAL_MS", "100"),
        ("RESNETD__MODELS__SETTLE_MS", "100"),
        ("RESNETD__LOG__LEVEL", "trace"),
    ]);
    ServerProcess::start(&settings, File::create(folder.path().join(log)).unwrap()).await
}

async fn is_answered_by(server: &ServerProcess, version: u64) -> bool {
    let answer = server.http().await.post("/v1/models/net:classify", "image/jpeg", &images::cifar("cat")).await;
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    answer.json()["version"] == version
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_that_comes_to_a_halt_holds_up_no_request_and_goes_on() {
    let (s3, folder) = (FakeS3::start(), tempfile::tempdir().unwrap());
    put(&s3, 1);
    let server = start(&s3, &folder, "log").await;
    let gate = Arc::new(Gate::default());
    s3.treat({
        let gate = gate.clone();
        move |seen| {
            if seen.key.ends_with("2/model.onnx") { Treat::HoldsAfter(1000, gate.clone()) } else { Treat::Soundly }
        }
    });
    put(&s3, 2);
    glance("it is being fetched", async || {
        s3.take_seen().iter().any(|seen| seen.method == "GET" && seen.key.ends_with("2/model.onnx"))
    })
    .await;

    for _ in 0..20 {
        assert!(is_answered_by(&server, 1).await, "half a version is none");
    }
    assert_eq!(server.http().await.get("/readyz").await.status, 200);
    assert_eq!(server.metric(UP).await, 1.0, "it answers, if slowly");

    gate.open();
    glance("the new version has taken over", async || is_answered_by(&server, 2).await).await;
    assert_eq!(server.stop().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_goes_and_comes_back_fails_no_request_and_is_not_needed_for_a_start() {
    let (s3, folder) = (FakeS3::start(), tempfile::tempdir().unwrap());
    put(&s3, 1);
    let server = start(&s3, &folder, "first.log").await;
    assert!(is_answered_by(&server, 1).await);
    assert_eq!(server.metric(UP).await, 1.0);

    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = async || {
        while !done.load(Ordering::Relaxed) {
            is_answered_by(&server, 1).await;
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let operator = async || {
        s3.kill();
        glance("it is seen to be away", async || server.metric(UP).await == 0.0).await;
        let before = answered.load(Ordering::Relaxed);
        glance("it serves on", async || answered.load(Ordering::Relaxed) > before + 4).await;
        assert_eq!(server.http().await.get("/readyz").await.status, 200);
        put(&s3, 2);
        let back = s3.revive();
        glance("the new version has taken over", async || is_answered_by(&server, 2).await).await;
        assert_eq!(server.metric(UP).await, 1.0);
        done.store(true, Ordering::Relaxed);
        back
    };
    let ((), back) = tokio::join!(client(), operator());
    assert_eq!(server.stop().await.code(), Some(0));

    back.kill();
    let server = start(&back, &folder, "second.log").await;
    assert!(is_answered_by(&server, 2).await, "from what was kept");
    assert_eq!(server.metric(UP).await, 0.0);
    assert_eq!(server.stop().await.code(), Some(0));

    let log = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let (first, second) = (log("first.log"), log("second.log"));
    let count = |log: &str, what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(count(&first, "; what is cached of it goes on (1 models"), 1, "said once:\n{first}");
    assert_eq!(count(&first, "answers again, after "), 1, "{first}");
    assert_eq!(count(&second, "; what is cached of it goes on (1 models, last compared "), 1, "{second}");
    for log in [first, second] {
        let told = log.lines().find(|line| line.contains(SECRET) || line.contains("Signature="));
        assert_eq!(told, None, "no secret is logged, at whatever level");
    }
}
