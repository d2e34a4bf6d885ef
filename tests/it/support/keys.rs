//! Files of keys, and servers that want one.

use std::path::PathBuf;

use resnetd::{
    auth::{KeyEntry, KeyRing, Right, add_key, all_models, revoke_key, usual_rights},
    runtime::scripted::ScriptedExecutor,
    server::{AuthOptions, OpenToAll},
    service::Service,
    telemetry::KeyMetrics,
};
use tempfile::TempDir;

use super::server::{Builder, TestServer, logits};

/// A folder with a file of keys.
pub(crate) struct Keys {
    folder: TempDir,
}

/// A key of `name` for everything that keys are usually for.
pub(crate) fn entry(name: &str) -> KeyEntry {
    KeyEntry {
        name: name.to_owned(),
        hash: String::new(),
        models: all_models(),
        rights: usual_rights(),
        requests_per_second: 0.0,
        images_per_second: 0.0,
        max_in_flight: 0,
    }
}

/// The same with these rights.
pub(crate) fn with_rights(name: &str, rights: &[Right]) -> KeyEntry {
    KeyEntry { rights: rights.to_vec(), ..entry(name) }
}

impl Keys {
    /// One key that nobody has, so that the file is there.
    pub(crate) fn new() -> Self {
        let keys = Self { folder: tempfile::tempdir().expect("a folder") };
        keys.add(entry("nobody"));
        keys
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("keys.toml")
    }

    /// The key itself.
    pub(crate) fn add(&self, entry: KeyEntry) -> String {
        add_key(&self.path(), entry).expect("a name of its own")
    }

    pub(crate) fn revoke(&self, name: &str) {
        revoke_key(&self.path(), name).expect("it is there");
    }

    pub(crate) fn ring(&self) -> KeyRing {
        KeyRing::read(&self.path(), KeyMetrics::default()).expect("a file of keys")
    }

    /// A server that wants one of them, with the probes open.
    pub(crate) fn server(&self) -> (Builder, KeyRing) {
        self.server_of(ScriptedExecutor::answering(&logits()))
    }

    pub(crate) fn server_of(&self, executor: ScriptedExecutor) -> (Builder, KeyRing) {
        let ring = self.ring();
        let auth = wanting(&ring);
        (TestServer::builder(executor).options(|options| options.auth = Some(auth)), ring)
    }

    /// The same keys, counted among the metrics of `service`.
    pub(crate) fn ring_of(&self, service: &Service) -> KeyRing {
        KeyRing::read(&self.path(), service.key_metrics()).expect("a file of keys")
    }
}

/// What doors want that ask for a key of `ring`.
pub(crate) fn wanting(ring: &KeyRing) -> AuthOptions {
    AuthOptions { keys: Some(ring.clone()), tokens: None, open: OpenToAll::default() }
}
