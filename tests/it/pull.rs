//! Downloads from a hub, a small one on loopback that speaks as the real one does.

// The test's own functions, which the exemption for tests does not reach.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use resnetd::resnet::hub::{Fetched, Hub, HubError, RemoteFile, catalogue};
use resnetd::resnet::{self, import};
use tempfile::TempDir;

use crate::support::{
    hub::{Behaviour, COMMIT, Seen, TestHub, listener, safetensors, sha256},
    program::resnetd,
};

const FILE: RemoteFile<'static> =
    RemoteFile { repository: "timm/resnet18.tv_in1k", revision: "main", path: "model.safetensors" };

/// As large as a ResNet-18, and no two megabytes alike.
fn weights() -> Vec<u8> {
    static WEIGHTS: LazyLock<Vec<u8>> =
        LazyLock::new(|| (0..11_700_000_u32).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect());
    WEIGHTS.clone()
}

/// The hub, and a cache for what comes of it.
struct Fetching {
    hub: TestHub,
    cache: TempDir,
}

impl Fetching {
    fn start(stated: &[u8], served: Vec<u8>, behaviours: &[Behaviour]) -> Self {
        Self { hub: TestHub::start(stated, served, behaviours), cache: TempDir::new().unwrap() }
    }

    fn hub(&self) -> Hub {
        let cache = self.cache.path().to_owned();
        Hub::new(&self.hub.endpoint, Some("secret".to_owned()), cache).with_retry_pause(Duration::ZERO)
    }

    fn fetch(&self) -> Result<Fetched, HubError> {
        self.hub().fetch(FILE, &mut |_, _| {})
    }

    fn seen(&self) -> Vec<Seen> {
        self.hub.seen()
    }

    fn ranges(&self) -> Vec<String> {
        self.hub.ranges()
    }

    fn in_cache(&self, path: &str) -> PathBuf {
        self.cache.path().join("models--timm--resnet18.tv_in1k").join(path)
    }
}

#[test]
fn file_is_fetched_checked_and_cached_as_the_hubs_own_tools_lay_it_out() {
    let weights = weights();
    let hub = Fetching::start(&weights, weights.clone(), &[]);
    let mut last = (0, 0);
    let fetched = hub.hub().fetch(FILE, &mut |done, size| last = (done, size)).unwrap();

    assert_eq!(fetched.sha256, sha256(&weights));
    assert_eq!(fetched.path, hub.in_cache(&format!("snapshots/{COMMIT}/model.safetensors")));
    assert!(std::fs::read(&fetched.path).unwrap() == weights);
    assert_eq!(std::fs::read_to_string(hub.in_cache("refs/main")).unwrap(), COMMIT);
    assert_eq!(std::fs::read_link(&fetched.path).unwrap(), Path::new("../../blobs").join(sha256(&weights)));
    assert_eq!(last, (weights.len() as u64, weights.len() as u64));
}

#[test]
fn file_that_is_cached_and_unchanged_is_not_fetched_again() {
    let weights = weights();
    let hub = Fetching::start(&weights, weights.clone(), &[]);
    assert_eq!(hub.fetch().unwrap(), hub.fetch().unwrap());
    assert_eq!(hub.ranges().len(), 1);
}

#[test]
fn token_goes_to_the_hub_and_never_to_the_store_behind_it() {
    let weights = weights();
    let hub = Fetching::start(&weights, weights.clone(), &[]);
    hub.fetch().unwrap();
    let seen = hub.seen();
    assert!(seen.len() >= 3);
    for seen in seen {
        assert_eq!(seen.has_token, !seen.target.ends_with("/signed"), "{seen:?}");
    }
}

#[test]
fn broken_transfer_goes_on_from_where_it_broke_off() {
    let weights = weights();
    let breaks = [Behaviour::BreaksOffAfter(20_000_000), Behaviour::BreaksOffAfter(7)];
    let hub = Fetching::start(&weights, weights.clone(), &breaks);
    let fetched = hub.fetch().unwrap();
    assert!(std::fs::read(fetched.path).unwrap() == weights);
    assert_eq!(hub.ranges(), ["bytes=0-", "bytes=20000000-", "bytes=20000007-"]);
}

#[test]
fn next_command_goes_on_where_one_that_gave_up_had_come_to() {
    let weights = weights();
    let nothing = Behaviour::BreaksOffAfter(0);
    let hub =
        Fetching::start(&weights, weights.clone(), &[Behaviour::BreaksOffAfter(30_000_000), nothing, nothing, nothing]);
    let error = hub.fetch().unwrap_err();
    assert!(matches!(error, HubError::Interrupted { done: 30_000_000, .. }), "{error}");
    assert!(error.to_string().contains("the same command goes on from there"));

    let fetched = hub.fetch().unwrap();
    assert!(std::fs::read(fetched.path).unwrap() == weights);
    assert_eq!(hub.ranges().last().unwrap(), "bytes=30000000-");
}

#[test]
fn store_that_knows_no_ranges_is_read_from_the_start() {
    let weights = weights();
    let behaviours = [Behaviour::BreaksOffAfter(10_000_000), Behaviour::KnowsNoRanges];
    let hub = Fetching::start(&weights, weights.clone(), &behaviours);
    assert!(std::fs::read(hub.fetch().unwrap().path).unwrap() == weights);
}

#[test]
fn content_with_another_checksum_is_refused_and_thrown_away() {
    let weights = weights();
    let mut served = weights.clone();
    served[40_000_000] ^= 1;
    let hub = Fetching::start(&weights, served, &[]);
    let error = hub.fetch().unwrap_err();
    assert!(matches!(&error, HubError::Checksum { stated, .. } if *stated == sha256(&weights)), "{error}");
    assert!(!hub.in_cache("snapshots").exists());
    assert_eq!(std::fs::read_dir(hub.in_cache("blobs")).unwrap().count(), 0);
}

#[test]
fn damaged_copy_in_the_cache_is_fetched_again() {
    let weights = weights();
    let hub = Fetching::start(&weights, weights.clone(), &[]);
    let path = hub.fetch().unwrap().path;
    std::fs::write(&path, b"truncated").unwrap();
    assert!(std::fs::read(hub.fetch().unwrap().path).unwrap() == weights);
}

#[test]
fn renamed_repository_is_followed() {
    let weights = weights();
    let hub = Fetching::start(&weights, weights.clone(), &[]);
    let file = RemoteFile { repository: "timm/renamed", ..FILE };
    assert_eq!(hub.hub().fetch(file, &mut |_, _| {}).unwrap().sha256, sha256(&weights));
}

#[test]
fn repository_that_wants_a_token_is_told_apart_from_one_that_is_not_there() {
    for (status, remedy) in [(401, "HF_TOKEN"), (404, "is not there")] {
        let hub = Fetching::start(b"", Vec::new(), &[Behaviour::HubSays(status)]);
        let message = hub.fetch().unwrap_err().to_string();
        assert!(message.contains(&status.to_string()) && message.contains(remedy), "{message}");
    }
}

#[test]
fn without_a_network_there_is_one_clear_line_or_the_copy_in_the_cache() {
    let weights = weights();
    let hub = Fetching::start(&weights, weights.clone(), &[]);
    // A port that was free a moment ago, and that nobody listens on.
    let nowhere = format!("http://{}", listener().local_addr().unwrap());
    let offline = Hub::new(&nowhere, None, hub.cache.path().to_owned());

    let message = offline.fetch(FILE, &mut |_, _| {}).unwrap_err().to_string();
    assert!(message.starts_with(&format!("cannot reach {nowhere}")) && message.contains("HF_ENDPOINT"), "{message}");
    assert_eq!(message.lines().count(), 1);

    let online = hub.fetch().unwrap();
    let cached = offline.fetch(FILE, &mut |_, _| {}).unwrap();
    assert_eq!((cached.path, cached.sha256), (online.path, online.sha256));
    assert!(cached.unasked.unwrap().contains("cannot reach"));
}

#[test]
fn a_place_for_certificates_that_holds_none_is_named_and_nobody_else_is_trusted() {
    let cache = tempfile::tempdir().unwrap();
    let mut command = resnetd(&["pull", "resnet18"]);
    command.env("SSL_CERT_FILE", "/nonexistent/ca.pem").env_remove("SSL_CERT_DIR").env("HF_HUB_CACHE", cache.path());
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("SSL_CERT_FILE is \"/nonexistent/ca.pem\", which holds no certificate"), "{said}");
    assert!(!ended.status.success());
}

#[test]
fn pulled_resnet18_becomes_a_model_with_the_weights_own_preprocessing_and_names() {
    let state = resnet::untrained(&"resnet18".parse().unwrap(), 3);
    let file = safetensors(&state);
    let hub = Fetching::start(&file, file.clone(), &[]);
    let models = TempDir::new().unwrap();

    let entry = catalogue::find("resnet18").unwrap();
    let fetched = hub.hub().fetch(entry.file("main"), &mut |_, _| {}).unwrap();
    let imported = import::read(&fetched.path).unwrap();
    assert!(imported.state_dict == state);
    let recipe = entry.recipe(&fetched, &imported).unwrap();
    let written = resnet::build(&recipe, imported.state_dict, models.path()).unwrap();

    assert_eq!(written.model, models.path().join("resnet18/1/model.onnx"));
    assert!(written.model.metadata().unwrap().len() > 46_000_000);
    let manifest: toml::Table =
        std::fs::read_to_string(models.path().join("resnet18/model.toml")).unwrap().parse().unwrap();
    let input = |key: &str| manifest["input"][key].clone();
    assert_eq!((input("resize_size"), input("crop_size")), (256.into(), 224.into()));
    assert_eq!((input("interpolation"), input("color")), ("bilinear".into(), "rgb".into()));
    let labels = std::fs::read_to_string(models.path().join("resnet18/labels.txt")).unwrap();
    assert!(labels.lines().count() == 1000 && labels.contains("tench"));
    let license = recipe.options.metadata.iter().find(|(key, _)| key == "license").unwrap();
    assert_eq!(license.1, "BSD-3-Clause");
}

#[test]
fn weights_of_another_architecture_than_the_hub_promises_are_refused() {
    let fetched = Fetched { path: PathBuf::new(), sha256: String::new(), commit: COMMIT.to_owned(), unasked: None };
    let plain = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import/plain.pth");
    let imported = import::read(&plain).unwrap();
    let entry = catalogue::find("resnet50").unwrap();
    let models = TempDir::new().unwrap();
    let message = match entry.recipe(&fetched, &imported) {
        Ok(recipe) => resnet::build(&recipe, imported.state_dict, models.path()).unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(message.contains("resnet50") && message.contains("layer1.0.conv1.weight"), "{message}");
    assert_eq!(std::fs::read_dir(models.path()).unwrap().count(), 0);
}
