//! Which versions of a store count: those whose manifest holds, and those without one that are unchanged for a while.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

use super::{
    digests::{Digests, LARGEST_MANIFEST},
    error::StoreFault,
    fetch::Fetcher,
    listing::{StoreFile, StoreFiles, StoreModel},
};
use crate::model::repository::GRAPH_FILE;

/// A version that counts.
pub(super) struct Complete {
    pub(super) version: u64,
    /// What belongs to it.
    pub(super) files: StoreFiles,
    pub(super) digests: Option<Digests>,
}

/// What was seen of a store so far.
pub(super) struct Completeness {
    settle: Duration,
    /// What was seen last of a version, or of what is beside versions, and since when.
    seen: BTreeMap<(String, Option<u64>), (u64, Instant)>,
    /// Manifests that were read, by their object's name, with its tag.
    manifests: BTreeMap<String, (String, Digests)>,
}

impl Completeness {
    pub(super) fn new(settle: Duration) -> Self {
        Self { settle, seen: BTreeMap::new(), manifests: BTreeMap::new() }
    }

    /// Forgets what is not there any more.
    pub(super) fn forget_others(&mut self, models: &BTreeMap<String, StoreModel>) {
        let versions = |name: &String| models.get(name).map(|model| &model.versions);
        self.seen.retain(|(name, version), _| {
            versions(name).is_some_and(|versions| version.is_none_or(|version| versions.contains_key(&version)))
        });
        let manifests = models.values().flat_map(|model| model.versions.values()).filter_map(|it| it.manifest.as_ref());
        let there: Vec<_> = manifests.map(|manifest| manifest.key.as_ref()).collect();
        self.manifests.retain(|key, _| there.contains(&&**key));
    }

    /// Whether something has looked the same for long enough.
    ///
    /// * `version`: `None` for what is beside the versions
    /// * `at_once`: it is complete, somebody says
    pub(super) fn is_settled(
        &mut self,
        model: &str,
        version: Option<u64>,
        print: u64,
        at_once: bool,
        now: Instant,
    ) -> bool {
        let seen = self.seen.entry((model.to_owned(), version)).or_insert((print, now));
        if seen.0 != print {
            *seen = (print, now);
        }
        at_once || now.saturating_duration_since(seen.1) >= self.settle
    }

    /// The versions of a model that count.
    ///
    /// # Errors
    /// If a manifest cannot be had or read.
    pub(super) async fn complete(
        &mut self,
        fetcher: &Fetcher,
        name: &str,
        model: &StoreModel,
        at_once: bool,
        now: Instant,
    ) -> Result<BTreeMap<u64, Complete>, StoreFault> {
        let mut complete = BTreeMap::new();
        for (&version, there) in &model.versions {
            let is_settled = self.is_settled(name, Some(version), print_of(&there.files), at_once, now);
            if !there.files.contains_key(GRAPH_FILE) {
                continue;
            }
            let Some(manifest) = &there.manifest else {
                if is_settled {
                    complete.insert(version, Complete { version, files: there.files.clone(), digests: None });
                }
                continue;
            };
            let digests = self.digests(fetcher, manifest).await?;
            let holds = |(name, digest): (&String, &super::digests::FileDigest)| {
                there.files.get(name).is_some_and(|file| file.size == digest.size)
            };
            if digests.files.contains_key(GRAPH_FILE) && digests.files.iter().all(holds) {
                let mut files = there.files.clone();
                files.retain(|name, _| digests.files.contains_key(name));
                complete.insert(version, Complete { version, files, digests: Some(digests) });
            }
        }
        Ok(complete)
    }

    async fn digests(&mut self, fetcher: &Fetcher, manifest: &StoreFile) -> Result<Digests, StoreFault> {
        if let Some((tag, digests)) = self.manifests.get(manifest.key.as_ref())
            && *tag == manifest.tag
        {
            return Ok(digests.clone());
        }
        let bytes = fetcher.read(manifest, LARGEST_MANIFEST).await?;
        let digests =
            Digests::parse(&bytes).map_err(|problem| StoreFault::Content(format!("{}: {problem}", manifest.key)))?;
        self.manifests.insert(manifest.key.to_string(), (manifest.tag.clone(), digests.clone()));
        Ok(digests)
    }
}

/// What tells files from others.
pub(super) fn print_of(files: &StoreFiles) -> u64 {
    let mut hasher = DefaultHasher::new();
    for file in files.values() {
        (&file.name, file.size, &file.tag).hash(&mut hasher);
    }
    hasher.finish()
}
