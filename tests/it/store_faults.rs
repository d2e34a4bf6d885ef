//! A bucket that is mirrored, and everything that a store can do wrong, over HTTP.

use std::{fs, path::Path, time::Duration};

use resnetd::{
    store::{MirrorOptions, StoreError, StoreMirror, open},
    telemetry::StoreMeter,
};
use tempfile::TempDir;

use crate::support::s3::{BUCKET, FakeS3, KEY_ID, SECRET, Seen, Treat};

struct Mirrored {
    s3: FakeS3,
    folder: TempDir,
    mirror: StoreMirror,
    meter: StoreMeter,
}

impl Mirrored {
    fn new() -> Self {
        Self::of(BUCKET, |_| {})
    }

    /// * `change`: of the client's environment
    fn of(bucket: &str, change: impl FnOnce(&mut Vec<(String, String)>)) -> Self {
        let s3 = FakeS3::start();
        let folder = tempfile::tempdir().unwrap();
        let mut environment = s3.environment();
        change(&mut environment);
        let url: resnetd::store::StoreUrl = format!("s3://{bucket}/models").parse().unwrap();
        let (of, meter) = (url.clone(), StoreMeter::default());
        let options = MirrorOptions {
            url,
            open: Box::new(move || open(&of, &environment)),
            folder: folder.path().join("cache"),
            max_bytes: 1 << 30,
            settle: Duration::from_secs(3600),
            pick: Box::new(|_, versions| versions.to_vec()),
            is_served: Box::new(|_, _| true),
            meter: meter.clone(),
        };
        let mirror = StoreMirror::start(options, None).unwrap();
        Self { s3, folder, mirror, meter }
    }

    fn has(&self, name: &str, bytes: &[u8]) -> bool {
        fs::read(self.folder.path().join("cache").join(name)).is_ok_and(|there| there == bytes)
    }

    async fn look(&self) -> Result<(), StoreError> {
        self.mirror.look().await
    }

    /// What is wrong, which repeats nothing secret.
    async fn refusal(&self) -> String {
        let error = self.look().await.unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(!text.contains(SECRET) && !text.contains(KEY_ID), "{text}");
        error.to_string()
    }
}

fn is_of(seen: &Seen, name: &str) -> bool {
    seen.key.ends_with(name)
}

#[tokio::test]
async fn a_bucket_is_listed_page_by_page_and_fetched_once() {
    let bench = Mirrored::new();
    let objects: Vec<_> =
        (1..=4).flat_map(|v| ["model.onnx", "model.onnx.data"].map(|f| format!("net/{v}/{f}"))).collect();
    for name in &objects {
        bench.s3.put(&format!("models/{name}"), name.as_bytes());
    }
    bench.s3.put("other/net/9/model.onnx", "elsewhere");
    bench.look().await.unwrap();
    assert!(objects.iter().all(|name| bench.has(name, name.as_bytes())));
    assert!(!bench.folder.path().join("cache/net/9").exists());
    let lists = bench.s3.take_seen().into_iter().filter(|seen| seen.key.is_empty()).count();
    assert_eq!(lists, 3, "eight objects, three a page");

    bench.look().await.unwrap();
    assert!(bench.s3.take_seen().iter().all(|seen| seen.key.is_empty()), "nothing is fetched again");
}

/// Three parts, and no two alike.
fn large() -> Vec<u8> {
    (0..5_000_000_u32).flat_map(|i| i.wrapping_mul(0x9e37_79b9).to_le_bytes()).collect()
}

#[tokio::test]
async fn a_large_object_comes_in_parts_and_goes_on_where_it_broke_off() {
    let bench = Mirrored::new();
    bench.s3.put("models/net/1/model.onnx", large());
    let starts = |seen: Vec<Seen>| -> Vec<u64> {
        let ranges = seen.into_iter().filter_map(|seen| seen.range);
        let mut starts: Vec<u64> =
            ranges.map(|range| range["bytes=".len()..].split('-').next().unwrap().parse().unwrap()).collect();
        starts.sort_unstable();
        starts.dedup();
        starts
    };
    const PART: u64 = 8 << 20;
    bench.s3.treat(|seen| match seen.range.as_deref() {
        Some(range) if range.starts_with("bytes=16777216-") => Treat::Says(503, "SlowDown"),
        _ => Treat::Soundly,
    });
    let refused = bench.refusal().await;
    assert_eq!(refused, "s3://bucket/models: it answers 503 SlowDown; it is tried again");
    assert_eq!(starts(bench.s3.take_seen()), [0, PART, 2 * PART]);
    assert!(!bench.folder.path().join("cache/net").exists(), "whole or not at all");

    bench.s3.treat(|_| Treat::Soundly);
    bench.look().await.unwrap();
    assert_eq!(starts(bench.s3.take_seen()), [2 * PART], "what had come is not fetched again");
    assert!(bench.has("net/1/model.onnx", &large()));
    assert_eq!(bench.meter.downloaded(), large().len() as u64);
}

#[tokio::test]
async fn an_object_that_changes_while_it_is_fetched_is_never_mixed() {
    let bench = Mirrored::new();
    bench.s3.put("models/net/1/model.onnx", large());
    bench.s3.treat(|seen| match seen.range.as_deref() {
        Some(range) if range.starts_with("bytes=16777216-") => Treat::Says(412, "PreconditionFailed"),
        _ => Treat::Soundly,
    });
    bench.look().await.unwrap();
    assert!(!bench.folder.path().join("cache/net").exists());
    let mut other = large();
    other.reverse();
    bench.s3.put("models/net/1/model.onnx", other.clone());
    bench.s3.treat(|_| Treat::Soundly);
    bench.look().await.unwrap();
    assert!(bench.has("net/1/model.onnx", &other));
}

#[tokio::test]
async fn a_body_that_breaks_off_goes_on() {
    let bench = Mirrored::new();
    let bytes = &large()[..100_000];
    bench.s3.put("models/net/1/model.onnx", bytes);
    let mut is_first = true;
    bench.s3.treat(move |seen| match is_of(seen, "model.onnx") && std::mem::take(&mut is_first) {
        true => Treat::BreaksOffAfter(1000),
        false => Treat::Soundly,
    });
    bench.look().await.unwrap();
    assert!(bench.has("net/1/model.onnx", bytes));
}

#[tokio::test]
async fn bytes_that_are_not_what_the_store_states_never_appear() {
    let bench = Mirrored::new();
    for version in [1, 2] {
        bench.s3.put(&format!("models/net/{version}/model.onnx"), "a graph");
    }
    bench.s3.put("models/sound/1/model.onnx", "a graph");
    bench.s3.treat(|seen| if is_of(seen, "net/2/model.onnx") { Treat::OtherBytes } else { Treat::Soundly });
    bench.look().await.unwrap();
    assert!(bench.has("sound/1/model.onnx", b"a graph"));
    assert!(!bench.folder.path().join("cache/net/2").exists());
    bench.s3.treat(|_| Treat::Soundly);
    bench.look().await.unwrap();
    assert!(bench.has("net/2/model.onnx", b"a graph"));
}

#[tokio::test]
async fn an_entity_tag_is_no_checksum_where_the_store_encrypts_with_its_owners_key() {
    let bench = Mirrored::new();
    bench.s3.put("models/net/1/model.onnx", "a graph");
    bench.s3.treat(|seen| if seen.key.is_empty() { Treat::Soundly } else { Treat::EncryptedByService });
    bench.look().await.unwrap();
    let came: Vec<u8> = b"a graph".iter().map(|byte| byte ^ 1).collect();
    assert!(bench.has("net/1/model.onnx", &came));
}

#[tokio::test]
async fn every_refusal_has_a_remedy_and_no_secret_and_what_is_here_stays() {
    let bench = Mirrored::new();
    bench.s3.put("models/net/1/model.onnx", "a graph");
    bench.look().await.unwrap();
    for (status, code, expected) in [
        (503, "SlowDown", "it answers 503 SlowDown; it is tried again"),
        (400, "ExpiredToken", "it refuses the credentials (400 ExpiredToken): they have expired; renew them"),
        (
            403,
            "SignatureDoesNotMatch",
            "it refuses the credentials (403 SignatureDoesNotMatch): correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the profile",
        ),
        (
            403,
            "RequestTimeTooSkewed",
            "it refuses the credentials (403 RequestTimeTooSkewed): set this machine's clock",
        ),
        (
            403,
            "AccessDenied",
            "access is denied (403 AccessDenied): allow these credentials to s3:ListBucket on the bucket and s3:GetObject on its objects (`push`: s3:PutObject)",
        ),
        (404, "NoSuchBucket", "there is no such bucket or container: create it or correct the URL"),
        (301, "PermanentRedirect", "the bucket is in another region: set AWS_REGION to its region"),
    ] {
        bench.s3.treat(move |_| Treat::Says(status, code));
        assert_eq!(bench.refusal().await, format!("s3://bucket/models: {expected}"));
        assert!(bench.has("net/1/model.onnx", b"a graph"));
    }
    bench.s3.kill();
    let refused = bench.refusal().await;
    assert!(refused.starts_with("s3://bucket/models: it cannot be reached (Connection refused"), "{refused}");
    assert!(bench.has("net/1/model.onnx", b"a graph"));
    let again = bench.s3.revive();
    again.treat(|_| Treat::Soundly);
    bench.look().await.unwrap();
}

#[tokio::test]
async fn wrong_keys_and_missing_buckets_are_told_apart() {
    let bench = Mirrored::of(BUCKET, |environment| {
        environment.retain(|(name, _)| name != "AWS_ACCESS_KEY_ID");
        environment.push(("AWS_ACCESS_KEY_ID".to_owned(), "AKIAOTHER".to_owned()));
    });
    assert!(bench.refusal().await.contains("refuses the credentials (403 InvalidAccessKeyId)"));
    assert!(Mirrored::of("missing", |_| {}).refusal().await.contains("there is no such bucket"));
    let only_id = Mirrored::of(BUCKET, |environment| environment.retain(|(name, _)| name != "AWS_SECRET_ACCESS_KEY"));
    assert_eq!(
        only_id.refusal().await,
        "s3://bucket/models: it cannot be asked: look at the environment variables AWS_*"
    );
}

#[tokio::test]
async fn a_cache_that_cannot_be_written_to_says_so() {
    let bench = Mirrored::new();
    fs::write(bench.folder.path().join("cache"), "a file").unwrap();
    let refused = bench.refusal().await;
    assert!(refused.contains("cannot write") && refused.contains("writable and has room"), "{refused}");
    assert!(Path::new(bench.mirror.folder()).is_file());
}
