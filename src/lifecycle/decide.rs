//! What a round has to do. Pure: no clock, no disk, no thread.

use std::collections::BTreeSet;

use super::wanted::{Source, VersionKey, WantedModel};
use crate::model::{ModelState, ModelStatus};

/// What one version needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RoundStep {
    /// It is not served yet, or was changed on disk.
    Load(VersionKey),
    /// It cannot be loaded; why.
    Fail(VersionKey, String),
    /// Nobody wants it any more.
    Retire(VersionKey),
}

/// Compares what is wanted with what is there.
///
/// * `served`: every version and where it stands
/// * `loading`: versions that a thread loads already, from an earlier round
/// * `changed`: versions that answer from other files than those that are wanted now
pub(super) fn decide(
    wanted: &[WantedModel],
    served: &[ModelStatus],
    loading: &BTreeSet<VersionKey>,
    changed: impl Fn(&WantedModel) -> bool,
) -> Vec<RoundStep> {
    let answers = |key: &VersionKey| served.iter().any(|it| is(it, key) && it.state == ModelState::Available);
    let mut steps = Vec::new();
    for version in wanted {
        let key = version.key();
        match &version.source {
            Source::Broken(reason) => steps.push(RoundStep::Fail(key, reason.clone())),
            _ if loading.contains(&key) || (answers(&key) && !changed(version)) => {}
            _ => steps.push(RoundStep::Load(key)),
        }
    }
    let is_wanted = |status: &ModelStatus| wanted.iter().any(|version| is(status, &version.key()));
    steps.extend(
        served
            .iter()
            .filter(|status| !is_wanted(status))
            .map(|it| RoundStep::Retire((it.name.to_string(), it.version))),
    );
    steps
}

fn is(status: &ModelStatus, (name, version): &VersionKey) -> bool {
    *status.name == **name && status.version == *version
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RESNET20_CIFAR10;

    fn sound(name: &str, version: u64) -> WantedModel {
        WantedModel { name: name.into(), version, source: Source::BuiltIn(&RESNET20_CIFAR10, Box::default()) }
    }

    fn broken(name: &str, version: u64) -> WantedModel {
        WantedModel { name: name.into(), version, source: Source::Broken("no labels".into()) }
    }

    fn status(name: &str, version: u64, state: ModelState) -> ModelStatus {
        ModelStatus { name: name.into(), version, state, info: None }
    }

    fn key(name: &str, version: u64) -> VersionKey {
        (name.to_owned(), version)
    }

    #[test]
    fn a_round_loads_what_is_missing_and_retires_what_nobody_wants() {
        use {ModelState as S, RoundStep::*};
        let available = |version| status("a", version, S::Available);
        let failed = |version| status("a", version, S::Failed("once".into()));
        // What is wanted, what is there, what has to be done.
        let cases = [
            (vec![], vec![], vec![]),
            (vec![sound("a", 1)], vec![], vec![Load(key("a", 1))]),
            (vec![sound("a", 1)], vec![available(1)], vec![]),
            (vec![sound("a", 1)], vec![failed(1)], vec![Load(key("a", 1))]),
            (vec![sound("a", 2)], vec![available(1)], vec![Load(key("a", 2)), Retire(key("a", 1))]),
            (vec![sound("b", 1)], vec![available(1)], vec![Load(key("b", 1)), Retire(key("a", 1))]),
            (vec![], vec![failed(1)], vec![Retire(key("a", 1))]),
            (vec![broken("a", 1)], vec![available(1)], vec![Fail(key("a", 1), "no labels".into())]),
        ];
        for (wanted, served, steps) in cases {
            assert_eq!(decide(&wanted, &served, &BTreeSet::new(), |_| false), steps, "{wanted:?} over {served:?}");
        }
    }

    #[test]
    fn what_is_being_loaded_is_not_loaded_twice() {
        let loading = BTreeSet::from([key("a", 1)]);
        let served = [status("a", 1, ModelState::Loading)];
        assert_eq!(decide(&[sound("a", 1)], &served, &loading, |_| false), []);
    }

    #[test]
    fn what_was_changed_on_disk_is_loaded_again() {
        let served = [status("a", 1, ModelState::Available)];
        assert_eq!(decide(&[sound("a", 1)], &served, &BTreeSet::new(), |_| true), [RoundStep::Load(key("a", 1))]);
    }
}
