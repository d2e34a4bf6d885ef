//! Models with different shares of the cores, served by the program itself.
#![cfg(target_os = "linux")]

use std::{fs, path::Path, process::Stdio};

use crate::support::{
    next_tick,
    program::{ServerProcess, glance},
};

/// A copy of the built-in model whose session has a thread of its own beside the worker's.
fn model(repository: &Path, name: &str, share: &str) {
    let from = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/models/resnet20-cifar10"));
    let folder = repository.join(name);
    fs::create_dir_all(folder.join("1")).unwrap();
    for file in ["labels.txt", "1/model.onnx"] {
        fs::copy(from.join(file), folder.join(file)).unwrap();
    }
    let manifest = fs::read_to_string(from.join("model.toml")).unwrap();
    let runtime = format!("[runtime]\nprovider = \"cpu\"\ninstances = 1\nintra_threads = 2\nshare = {share}\n");
    fs::write(folder.join("model.toml"), format!("{manifest}\n{runtime}")).unwrap();
}

/// The name and the niceness of each thread of a process.
fn threads(id: u32) -> Vec<(String, i32)> {
    let of = |thread: fs::DirEntry| {
        let stat = fs::read_to_string(thread.path().join("stat")).ok()?;
        let (start, rest) = stat.rsplit_once(") ")?;
        let nice = rest.split(' ').nth(16)?.parse().ok()?;
        Some((start.split_once('(')?.1.to_owned(), nice))
    };
    fs::read_dir(format!("/proc/{id}/task")).unwrap().filter_map(|thread| of(thread.unwrap())).collect()
}

#[tokio::test]
async fn the_threads_of_a_model_with_half_a_share_stand_further_back() {
    let repository = tempfile::tempdir().unwrap();
    model(repository.path(), "full", "1");
    model(repository.path(), "half", "0.5");
    let folder = repository.path().to_str().unwrap();
    let server = ServerProcess::start(&[("RESNETD__MODELS__DIR", folder)], Stdio::null()).await;

    let threads = threads(server.id());

    let of = |worker: &str| threads.iter().find(|(name, _)| name == worker).map(|(_, nice)| *nice);
    let full = of("full/0").expect("it has a worker");
    assert_eq!(of("half/0"), Some(full + 3), "1.25 to the third is 1.95: {threads:?}");
    let behind = threads.iter().filter(|(_, nice)| *nice == full + 3).count();
    assert_eq!(behind, 2, "the session's own thread is as far back as its worker: {threads:?}");
    server.stop().await;
}

#[tokio::test]
async fn what_is_loaded_beside_traffic_serves_from_where_all_others_do() {
    let (repository, made) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    model(repository.path(), "full", "1");
    let settings = [
        ("RESNETD__MODELS__DIR", repository.path().to_str().unwrap()),
        ("RESNETD__MODELS__WATCH_INTERVAL_MS", "100"),
        ("RESNETD__MODELS__SETTLE_MS", "0"),
    ];
    let server = ServerProcess::start(&settings, Stdio::null()).await;
    model(made.path(), "half", "0.5");
    next_tick(repository.path());
    fs::rename(made.path().join("half"), repository.path().join("half")).unwrap();
    glance("the model has come", async || {
        let status = server.http().await.get("/v1/models/half").await;
        status.status == 200 && status.json()["model_version_status"][0]["state"] == "AVAILABLE"
    })
    .await;

    let threads = threads(server.id());

    let of = |name: &str| threads.iter().filter(|(other, _)| name == other).map(|(_, nice)| *nice).collect::<Vec<_>>();
    let full = of("full/0")[0];
    assert_eq!(of("half/0"), [full + 3], "{threads:?}");
    assert_eq!(of("session"), [full + 3], "it was made further back, and serves beside its worker: {threads:?}");
    server.stop().await;
}
