//! A repository in which not everything is a model, served by the program itself.

use std::{
    ffi::{CString, OsStr},
    fs,
    io::{Read, Write, pipe},
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::Stdio,
    thread,
};

use crate::support::{
    images,
    program::{ServerProcess, resnetd},
};

const BUILT_IN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/models/resnet20-cifar10");

/// A copy of the built-in model under another name, with another file of labels.
fn model(repository: &Path, name: &str, labels: &str) {
    let folder = repository.join(name);
    fs::create_dir_all(folder.join("1")).unwrap();
    for file in ["labels.txt", "1/model.onnx"] {
        fs::copy(Path::new(BUILT_IN).join(file), folder.join(file)).unwrap();
    }
    let manifest = fs::read_to_string(Path::new(BUILT_IN).join("model.toml")).unwrap();
    fs::write(folder.join("model.toml"), manifest.replace("labels.txt", labels)).unwrap();
}

#[tokio::test]
async fn what_is_no_model_is_named_nobody_reads_a_file_outside_and_the_others_are_served() {
    let repository = tempfile::tempdir().unwrap();
    let at = |name: &str| repository.path().join(name);
    model(repository.path(), "good", "labels.txt");
    let mut settings = fs::OpenOptions::new().append(true).open(at("good/model.toml")).unwrap();
    settings.write_all(b"\n[versions]\npolicy = [1, 7]\n").unwrap();
    symlink("nothing", at("dangling")).unwrap();
    symlink("loop", at("loop")).unwrap();
    fs::create_dir(repository.path().join(OsStr::from_bytes(b"z\xff\n"))).unwrap();
    model(repository.path(), "fifo", "labels.txt");
    fs::remove_file(at("fifo/model.toml")).unwrap();
    let fifo = CString::new(at("fifo/model.toml").as_os_str().as_bytes()).unwrap();
    // SAFETY: `mkfifo` reads a string that ends with a zero and lives until it returns.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o666) }, 0);
    fs::write(at("secret"), "secret\n".repeat(10)).unwrap();
    model(repository.path(), "named", "../secret");
    model(repository.path(), "absolute", at("secret").to_str().unwrap());
    model(repository.path(), "linked", "labels.txt");
    fs::remove_file(at("linked/labels.txt")).unwrap();
    symlink("../secret", at("linked/labels.txt")).unwrap();

    let (mut reader, writer) = pipe().unwrap();
    let log = thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).map(|_| text)
    });
    let folder = repository.path().to_str().unwrap();
    let server = ServerProcess::start(&[("RESNETD__MODELS__DIR", folder)], writer).await;
    let mut http = server.http().await;
    let answer = http.post("/v1/models/good:classify", "image/jpeg", &images::cifar("ship")).await;
    assert_eq!(answer.status, 200);
    for name in ["fifo", "named", "absolute", "linked"] {
        let path = format!("/v1/models/{name}/labels");
        let answer = http.get(&path).await;
        assert_ne!(answer.status, 200, "{name}");
        assert!(!String::from_utf8_lossy(&answer.body).contains("secret\\n"), "{name}");
    }
    drop(http);
    server.stop().await;

    let log = log.join().unwrap().unwrap();
    for said in [
        "/dangling: a link to nothing",
        "[versions] policy names [7], and there is [1]",
        "/loop: ",
        "/z\\xff\\n: its name is no UTF-8",
        "it is a FIFO, not a file",
        "`output.labels`: ../secret leaves the model's folder",
        "a link leaves the model's folder",
    ] {
        assert!(log.contains(said), "{said} is missing in:\n{log}");
    }
}

#[tokio::test]
async fn a_label_stands_for_the_version_that_it_points_at() {
    let repository = tempfile::tempdir().unwrap();
    model(repository.path(), "good", "labels.txt");
    fs::create_dir(repository.path().join("good/2")).unwrap();
    fs::copy(Path::new(BUILT_IN).join("1/model.onnx"), repository.path().join("good/2/model.onnx")).unwrap();
    let mut settings = fs::OpenOptions::new().append(true).open(repository.path().join("good/model.toml")).unwrap();
    settings.write_all(b"\n[versions]\npolicy = \"all\"\nlabels = { stable = 1, canary = 2, gone = 7 }\n").unwrap();

    let folder = repository.path().to_str().unwrap();
    let server = ServerProcess::start(&[("RESNETD__MODELS__DIR", folder)], Stdio::null()).await;
    let mut http = server.http().await;
    for (route, version) in [("", 2), ("/labels/stable", 1), ("/labels/canary", 2), ("/versions/1", 1)] {
        let path = format!("/v1/models/good{route}:classify");
        let answer = http.post(&path, "image/jpeg", &images::cifar("ship")).await;
        assert_eq!((answer.status, answer.json()["version"].as_u64()), (200, Some(version)), "{route}");
    }
    let metadata = http.get("/v1/models/good/labels/stable/metadata").await;
    assert_eq!(metadata.json()["version"], 1);
    let status = http.get("/v1/models/good/labels/stable").await;
    assert_eq!(status.json()["model_version_status"][0]["version"], "1");
    for (route, said) in [
        ("nothing", "has no version labelled `nothing`; there is canary (2), gone (7), stable (1)"),
        ("gone", "has no version 7; there is 1, 2"),
    ] {
        let answer = http.get(&format!("/v1/models/good/labels/{route}")).await;
        assert_eq!(answer.status, 404);
        assert!(String::from_utf8_lossy(&answer.body).contains(said), "{}", String::from_utf8_lossy(&answer.body));
    }
}

#[test]
fn a_repository_that_is_no_folder_is_not_taken_for_an_empty_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "").unwrap();
    symlink("nothing", at("link")).unwrap();
    for name in ["file", "link"] {
        let mut serve = resnetd(&["serve", "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"]);
        let output =
            serve.env("RESNETD__MODELS__DIR", at(name)).env("RESNETD__RUNTIME__TUNE", "false").output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("cannot read the model repository") && said.contains(name), "{said}");
    }
}

#[tokio::test]
async fn models_that_are_loaded_on_demand_take_turns_in_the_room_that_there_is() {
    let repository = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c"] {
        model(repository.path(), name, "labels.txt");
    }
    let folder = repository.path().to_str().unwrap();
    let settings = [
        ("RESNETD__MODELS__DIR", folder),
        ("RESNETD__MODELS__LOAD", "on_demand"),
        ("RESNETD__MODELS__MAX_LOADED", "1"),
    ];
    let server = ServerProcess::start(&settings, Stdio::null()).await;
    let mut http = server.http().await;
    for name in ["a", "b", "a", "c"] {
        let answer =
            http.post(&format!("/v1/models/{name}:classify?top_k=1"), "image/jpeg", &images::cifar("ship")).await;
        assert_eq!(answer.json()["predictions"][0]["classes"][0]["label"], "ship", "{name}");
    }
    let list = http.get("/v1/models").await.json();
    let states: Vec<_> = (0..3).map(|place| list["model_versions"][place]["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["NOT_LOADED", "NOT_LOADED", "AVAILABLE"]);
    assert_eq!(list["model_versions"][0]["architecture"], "resnet20-cifar");
    drop(http);
    server.stop().await;
}
