//! When what is seen on disk counts: once it came whole, or has not changed for a while. Pure: what is seen and the time are given.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use crate::model::fingerprint::{FilesLook, Fingerprint, FolderLook};

/// What counts of a model's folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    /// What is beside the versions.
    pub(super) own: Fingerprint,
    /// Folders that are called like versions.
    pub(super) versions: BTreeMap<u64, Fingerprint>,
}

/// The models of a repository as they were seen.
pub(super) struct Settling {
    settle: Duration,
    models: BTreeMap<String, BTreeMap<Part, Seen>>,
}

/// A part of a model's folder: a copy of one version does not hold up another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Own,
    Version(u64),
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    /// What counts; `None` where it is not there.
    counts: Option<Fingerprint>,
    /// What was seen last, and since when.
    last: Option<Fingerprint>,
    since: Instant,
}

impl Settling {
    /// * `settle`: how long something has to be unchanged that did not come whole
    pub(super) fn new(settle: Duration) -> Self {
        Self { settle, models: BTreeMap::new() }
    }

    /// Takes in what was seen of a model; whether something else counts now.
    ///
    /// * `look`: `None` where its folder is gone
    /// * `at_once`: somebody says that it is complete
    pub(super) fn note(&mut self, name: &str, look: Option<&FolderLook>, at_once: bool, now: Instant) -> bool {
        if look.is_none() && !self.models.contains_key(name) {
            return false;
        }
        let parts = self.models.entry(name.to_owned()).or_default();
        let seen = look.into_iter().flat_map(|look| {
            let versions = look.versions.iter().map(|(version, files)| (Part::Version(*version), *files));
            versions.chain([(Part::Own, look.own)])
        });
        let mut seen: BTreeMap<Part, FilesLook> = seen.collect();
        let mut changed = false;
        for (part, known) in &mut *parts {
            changed |= known.see(seen.remove(part), at_once, self.settle, now);
        }
        for (part, files) in seen {
            let mut known = Seen { counts: None, last: None, since: now };
            changed |= known.see(Some(files), at_once, self.settle, now);
            parts.insert(part, known);
        }
        parts.retain(|_, known| known.counts.is_some() || known.last.is_some());
        if parts.is_empty() {
            self.models.remove(name);
        }
        changed
    }

    /// What counts of a model; `None` where there is none, or where what is beside its versions is not complete yet.
    pub(super) fn counts(&self, name: &str) -> Option<Settled> {
        let parts = self.models.get(name)?;
        let own = parts.get(&Part::Own)?.counts?;
        let versions = parts.iter().filter_map(|(part, seen)| match part {
            Part::Own => None,
            Part::Version(version) => Some((*version, seen.counts?)),
        });
        Some(Settled { own, versions: versions.collect() })
    }

    /// The models of which something was seen.
    pub(super) fn names(&self) -> Vec<String> {
        self.models.keys().cloned().collect()
    }
}

impl Seen {
    /// Whether something else counts now.
    fn see(&mut self, files: Option<FilesLook>, at_once: bool, settle: Duration, now: Instant) -> bool {
        let print = files.map(|files| files.print);
        if print != self.last {
            (self.last, self.since) = (print, now);
        }
        if print == self.counts {
            return false;
        }
        let came_whole = files.is_some_and(|files| files.came_whole);
        let is_complete = at_once || came_whole || now.saturating_duration_since(self.since) >= settle;
        if is_complete {
            self.counts = print;
        }
        is_complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(5);

    fn files(print: u64, came_whole: bool) -> FilesLook {
        FilesLook { print: Fingerprint::test(print), came_whole }
    }

    /// A folder whose own files look like 1 and came whole, with these versions.
    fn folder(versions: &[(u64, u64, bool)]) -> FolderLook {
        let versions = versions.iter().map(|(version, print, whole)| (*version, files(*print, *whole))).collect();
        FolderLook { own: files(1, true), versions }
    }

    /// What counts of the versions after each look, which come every two seconds.
    fn seen(looks: &[Option<FolderLook>]) -> Vec<Option<BTreeMap<u64, Fingerprint>>> {
        let start = Instant::now();
        let mut settling = Settling::new(SETTLE);
        let look = |(index, look): (usize, &Option<FolderLook>)| {
            settling.note("m", look.as_ref(), false, start + Duration::from_secs(2 * index as u64));
            settling.counts("m").map(|counts| counts.versions)
        };
        looks.iter().enumerate().map(look).collect()
    }

    fn versions(of: &[(u64, u64)]) -> Option<BTreeMap<u64, Fingerprint>> {
        Some(of.iter().map(|(version, print)| (*version, Fingerprint::test(*print))).collect())
    }

    #[test]
    fn what_is_being_copied_counts_once_it_was_unchanged_for_a_while() {
        let looks = [10, 11, 12, 12, 12, 12, 12].map(|print| Some(folder(&[(3, 10, true), (4, print, false)])));
        let before = versions(&[(3, 10)]);
        let expected = [0; 7].map(|_| before.clone());
        let mut expected = expected.to_vec();
        // Seen so at 4 s for the first time, and at 10 s more than five seconds later.
        expected[5] = versions(&[(3, 10), (4, 12)]);
        expected[6] = expected[5].clone();
        assert_eq!(seen(&looks), expected);
    }

    #[test]
    fn what_came_whole_counts_at_once_and_what_is_overwritten_does_not_until_it_is_done() {
        let looks = [(10, true), (11, false), (11, false), (11, false), (12, true)];
        let looks = looks.map(|(print, whole)| Some(folder(&[(3, print, whole)])));
        let expected = [10, 10, 10, 10, 12].map(|print| versions(&[(3, print)]));
        assert_eq!(seen(&looks), expected);
    }

    #[test]
    fn what_is_gone_for_a_moment_only_was_never_away() {
        let there = || Some(folder(&[(3, 10, true)]));
        let all = versions(&[(3, 10)]);
        let [a, b, c, d] = [0; 4].map(|_| all.clone());
        assert_eq!(seen(&[there(), None, None, there()]), [a, b, c, d]);
        let left = seen(&[there(), None, None, None, None]);
        assert_eq!(left[3..], [all, None], "six seconds after it was seen to be gone");
    }

    #[test]
    fn versions_wait_for_the_settings_beside_them() {
        let unfinished = FolderLook { own: files(1, false), versions: BTreeMap::from([(1, files(10, true))]) };
        let looks = [0; 4].map(|_| Some(unfinished.clone()));
        let counted = versions(&[(1, 10)]);
        assert_eq!(seen(&looks), [None, None, None, counted]);
    }

    #[test]
    fn somebody_who_says_that_it_is_complete_is_believed() {
        let mut settling = Settling::new(SETTLE);
        let now = Instant::now();
        let look = folder(&[(1, 10, false)]);
        assert!(settling.note("m", Some(&look), true, now));
        assert!(!settling.note("m", Some(&look), true, now), "nothing else counts");
        assert!(settling.note("m", None, true, now));
        assert_eq!((settling.counts("m"), settling.names()), (None, Vec::new()));
        assert!(!settling.note("never", None, false, now));
    }
}
