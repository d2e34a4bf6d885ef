//! What the tests of the doors share: a real server on port 0 over a scripted network, and small clients.

pub(crate) mod description;
pub(crate) mod grpc;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod noting;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod repository;
pub(crate) mod server;
pub(crate) mod v2;

use std::{sync::OnceLock, time::Duration};

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

/// ONNX Runtime, loaded once for all tests.
pub(crate) fn runtime() -> Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load().expect("`make runtime` fetches ONNX Runtime")).clone()
}
