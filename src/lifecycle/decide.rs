//! What a round has to do, and when a failed load is tried again. Pure: no clock, no disk, no thread.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::wanted::{Change, Source, VersionKey, WantedModel};
use crate::model::{ModelState, ModelStatus};

/// What one version needs.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RoundStep {
    /// It is not served yet, or its files have changed.
    Load(VersionKey),
    /// Its classes have other names; its sessions stay.
    Relabel(VersionKey),
    /// It cannot be loaded; why.
    Fail(VersionKey, String),
    /// It answers from what is there.
    Settle(VersionKey),
    /// Nobody wants it any more.
    Retire(VersionKey),
}

/// Where a wanted version stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is not served.
    Absent,
    /// A thread loads it already.
    Loading,
    /// It could not be loaded, and is tried again later.
    Resting,
    /// It answers, from files that differ so from those that are wanted now.
    Answers(Change),
}

/// Compares what is wanted with what is there.
///
/// * `served`: every version and its state
/// * `standing`: of a wanted version
pub(super) fn decide(
    wanted: &[WantedModel],
    served: &[ModelStatus],
    standing: impl Fn(&WantedModel) -> Standing,
) -> Vec<RoundStep> {
    let step = |version: &WantedModel| {
        let key = version.key();
        match (&version.source, standing(version)) {
            (Source::Broken(reason), _) => Some(RoundStep::Fail(key, reason.clone())),
            (_, Standing::Loading | Standing::Resting) => None,
            (_, Standing::Absent | Standing::Answers(Change::Everything)) => Some(RoundStep::Load(key)),
            (_, Standing::Answers(Change::Labels)) => Some(RoundStep::Relabel(key)),
            (_, Standing::Answers(Change::Nothing)) => Some(RoundStep::Settle(key)),
        }
    };
    let mut steps: Vec<_> = wanted.iter().filter_map(step).collect();
    steps.extend(superfluous(wanted, served).into_iter().map(RoundStep::Retire));
    steps
}

/// What can go. An earlier version that answers stays until all that is wanted of its model answers, and as long as the model's
/// settings cannot be read: what served goes on serving. A model that is not wanted at all goes at once.
pub(super) fn superfluous<'w>(
    wanted: impl IntoIterator<Item = &'w WantedModel>,
    served: &[ModelStatus],
) -> Vec<VersionKey> {
    let key = |status: &ModelStatus| (status.name.to_string(), status.version);
    let answering: BTreeSet<_> = served.iter().filter(|it| it.state == ModelState::Available).map(key).collect();
    let cold: BTreeSet<_> = served.iter().filter(|it| matches!(it.state, ModelState::NotLoaded(_))).map(key).collect();
    let mut keys = BTreeSet::new();
    // By model, whether all that is wanted of it answers; what is loaded on demand does, but the highest has to be loaded.
    let mut complete: BTreeMap<String, bool> = BTreeMap::new();
    let mut highest: BTreeMap<String, VersionKey> = BTreeMap::new();
    for version in wanted {
        let key = version.key();
        let answers = answering.contains(&key) || cold.contains(&key);
        *complete.entry(key.0.clone()).or_insert(true) &= answers && !matches!(version.source, Source::Broken(_));
        let highest = highest.entry(key.0.clone()).or_insert_with(|| key.clone());
        if key.1 > highest.1 {
            highest.clone_from(&key);
        }
        keys.insert(key);
    }
    for (model, key) in highest {
        complete.entry(model).and_modify(|complete| *complete &= answering.contains(&key));
    }
    let unwanted = served.iter().map(key).filter(|key| !keys.contains(key));
    unwanted.filter(|key| !answering.contains(key) || complete.get(&key.0).is_none_or(|complete| *complete)).collect()
}

/// How long after a failed load it is tried again.
///
/// * `failures`: in a row, this one included
pub(super) fn pause(failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(5);
    const LONGEST: Duration = Duration::from_secs(300);
    FIRST.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(LONGEST)
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
        ModelStatus {
            name: name.into(),
            version,
            state,
            info: None,
            outdated: None,
            turned_back: None,
            labels: Vec::new(),
        }
    }

    fn key(name: &str, version: u64) -> VersionKey {
        (name.to_owned(), version)
    }

    #[test]
    fn a_round_loads_what_is_missing_and_retires_what_nobody_needs() {
        use {ModelState as S, RoundStep::*};
        let available = |version| status("a", version, S::Available);
        let cold = |version| status("a", version, S::NotLoaded("yet".into()));
        let failed = |version| status("a", version, S::Failed("once".into()));
        // What is wanted, what is there, what has to be done.
        let cases = [
            (vec![], vec![], vec![]),
            (vec![sound("a", 1)], vec![], vec![Load(key("a", 1))]),
            (vec![sound("a", 1)], vec![available(1)], vec![Settle(key("a", 1))]),
            (vec![sound("a", 1)], vec![failed(1)], vec![Load(key("a", 1))]),
            // The earlier version answers until the new one does.
            (vec![sound("a", 2)], vec![available(1)], vec![Load(key("a", 2))]),
            (vec![sound("a", 2)], vec![failed(1)], vec![Load(key("a", 2)), Retire(key("a", 1))]),
            (vec![sound("a", 2)], vec![available(1), available(2)], vec![Settle(key("a", 2)), Retire(key("a", 1))]),
            (vec![sound("b", 1)], vec![available(1)], vec![Load(key("b", 1)), Retire(key("a", 1))]),
            (vec![], vec![available(1)], vec![Retire(key("a", 1))]),
            (vec![], vec![failed(1)], vec![Retire(key("a", 1))]),
            (vec![broken("a", 1)], vec![available(1)], vec![Fail(key("a", 1), "no labels".into())]),
            // Of what is loaded on demand, only the highest has to be there before something else goes.
            (
                vec![sound("a", 1), sound("a", 2)],
                vec![cold(1), available(2), available(3)],
                vec![Load(key("a", 1)), Settle(key("a", 2)), Retire(key("a", 3))],
            ),
            (
                vec![sound("a", 1), sound("a", 2)],
                vec![available(1), cold(2), available(3)],
                vec![Settle(key("a", 1)), Load(key("a", 2))],
            ),
            (vec![sound("a", 1)], vec![cold(1), cold(2)], vec![Load(key("a", 1)), Retire(key("a", 2))]),
            // Settings that cannot be read take nothing away.
            (vec![broken("a", 2)], vec![available(1), available(2)], vec![Fail(key("a", 2), "no labels".into())]),
        ];
        for (wanted, served, steps) in cases {
            let answers = |version: &WantedModel| {
                let is_it = |it: &&ModelStatus| (it.name.to_string(), it.version) == version.key();
                match served.iter().find(is_it).map(|it| &it.state) {
                    Some(S::Available) => Standing::Answers(Change::Nothing),
                    _ => Standing::Absent,
                }
            };
            assert_eq!(decide(&wanted, &served, answers), steps, "{wanted:?} over {served:?}");
        }
    }

    #[test]
    fn what_a_version_needs_depends_on_where_it_stands() {
        use Standing::*;
        let a = || key("a", 1);
        // Where it stands, what has to be done.
        let cases = [
            (Absent, vec![RoundStep::Load(a())]),
            (Loading, vec![]),
            (Resting, vec![]),
            (Answers(Change::Nothing), vec![RoundStep::Settle(a())]),
            (Answers(Change::Labels), vec![RoundStep::Relabel(a())]),
            (Answers(Change::Everything), vec![RoundStep::Load(a())]),
        ];
        for (standing, steps) in cases {
            assert_eq!(decide(&[sound("a", 1)], &[], |_| standing), steps, "{standing:?}");
        }
    }

    #[test]
    fn a_failed_load_is_tried_again_less_and_less_often() {
        let pauses: Vec<_> = [1, 2, 3, 6, 7, 1_000].map(|failures| pause(failures).as_secs()).into();
        assert_eq!(pauses, [5, 10, 20, 160, 300, 300]);
    }
}
