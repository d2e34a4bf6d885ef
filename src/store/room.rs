//! How large the cache is, and what goes to make room: the oldest version that nobody wants. Pure, but for [`CachedVersion::of`].

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::origin::Origin;
use crate::model::repository::version_number;

/// A version in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CachedVersion {
    pub(super) model: String,
    pub(super) version: u64,
    pub(super) bytes: u64,
    /// When it came.
    pub(super) since: SystemTime,
}

impl CachedVersion {
    /// Everything in the cache at `root`.
    pub(super) fn of(root: &Path) -> Vec<Self> {
        let mut held = Vec::new();
        for (model, folder) in folders(root) {
            for (name, place) in folders(&folder) {
                let Some(version) = version_number(&name) else { continue };
                let bytes = Origin::read(&place).map_or(0, |origin| origin.bytes());
                let since = fs::metadata(&place).and_then(|there| there.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                held.push(Self { model: model.clone(), version, bytes, since });
            }
        }
        held
    }
}

/// The folders in a folder that are not hidden, by name.
pub(super) fn folders(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())))
        .filter(|(name, _)| !name.starts_with('.'))
        .collect();
    folders.sort();
    folders
}

/// What goes so that `needed` bytes fit below `limit`; `None` where they never do.
///
/// * `kept`: what must not go
pub(super) fn to_remove(
    held: &[CachedVersion],
    needed: u64,
    limit: u64,
    kept: &BTreeSet<(String, u64)>,
) -> Option<Vec<(String, u64)>> {
    let mut used: u64 = held.iter().map(|version| version.bytes).sum::<u64>().saturating_add(needed);
    let mut free: Vec<_> = held.iter().filter(|held| !kept.contains(&(held.model.clone(), held.version))).collect();
    free.sort_by_key(|held| held.since);
    let mut removed = Vec::new();
    for version in free {
        if used <= limit {
            break;
        }
        used = used.saturating_sub(version.bytes);
        removed.push((version.model.clone(), version.version));
    }
    (used <= limit).then_some(removed)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_oldest_goes_first_and_never_what_is_kept() {
        let held: Vec<_> = [(1, 10, 100), (2, 10, 50), (3, 10, 200), (4, 10, 10)]
            .map(|(version, bytes, since)| CachedVersion {
                model: "m".to_owned(),
                version,
                bytes,
                since: SystemTime::UNIX_EPOCH + Duration::from_secs(since),
            })
            .into();
        let kept = BTreeSet::from([("m".to_owned(), 4)]);
        let removed = |needed, limit| {
            to_remove(&held, needed, limit, &kept)
                .map(|removed| removed.into_iter().map(|(_, version)| version).collect::<Vec<_>>())
        };
        assert_eq!(removed(0, 40), Some(vec![]));
        assert_eq!(removed(1, 40), Some(vec![2]));
        assert_eq!(removed(20, 40), Some(vec![2, 1]));
        assert_eq!(removed(30, 40), Some(vec![2, 1, 3]));
        assert_eq!(removed(31, 40), None, "4 is served");
    }
}
