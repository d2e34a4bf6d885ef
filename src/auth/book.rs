//! The keys in force: whose a key is that somebody shows.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{
    digest::SecretDigest,
    key_file::{KeyEntry, KeyFile},
    permit::Permit,
};
use crate::telemetry::KeyMetrics;

/// A longer one is no key of ours, and is not hashed.
const LONGEST_KEY: usize = 512;

/// The keys of a file.
#[derive(Debug, Default)]
pub(super) struct KeyBook {
    keys: HashMap<SecretDigest, Arc<ApiKey>>,
}

/// A key of the file, and what it has used.
#[derive(Debug)]
pub struct ApiKey {
    name: Arc<str>,
    entry: KeyEntry,
    digest: SecretDigest,
    permit: Permit,
    /// It is not among those in force any more, or was changed.
    is_over: AtomicBool,
}

impl KeyBook {
    /// * `before`: the keys until now; those that are the same go on with what they have used
    pub(super) fn new(file: KeyFile, before: &Self, metrics: &KeyMetrics) -> Self {
        let keep = |entry: KeyEntry| {
            let digest = SecretDigest(entry.digest()?);
            let same = before.keys.get(&digest).filter(|key| key.entry == entry);
            Some((digest, same.cloned().unwrap_or_else(|| Arc::new(ApiKey::new(entry, digest, metrics)))))
        };
        Self { keys: file.keys.into_iter().filter_map(keep).collect() }
    }

    /// Whose it is. As long for a key that is there as for one that is not.
    pub(super) fn find(&self, shown: &[u8]) -> Option<Arc<ApiKey>> {
        if shown.len() > LONGEST_KEY {
            return None;
        }
        let digest = SecretDigest::of(shown);
        match self.keys.get(&digest) {
            Some(key) => Some(key.clone()),
            None => {
                // What is found was compared.
                std::hint::black_box(digest == SecretDigest([0; 32]));
                None
            }
        }
    }

    /// The same key as it is now; `None` where it was revoked.
    pub(super) fn again(&self, key: &ApiKey) -> Option<Arc<ApiKey>> {
        self.keys.get(&key.digest).cloned()
    }

    /// Its keys, in no order.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<ApiKey>> {
        self.keys.values()
    }

    /// The key of that name.
    pub(super) fn named(&self, name: &str) -> Option<&Arc<ApiKey>> {
        self.keys().find(|key| &*key.name == name)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }
}

impl ApiKey {
    fn new(entry: KeyEntry, digest: SecretDigest, metrics: &KeyMetrics) -> Self {
        let name: Arc<str> = entry.name.as_str().into();
        let permit = Permit::new(&name, (&entry.rights, &entry.models), &entry.limits(), metrics);
        Self { name, entry, digest, permit, is_over: AtomicBool::new(false) }
    }

    /// What log and metrics call it.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
    }

    /// Whether another one, or none, is in its place by now.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// What it is for.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::auth::key_file::{Right, hash_text};

    fn book(text: &str, before: &KeyBook) -> KeyBook {
        KeyBook::new(KeyFile::parse(text, "keys.toml").unwrap(), before, &KeyMetrics::default())
    }

    fn entry(name: &str, key: &str, more: &str) -> String {
        format!("[[keys]]\nname = {name:?}\nhash = {:?}\n{more}\n", hash_text(key.as_bytes()))
    }

    #[test]
    fn a_key_is_found_by_what_is_shown_and_by_nothing_else() {
        let text = entry("front", "rk_one", "models = [\"pets\"]") + &entry("ops", "rk_two", "rights = [\"manage\"]");
        let book = book(&text, &KeyBook::default());
        let front = book.find(b"rk_one").unwrap();
        assert_eq!(&**front.name(), "front");
        let front = front.permit();
        assert!(front.is_for("pets") && !front.is_for("cars") && !front.is_for("*"));
        assert!(front.may(Right::Classify) && front.may(Right::Read) && !front.may(Right::Manage));
        let ops = book.find(b"rk_two").unwrap();
        let ops = ops.permit();
        assert!(ops.is_for("cars") && ops.may(Right::Manage) && ops.may(Right::Read) && !ops.may(Right::Classify));
        for other in ["", "rk_on", "rk_one ", "RK_ONE", &hash_text(b"rk_one"), &"a".repeat(1 << 20)] {
            assert!(book.find(other.as_bytes()).is_none(), "{other}");
        }
    }

    #[test]
    fn a_key_that_stays_keeps_what_it_has_used() {
        let front = entry("front", "rk_one", "requests_per_second = 1");
        let before = book(&front, &KeyBook::default());
        let now = Instant::now();
        drop(before.find(b"rk_one").unwrap().permit().begin(now).unwrap());
        let after = book(&(front + &entry("new", "rk_two", "")), &before);
        after.find(b"rk_one").unwrap().permit().begin(now).unwrap_err();
        let revoked = book(&entry("new", "rk_two", ""), &after);
        assert!(revoked.find(b"rk_one").is_none());
    }
}
