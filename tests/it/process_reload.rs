//! The promise of a reload: the program serves four connections without a pause, and a model changes under them ten times.

use std::{
    fs,
    path::Path,
    process::Stdio,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::support::{
    images, next_tick,
    program::{ServerProcess, glance},
};

const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/resnet20-cifar10");
const RELOADS: u64 = 10;

/// A version of the model, which appears whole.
fn put(repository: &Path, version: u64) {
    let (place, staged) = (repository.join("net").join(version.to_string()), repository.join(".staged"));
    fs::create_dir(&staged).unwrap();
    fs::copy(Path::new(BUILT_IN).join("1/model.onnx"), staged.join("model.onnx")).unwrap();
    next_tick(repository);
    fs::rename(staged, place).unwrap();
}

/// The versions that answer.
async fn answering(server: &ServerProcess) -> Vec<String> {
    let status = server.http().await.get("/v1/models/net").await.json();
    let versions = status["model_version_status"].as_array().unwrap();
    let available = versions.iter().filter(|version| version["state"] == "AVAILABLE");
    available.map(|version| version["version"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_reloads_under_constant_load_fail_no_request() {
    let repository = tempfile::tempdir().unwrap();
    let at = |name: &str| repository.path().join("net").join(name);
    fs::create_dir(at("")).unwrap();
    for file in ["labels.txt", "model.toml"] {
        fs::copy(Path::new(BUILT_IN).join(file), at(file)).unwrap();
    }
    put(repository.path(), 1);
    let settings = [
        ("RESNETD__MODELS__DIR", repository.path().to_str().unwrap()),
        ("RESNETD__MODELS__WATCH_INTERVAL_MS", "100"),
        ("RESNETD__MODELS__SETTLE_MS", "600000"),
    ];
    let server = ServerProcess::start(&settings, Stdio::null()).await;
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let cat = images::cifar("cat");
    let client = async || {
        let mut http = server.http().await;
        while !done.load(Ordering::Relaxed) {
            let answer = http.post("/v1/models/net:classify", "image/jpeg", &cat).await;
            assert_eq!(answer.status, 200, "{:?}", String::from_utf8_lossy(&answer.body));
            assert_eq!(answer.json()["predictions"][0]["classes"][0]["label"], "cat");
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let reload = async || {
        for version in 2..=RELOADS + 1 {
            put(repository.path(), version);
            let expected = [version.to_string()];
            glance("the new version has taken over", async || answering(&server).await == expected).await;
            let before = answered.load(Ordering::Relaxed);
            glance("it answers", async || answered.load(Ordering::Relaxed) > before + 4).await;
            fs::remove_dir_all(at(&(version - 1).to_string())).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    tokio::join!(client(), client(), client(), client(), reload());
    assert_eq!(server.stop().await.code(), Some(0));
}
