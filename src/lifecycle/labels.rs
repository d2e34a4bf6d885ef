//! What versions are called: what `model.toml` says, and what was said since, which is kept in memory only. Pure.

use std::collections::BTreeMap;

/// Labels that were pointed elsewhere while the server runs, by model.
#[derive(Default)]
pub(super) struct Relabels(BTreeMap<String, Relabel>);

struct Relabel {
    /// What the model's settings said then; where they say something else, that is newer.
    settings: BTreeMap<String, u64>,
    /// `None`: taken away.
    labels: BTreeMap<String, Option<u64>>,
}

impl Relabels {
    /// Points a label at a version, or at none.
    ///
    /// * `settings`: what the model's settings say
    pub(super) fn point(&mut self, model: &str, settings: &BTreeMap<String, u64>, label: &str, version: Option<u64>) {
        let relabel = self
            .0
            .entry(model.to_owned())
            .or_insert_with(|| Relabel { settings: settings.clone(), labels: BTreeMap::new() });
        if settings.get(label).copied() == version {
            relabel.labels.remove(label);
        } else {
            relabel.labels.insert(label.to_owned(), version);
        }
    }

    /// What is in force of a model's labels.
    pub(super) fn in_force(&self, model: &str, settings: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
        let mut labels = settings.clone();
        for (label, version) in self.0.get(model).map(|relabel| &relabel.labels).into_iter().flatten() {
            match version {
                Some(version) => drop(labels.insert(label.clone(), *version)),
                None => drop(labels.remove(label)),
            }
        }
        labels
    }

    /// Forgets what was said before the settings said something else; whether there was anything.
    pub(super) fn yield_to(&mut self, model: &str, settings: &BTreeMap<String, u64>) -> bool {
        let is_older = self.0.get(model).is_some_and(|relabel| relabel.settings != *settings);
        is_older && self.0.remove(model).is_some_and(|relabel| !relabel.labels.is_empty())
    }
}

/// Where labels point now: one that is to point at a version that does not answer yet stays where it is, as long as that answers.
///
/// * `wanted`: where they are to point
/// * `current`: where they point
pub(super) fn pointed(
    wanted: &BTreeMap<String, u64>,
    current: &BTreeMap<String, u64>,
    answers: impl Fn(u64) -> bool,
) -> BTreeMap<String, u64> {
    let point = |(label, version): (&String, &u64)| {
        let stays = current.get(label).filter(|current| !answers(*version) && answers(**current));
        (label.clone(), *stays.unwrap_or(version))
    };
    wanted.iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(label, version)| ((*label).to_owned(), *version)).collect()
    }

    #[test]
    fn what_was_said_last_is_in_force() {
        let mut relabels = Relabels::default();
        let settings = labels(&[("stable", 3), ("old", 2)]);
        assert_eq!(relabels.in_force("m", &settings), settings);
        relabels.point("m", &settings, "stable", Some(4));
        relabels.point("m", &settings, "canary", Some(5));
        relabels.point("m", &settings, "old", None);
        assert_eq!(relabels.in_force("m", &settings), labels(&[("stable", 4), ("canary", 5)]));
        assert_eq!(relabels.in_force("other", &settings), settings);
        assert!(!relabels.yield_to("m", &settings), "they say what they said");

        let newer = labels(&[("stable", 6)]);
        assert!(relabels.yield_to("m", &newer) && !relabels.yield_to("m", &newer));
        assert_eq!(relabels.in_force("m", &newer), newer);
    }

    #[test]
    fn a_label_moves_when_the_version_that_it_is_to_point_at_answers() {
        let (wanted, current) =
            (labels(&[("stable", 4), ("canary", 5), ("new", 9)]), labels(&[("stable", 3), ("old", 3)]));
        let now = |answering: &[u64]| pointed(&wanted, &current, |version| answering.contains(&version));
        assert_eq!(now(&[3]), labels(&[("stable", 3), ("canary", 5), ("new", 9)]));
        assert_eq!(now(&[3, 4]), wanted);
        assert_eq!(now(&[]), wanted, "there is nothing to stay at");
    }

    #[test]
    fn a_label_that_is_pointed_back_is_the_settings_again() {
        let mut relabels = Relabels::default();
        let settings = labels(&[("stable", 3)]);
        relabels.point("m", &settings, "stable", Some(4));
        relabels.point("m", &settings, "stable", Some(3));
        assert_eq!(relabels.in_force("m", &settings), settings);
        assert!(!relabels.yield_to("m", &labels(&[])));
    }
}
