//! Loads that failed: why, how often, and when each is tried again. The time is given.

use std::{collections::BTreeMap, time::Instant};

use super::{
    decide::pause,
    wanted::{Change, Source, VersionKey, WantedModel},
};

/// The versions that could not be loaded as they are wanted.
#[derive(Default)]
pub(super) struct Failures(BTreeMap<VersionKey, Failure>);

struct Failure {
    /// What could not be loaded; something else in its place is another matter.
    source: Source,
    reason: String,
    /// In a row.
    count: u32,
    next_try: Option<Instant>,
}

impl Failures {
    /// A load has failed; when it is tried again.
    ///
    /// * `again`: whether another try may come to another end
    pub(super) fn note(&mut self, wanted: &WantedModel, reason: &str, again: bool, now: Instant) -> Option<Instant> {
        let earlier = self.0.remove(&wanted.key()).filter(|earlier| is_same(&earlier.source, &wanted.source));
        let count = earlier.map_or(0, |earlier| earlier.count).saturating_add(1);
        let next_try = if again { now.checked_add(pause(count)) } else { None };
        let (source, reason) = (wanted.source.clone(), reason.to_owned());
        self.0.insert(wanted.key(), Failure { source, reason, count, next_try });
        next_try
    }

    /// Whether this very thing has failed before, whenever it is tried again.
    pub(super) fn has(&self, wanted: &WantedModel) -> bool {
        self.0.get(&wanted.key()).is_some_and(|failure| is_same(&failure.source, &wanted.source))
    }

    /// Whether it failed before for this reason.
    pub(super) fn has_for(&self, key: &VersionKey, reason: &str) -> bool {
        self.0.get(key).is_some_and(|failure| failure.reason == reason)
    }

    /// Those whose time has come. Each is given once.
    pub(super) fn due(&mut self, now: Instant) -> Vec<VersionKey> {
        let due = self.0.iter_mut().filter(|(_, failure)| failure.next_try.is_some_and(|at| at <= now));
        due.map(|(key, failure)| {
            failure.next_try = None;
            key.clone()
        })
        .collect()
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.0.values().filter_map(|failure| failure.next_try).min()
    }

    /// It is served, or nobody wants it any more.
    pub(super) fn forget(&mut self, key: &VersionKey) {
        self.0.remove(key);
    }

    /// Nobody wants any others any more.
    pub(super) fn retain(&mut self, mut is_wanted: impl FnMut(&VersionKey) -> bool) {
        self.0.retain(|key, _| is_wanted(key));
    }
}

fn is_same(failed: &Source, wanted: &Source) -> bool {
    failed.change(wanted) == Change::Nothing
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::RESNET20_CIFAR10;

    #[test]
    fn a_failure_is_due_later_each_time_and_something_else_in_its_place_begins_anew() {
        let source = Source::BuiltIn(&RESNET20_CIFAR10, Box::default());
        let wanted = WantedModel { name: "a".into(), version: 1, source };
        let (start, key) = (Instant::now(), wanted.key());
        let seconds = |at: Option<Instant>| at.map(|at| (at - start).as_secs());
        let mut failures = Failures::default();
        assert_eq!(seconds(failures.note(&wanted, "no", true, start)), Some(5));
        assert_eq!(seconds(failures.next()), Some(5));
        assert!(failures.due(start + Duration::from_secs(4)).is_empty());
        assert_eq!(failures.due(start + Duration::from_secs(5)), std::slice::from_ref(&key));
        assert!(failures.due(start + Duration::from_secs(5)).is_empty(), "once");
        assert!(failures.has(&wanted) && failures.has_for(&key, "no"));
        assert_eq!(seconds(failures.note(&wanted, "no", true, start)), Some(10));
        assert_eq!(failures.note(&wanted, "it hangs", false, start), None);
        let other = WantedModel { source: Source::Broken("its settings".to_owned()), ..wanted };
        assert!(!failures.has(&other));
        assert_eq!(seconds(failures.note(&other, "no", true, start)), Some(5));
        failures.forget(&key);
        assert_eq!(failures.next(), None);
    }
}
