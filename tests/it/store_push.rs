//! A version that is pushed while somebody watches: interrupted at every write, it is never seen half.

use std::{fs, path::Path, time::Duration};

use resnetd::{
    store::{LocalVersion, MirrorOptions, PushError, PushOptions, Pushed, StoreMirror, StoreUrl, open, push},
    telemetry::StoreMeter,
};
use tempfile::TempDir;

use crate::support::{
    program::resnetd,
    s3::{FakeS3, SECRET, Seen, Treat},
};

struct Pushing {
    s3: FakeS3,
    folder: TempDir,
    mirror: StoreMirror,
}

impl Pushing {
    fn new() -> Self {
        let (s3, folder) = (FakeS3::start(), tempfile::tempdir().unwrap());
        let (environment, of) = (s3.environment(), url());
        let options = MirrorOptions {
            url: url(),
            open: Box::new(move || open(&of, &environment)),
            folder: folder.path().join("cache"),
            max_bytes: 1 << 30,
            settle: Duration::from_secs(3600),
            pick: Box::new(|_, versions| versions.to_vec()),
            is_served: Box::new(|_, _| true),
            meter: StoreMeter::default(),
        };
        Self { mirror: StoreMirror::start(options, None).unwrap(), s3, folder }
    }

    /// Writes files of the version 3 of `net`, and what is beside it.
    fn write(&self, files: &[(&str, &[u8])]) {
        for (name, bytes) in files {
            let path = self.local().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }

    fn local(&self) -> std::path::PathBuf {
        self.folder.path().join("models/net/3")
    }

    async fn push(&self, options: PushOptions) -> Result<Pushed, PushError> {
        let client = open(&url(), &self.s3.environment()).unwrap();
        push(&client, &url(), &LocalVersion::at(&self.local()).unwrap(), options, &mut |_, _| {}).await
    }

    /// What a server has of the version after a look, which takes what is there as complete.
    async fn mirrored(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        self.mirror.look().await.unwrap();
        let read = |name: &str| fs::read(self.folder.path().join("cache/net/3").join(name));
        match (read("model.onnx"), read("model.onnx.data")) {
            (Ok(graph), Ok(weights)) => Some((graph, weights)),
            (Err(_), Err(_)) => None,
            other => panic!("half of a version: {other:?}"),
        }
    }

    /// From the `nth` write on, all are refused.
    fn break_off_at(&self, nth: usize) {
        let mut writes = 0;
        self.s3.treat(move |seen| {
            writes += usize::from(is_write(seen));
            if is_write(seen) && writes > nth { Treat::Says(403, "AccessDenied") } else { Treat::Soundly }
        });
    }
}

fn url() -> StoreUrl {
    "s3://bucket/models".parse().unwrap()
}

fn is_write(seen: &Seen) -> bool {
    matches!(&*seen.method, "PUT" | "POST")
}

const FILES: [(&str, &[u8]); 4] = [
    ("model.onnx", b"graph"),
    ("model.onnx.data", b"weights"),
    ("../model.toml", b"# settings"),
    ("../labels.txt", b"cat"),
];

/// Files, settings, labels, the manifest, the graph.
const WRITES: usize = 5;

#[tokio::test]
async fn the_graph_is_written_last_and_the_manifest_before_it() {
    let bench = Pushing::new();
    bench.write(&FILES);
    let pushed = bench.push(PushOptions::default()).await.unwrap();
    let written = ["labels.txt", "model.toml"].map(str::to_owned).into();
    assert_eq!(pushed, Pushed { bytes: 12, written, ..Pushed::default() });
    let writes = bench.s3.take_seen().into_iter().filter(is_write).map(|seen| seen.key).collect::<Vec<_>>();
    let expected = ["3/model.onnx.data", "labels.txt", "model.toml", "3/.manifest.json", "3/model.onnx"];
    assert_eq!(writes, expected.map(|name| format!("models/net/{name}")));
    assert_eq!(bench.mirrored().await, Some((b"graph".into(), b"weights".into())));
}

#[tokio::test]
async fn interrupted_at_any_write_it_is_not_there_and_is_done_over() {
    for nth in 0..WRITES {
        let bench = Pushing::new();
        bench.write(&FILES);
        bench.break_off_at(nth);
        let refused = bench.push(PushOptions::default()).await.unwrap_err().to_string();
        assert!(refused.contains("access is denied (403 AccessDenied)") && !refused.contains(SECRET), "{refused}");
        bench.s3.treat(|_| Treat::Soundly);
        assert_eq!(bench.mirrored().await, None, "after {nth} writes");
        bench.push(PushOptions::default()).await.unwrap();
        assert_eq!(bench.mirrored().await, Some((b"graph".into(), b"weights".into())));
    }
}

#[tokio::test]
async fn overwriting_is_asked_for_and_seen_whole() {
    let force = PushOptions { force: true, ..PushOptions::default() };
    for nth in 0..=3 {
        let bench = Pushing::new();
        bench.write(&FILES);
        bench.push(PushOptions::default()).await.unwrap();
        assert!(bench.mirrored().await.is_some());
        assert!(bench.push(PushOptions::default()).await.unwrap().was_there);

        // As long as the others were, so that only digests tell.
        bench.write(&[("model.onnx", b"GRAPH"), ("model.onnx.data", b"WEIGHTS")]);
        let refused = bench.push(PushOptions::default()).await.unwrap_err().to_string();
        assert!(refused.starts_with("s3://bucket/models/net/3 is there already"), "{refused}");
        bench.break_off_at(nth);
        let outcome = bench.push(force).await;
        assert_eq!(outcome.is_ok(), nth == 3, "weights, manifest, graph: {outcome:?}");
        bench.s3.treat(|_| Treat::Soundly);
        let expected: (&[u8], &[u8]) = if nth == 3 { (b"GRAPH", b"WEIGHTS") } else { (b"graph", b"weights") };
        assert_eq!(bench.mirrored().await, Some((expected.0.into(), expected.1.into())), "after {nth} writes");
        bench.push(force).await.unwrap();
        assert_eq!(bench.mirrored().await, Some((b"GRAPH".into(), b"WEIGHTS".into())));
    }
}

#[tokio::test]
async fn settings_that_are_there_are_left_unless_they_are_meant() {
    let bench = Pushing::new();
    bench.write(&FILES);
    bench.s3.put("models/net/model.toml", "# of production");
    let pushed = bench.push(PushOptions::default()).await.unwrap();
    assert_eq!((pushed.written, pushed.left), (vec!["labels.txt".to_owned()], vec!["model.toml".to_owned()]));
    assert_eq!(bench.s3.objects()["models/net/model.toml"], b"# of production");
    let pushed = bench.push(PushOptions { settings: true, ..PushOptions::default() }).await.unwrap();
    assert_eq!((pushed.was_there, pushed.written), (true, vec!["model.toml".to_owned()]));
    assert_eq!(bench.s3.objects()["models/net/model.toml"], b"# settings");
}

#[tokio::test]
async fn a_large_file_goes_in_parts() {
    let bench = Pushing::new();
    let weights: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    bench.write(&[("model.onnx", b"graph"), ("model.onnx.data", &weights)]);
    bench.push(PushOptions::default()).await.unwrap();
    let parts = bench.s3.take_seen().into_iter().filter(|seen| seen.query.contains_key("partNumber")).count();
    assert_eq!(parts, 2);
    assert_eq!(bench.mirrored().await, Some((b"graph".into(), weights)));
}

#[test]
fn the_command_says_what_is_wrong_before_anything_is_sent() {
    let s3 = FakeS3::start();
    let folder = tempfile::tempdir().unwrap();
    let refusal = |arguments: &[&str]| {
        let output = resnetd(arguments).envs(s3.environment()).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let missing = folder.path().join("net/1");
    let (code, line) = refusal(&["push", missing.to_str().unwrap(), "s3://bucket/models"]);
    assert_eq!(code, Some(1));
    assert!(line.contains("is no version of a model: give MODELS/NAME/VERSION"), "{line}");
    let (code, line) = refusal(&["push", missing.to_str().unwrap(), "s3://key:secret@bucket/models"]);
    assert_eq!(code, Some(1));
    assert!(line.contains("credentials come from the environment") && !line.contains("secret"), "{line}");
    fs::create_dir_all(&missing).unwrap();
    fs::write(missing.join("model.onnx"), "no graph").unwrap();
    let (code, line) = refusal(&["push", missing.to_str().unwrap(), "s3://bucket/models"]);
    assert_eq!((code, line.lines().count()), (Some(1), 1), "{line}");
    assert!(s3.take_seen().is_empty());

    let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("models/resnet20-cifar10/1");
    let output =
        resnetd(&["push", built_in.to_str().unwrap(), "s3://bucket/models"]).envs(s3.environment()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(
        told.starts_with("s3://bucket/models/resnet20-cifar10/1: ") && told.ends_with(" bytes, complete\n"),
        "{told}"
    );
    assert!(s3.objects().contains_key("models/resnet20-cifar10/labels.txt"));
}
