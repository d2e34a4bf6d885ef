//! What comes of looks at a store, over a store in memory and with a time that is given.

use std::sync::{Arc, Mutex};

use object_store::{ObjectStoreExt, PutPayload, memory::InMemory};
use tempfile::TempDir;

use super::*;
use crate::{
    files::hex,
    store::digests::{Digests, FileDigest},
};
use sha2::{Digest, Sha256};

const SETTLE: Duration = Duration::from_secs(5);

struct Bench {
    store: Arc<InMemory>,
    folder: TempDir,
    mirror: Mirror,
    served: Arc<Mutex<Vec<u64>>>,
    start: Instant,
}

impl Bench {
    fn new(max_bytes: u64) -> Self {
        let store = Arc::new(InMemory::new());
        let folder = tempfile::tempdir().unwrap();
        let served = Arc::new(Mutex::new(Vec::new()));
        let (there, is_served) = (StoreClient::of(store.clone()), served.clone());
        let options = MirrorOptions {
            url: "s3://b/m".parse().unwrap(),
            open: Box::new(move || Ok(there.clone())),
            folder: folder.path().to_owned(),
            max_bytes,
            settle: SETTLE,
            pick: Box::new(|_, versions| versions.last().copied().into_iter().collect()),
            is_served: Box::new(move |_, version| is_served.lock().unwrap().contains(&version)),
            meter: StoreMeter::default(),
        };
        let mut mirror = Mirror::new(options);
        assert!(mirror.lock().unwrap());
        Self { store, folder, mirror, served, start: Instant::now() }
    }

    async fn put(&self, name: &str, text: &str) {
        self.store.put(&Key::from(format!("m/{name}")), PutPayload::from(text.to_owned())).await.unwrap();
    }

    async fn manifest(&self, version: &str, files: &[(&str, &str)]) {
        let digest = |(name, text): &(&str, &str)| {
            ((*name).to_owned(), FileDigest { size: text.len() as u64, sha256: hex(&Sha256::digest(text)) })
        };
        let digests = Digests { files: files.iter().map(digest).collect() };
        self.put(&format!("{version}/.manifest.json"), &digests.text()).await;
    }

    async fn delete(&self, name: &str) {
        self.store.delete(&Key::from(format!("m/{name}"))).await.unwrap();
    }

    /// Looks, so many seconds after the start; what was wrong.
    async fn look(&mut self, seconds: u64) -> Vec<String> {
        let troubles = self.mirror.look(false, self.start + Duration::from_secs(seconds)).await.unwrap();
        troubles.into_iter().map(|(name, fault)| format!("{name}: {fault}")).collect()
    }

    /// Every file that is not hidden, with its text.
    fn here(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut left = folders(self.folder.path());
        while let Some((name, folder)) = left.pop() {
            left.extend(folders(&folder).into_iter().map(|(inner, place)| (format!("{name}/{inner}"), place)));
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                let file = entry.file_name().into_string().unwrap();
                if entry.file_type().unwrap().is_file() && !file.starts_with('.') {
                    files.push(format!("{name}/{file}={}", fs::read_to_string(entry.path()).unwrap()));
                }
            }
        }
        files.sort();
        files
    }

    /// Nothing is left of what was put together.
    fn is_tidy(&self) -> bool {
        let hidden =
            fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let known = [PARTIAL_FOLDER, LOCK_FILE, LOOKED_FILE];
        hidden.filter(|name| name.starts_with('.')).all(|name| known.contains(&&*name))
    }
}

#[tokio::test]
async fn a_store_becomes_a_folder_of_models_and_is_fetched_once() {
    let mut bench = Bench::new(1000);
    for (name, text) in [
        ("net/model.toml", "toml"),
        ("net/1/model.onnx", "one"),
        ("net/2/model.onnx", "two"),
        ("net/2/model.onnx.data", "w"),
        ("other/7/model.onnx", ""),
    ] {
        bench.put(name, text).await;
    }
    assert!(bench.look(0).await.is_empty());
    let expected = ["net/2/model.onnx.data=w", "net/2/model.onnx=two", "net/model.toml=toml", "other/7/model.onnx="];
    assert_eq!(bench.here(), expected, "the highest version of each");
    let fetched = bench.mirror.options.meter.downloaded();
    assert_eq!(fetched, 8);

    assert!(bench.look(10).await.is_empty());
    assert_eq!((bench.here(), bench.mirror.options.meter.downloaded()), (expected.map(str::to_owned).into(), fetched));
    assert!(bench.is_tidy());
}

#[tokio::test]
async fn a_version_with_a_manifest_counts_when_everything_in_it_is_there_and_not_before() {
    let mut bench = Bench::new(1000);
    bench.put("net/1/model.onnx", "one").await;
    bench.look(0).await;
    let (graph, weights) = (("model.onnx", "graph"), ("model.onnx.data", "weights"));
    let one = ["net/1/model.onnx=one"];
    bench.put("net/2/model.onnx.data", weights.1).await;
    bench.look(100).await;
    bench.look(200).await;
    assert_eq!(bench.here(), one);
    bench.manifest("net/2", &[graph, weights]).await;
    bench.look(300).await;
    assert_eq!(bench.here(), one);
    bench.put("net/2/model.onnx", graph.1).await;
    assert!(bench.look(301).await.is_empty());
    assert_eq!(
        bench.here(),
        ["net/1/model.onnx=one", "net/2/model.onnx.data=weights", "net/2/model.onnx=graph"],
        "at once"
    );
}

#[tokio::test]
async fn a_version_without_a_manifest_counts_when_it_is_unchanged_for_a_while() {
    let mut bench = Bench::new(1000);
    bench.put("net/1/model.onnx", "one").await;
    bench.look(0).await;
    bench.put("net/2/model.onnx", "graph").await;
    bench.look(10).await;
    bench.put("net/2/model.onnx.data", "weights").await;
    bench.look(16).await;
    assert_eq!(bench.here(), ["net/1/model.onnx=one"]);
    bench.look(21).await;
    assert_eq!(bench.here(), ["net/1/model.onnx=one", "net/2/model.onnx.data=weights", "net/2/model.onnx=graph"]);
}

#[tokio::test]
async fn what_is_not_what_its_manifest_says_never_appears_and_others_do() {
    let mut bench = Bench::new(1000);
    for (name, text) in [("a/1/model.onnx", "one"), ("b/1/model.onnx", "one")] {
        bench.put(name, text).await;
    }
    bench.look(0).await;
    bench.manifest("a/2", &[("model.onnx", "good")]).await;
    bench.put("a/2/model.onnx", "evil").await;
    bench.put("b/2/model.onnx", "two").await;
    bench.look(10).await;
    let troubles = bench.look(16).await;
    assert!(bench.here().contains(&"b/2/model.onnx=two".to_owned()), "{:?}", bench.here());
    assert!(!bench.here().iter().any(|file| file.starts_with("a/2")), "{:?}", bench.here());
    assert!(
        troubles
            .iter()
            .all(|line| line
                .starts_with("a: m/a/2/model.onnx: its bytes are not what the version's manifest says (stated ")),
        "{troubles:?}"
    );
    // What was damaged is put there again.
    bench.put("a/2/model.onnx", "good").await;
    assert!(bench.look(17).await.is_empty());
    assert!(bench.here().contains(&"a/2/model.onnx=good".to_owned()));
    assert!(bench.is_tidy());
}

#[tokio::test]
async fn a_version_that_is_overwritten_is_replaced_whole() {
    let mut bench = Bench::new(1000);
    for (name, text) in [("net/1/model.onnx", "one"), ("net/1/old.data", "x"), ("net/labels.txt", "cat")] {
        bench.put(name, text).await;
    }
    bench.look(0).await;
    bench.put("net/1/model.onnx", "another").await;
    bench.delete("net/1/old.data").await;
    bench.put("net/names.txt", "dog").await;
    bench.delete("net/labels.txt").await;
    bench.look(10).await;
    assert_eq!(bench.here(), ["net/1/model.onnx=one", "net/1/old.data=x", "net/labels.txt=cat"], "it may not be all");
    bench.look(15).await;
    assert_eq!(bench.here(), ["net/1/model.onnx=another", "net/names.txt=dog"]);
    assert!(bench.is_tidy());
}

#[tokio::test]
async fn what_is_gone_goes_once_what_replaces_it_is_here() {
    let mut bench = Bench::new(1000);
    for name in ["net/1/model.onnx", "net/2/model.onnx", "other/1/model.onnx"] {
        bench.put(name, "x").await;
    }
    bench.look(0).await;
    bench.delete("net/2/model.onnx").await;
    bench.delete("other/1/model.onnx").await;
    bench.look(10).await;
    assert_eq!(bench.here(), ["net/1/model.onnx=x"]);
}

#[tokio::test]
async fn an_empty_store_is_taken_for_an_accident() {
    let mut bench = Bench::new(1000);
    bench.put("net/1/model.onnx", "x").await;
    bench.look(0).await;
    bench.delete("net/1/model.onnx").await;
    let troubles = bench.look(10).await;
    assert!(troubles[0].contains("there are no models any more, and what is cached is served on"), "{troubles:?}");
    assert_eq!(bench.here(), ["net/1/model.onnx=x"]);
}

#[tokio::test]
async fn the_cache_stays_below_its_bound_and_keeps_what_is_served() {
    let mut bench = Bench::new(25);
    for (version, seconds) in [(1, 0), (2, 10), (3, 20)] {
        bench.put(&format!("net/{version}/model.onnx"), &version.to_string().repeat(10)).await;
        bench.manifest(&format!("net/{version}"), &[("model.onnx", &version.to_string().repeat(10))]).await;
        // 1 is what answers, whatever comes.
        *bench.served.lock().unwrap() = vec![1];
        assert!(bench.look(seconds).await.is_empty());
    }
    assert_eq!(bench.here(), ["net/1/model.onnx=1111111111", "net/3/model.onnx=3333333333"]);

    bench.put("net/4/model.onnx", &"4".repeat(30)).await;
    bench.look(30).await;
    let troubles = bench.look(40).await;
    assert_eq!(
        troubles,
        [
            "net: net/4 has 30 bytes and does not fit into the cache, which may have 25 and keeps what is served: raise [models] cache_max_bytes"
        ]
    );
    assert!(bench.here().contains(&"net/1/model.onnx=1111111111".to_owned()));
}

#[tokio::test]
async fn after_a_start_nothing_is_fetched_that_is_here_and_leftovers_go() {
    let mut bench = Bench::new(1000);
    bench.put("net/1/model.onnx", "one").await;
    bench.look(0).await;
    fs::create_dir(bench.folder.path().join(".version-left")).unwrap();
    let there = StoreClient::of(bench.store.clone());
    let options = MirrorOptions {
        url: "s3://b/m".parse().unwrap(),
        open: Box::new(move || Ok(there.clone())),
        folder: bench.folder.path().to_owned(),
        max_bytes: 1000,
        settle: SETTLE,
        pick: Box::new(|_, versions| versions.to_vec()),
        is_served: Box::new(|_, _| false),
        meter: StoreMeter::default(),
    };
    let mut second = Mirror::new(options);
    assert!(!second.lock().unwrap(), "the first one fills it");
    drop(bench.mirror.lock.take());
    assert!(second.lock().unwrap());
    second.look(false, Instant::now()).await.unwrap();
    assert_eq!(second.options.meter.downloaded(), 0);
    assert!(bench.is_tidy());
    // A file that is not as long as it was is fetched again.
    fs::write(bench.folder.path().join("net/1/model.onnx"), "o").unwrap();
    second.look(true, Instant::now()).await.unwrap();
    assert_eq!(bench.here(), ["net/1/model.onnx=one"]);
}
