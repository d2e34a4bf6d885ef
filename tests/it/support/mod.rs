//! What the tests of the doors share: a real server on port 0 over a scripted network, and small clients.

pub(crate) mod certificates;
pub(crate) mod collector;
pub(crate) mod description;
pub(crate) mod follower;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod hub;
pub(crate) mod images;
pub(crate) mod issuer;
pub(crate) mod kept_log;
pub(crate) mod keys;
pub(crate) mod managed;
pub(crate) mod noting;
pub(crate) mod openvino;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod repository;
pub(crate) mod s3;
pub(crate) mod scripted_model;
pub(crate) mod server;
pub(crate) mod v2;

use std::{os::unix::fs::MetadataExt, path::Path, sync::OnceLock, time::Duration};

use resnetd::runtime::Runtime;

/// How long a test waits for what must happen before it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds, letting other tasks run.
///
/// # Panics
/// If it never does.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let wait = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    if tokio::time::timeout(PATIENCE, wait).await.is_err() {
        panic!("never happened: {what}");
    }
}

/// What this thread has computed so far, in steps of 10 ms. A clock would count what other programs did meanwhile.
pub(crate) fn processor_time() -> Duration {
    let told = std::fs::read_to_string("/proc/thread-self/stat").expect("Linux keeps it");
    // The program's name, in parentheses, may hold anything. Behind it, the twelfth and thirteenth are user and system time.
    let fields = told.rsplit(')').next().expect("always one").split_ascii_whitespace();
    let ticks: u64 = fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(10 * ticks)
}

/// Waits, by writing into `folder`, until the clock of its file system has moved: it goes in steps, and only what was renamed after a step
/// is seen to be whole.
pub(crate) fn next_tick(folder: &Path) {
    let probe = folder.join(".tick");
    let now = || {
        std::fs::write(&probe, "x").expect("the folder can be written to");
        let written = std::fs::metadata(&probe).expect("it is there");
        (written.ctime(), written.ctime_nsec())
    };
    let first = now();
    let moved = (0..10_000_000).any(|_| now() > first);
    std::fs::remove_file(&probe).expect("it is ours");
    assert!(moved, "the file system's clock stands");
}

/// ONNX Runtime, loaded once for all tests.
pub(crate) fn runtime() -> Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load().expect("`make runtime` fetches ONNX Runtime")).clone()
}
