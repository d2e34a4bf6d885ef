//! `[versions]` of `model.toml`: which of the versions on disk are served, and what they are called. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::settings::{SettingError, in_range};

/// `[versions]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VersionsSection {
    /// Which of the versions on disk are served.
    pub policy: VersionPolicy,
    /// How many of the highest ones, where `policy` is `latest`.
    pub latest: usize,
    /// Names for versions, `{ stable = 3 }`: clients may ask for `labels/stable`.
    pub labels: BTreeMap<String, u64>,
}

impl Default for VersionsSection {
    fn default() -> Self {
        Self { policy: VersionPolicy::default(), latest: 1, labels: BTreeMap::new() }
    }
}

/// Which versions are served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected \"latest\", \"all\" or a list of versions such as [1, 3]")]
pub enum VersionPolicy {
    /// `latest` or `all`.
    Named(NamedPolicy),
    /// These.
    List(Vec<u64>),
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self::Named(NamedPolicy::Latest)
    }
}

/// The policies that have a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamedPolicy {
    /// The highest versions.
    Latest,
    /// Every version.
    All,
}

impl VersionsSection {
    /// Checks ranges, and that a label can stand in a path.
    ///
    /// # Errors
    /// [`SettingError`] for the first that does not hold.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        in_range("versions.latest", &self.latest, 1..=1_000)?;
        if self.latest != 1 && self.policy != VersionPolicy::default() {
            let problem = format!(
                "it is {}, and policy says otherwise: leave one out, or write policy = \"latest\"",
                self.latest
            );
            return Err(SettingError::Key { key: "versions.latest".to_owned(), problem });
        }
        match self.labels.keys().find_map(|label| label_problem(label)) {
            Some(problem) => Err(SettingError::Key { key: "versions.labels".to_owned(), problem }),
            None => Ok(()),
        }
    }

    /// Picks from the versions on disk, which come sorted.
    pub fn pick(&self, on_disk: &[u64]) -> Vec<u64> {
        match &self.policy {
            VersionPolicy::Named(NamedPolicy::Latest) => on_disk[on_disk.len().saturating_sub(self.latest)..].to_vec(),
            VersionPolicy::Named(NamedPolicy::All) => on_disk.to_vec(),
            VersionPolicy::List(wanted) => on_disk.iter().copied().filter(|version| wanted.contains(version)).collect(),
        }
    }

    /// The versions that are asked for by number and not on disk.
    pub fn missing(&self, on_disk: &[u64]) -> Vec<u64> {
        match &self.policy {
            VersionPolicy::Named(_) => Vec::new(),
            VersionPolicy::List(wanted) => {
                wanted.iter().copied().filter(|version| !on_disk.contains(version)).collect()
            }
        }
    }

    /// The labels of versions that are not among `served`.
    pub fn dangling(&self, served: &[u64]) -> Vec<&str> {
        let dangling = self.labels.iter().filter(|(_, version)| !served.contains(version));
        dangling.map(|(label, _)| label.as_str()).collect()
    }
}

/// Why a word cannot name a version; `None` where it can.
pub fn label_problem(label: &str) -> Option<String> {
    let cannot = label.is_empty() || label.contains(['/', ':']) || label.chars().any(char::is_control);
    cannot.then(|| format!("{label:?} cannot be part of a path; use letters, digits and `-`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> VersionsSection {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn a_policy_picks_from_what_is_on_disk() {
        // The section, what is there, what is served.
        let cases: [(&str, &[u64], &[u64]); 8] = [
            ("", &[1, 2, 10], &[10]),
            ("", &[], &[]),
            ("policy = \"latest\"", &[1, 2, 10], &[10]),
            ("latest = 2", &[1, 2, 10], &[2, 10]),
            ("policy = \"latest\"\nlatest = 2", &[7], &[7]),
            ("policy = \"all\"", &[1, 2, 10], &[1, 2, 10]),
            ("policy = [10, 1, 4]", &[1, 2, 10], &[1, 10]),
            ("policy = []", &[1], &[]),
        ];
        for (text, on_disk, served) in cases {
            let section = section(text);
            assert_eq!(section.validate(), Ok(()), "{text}");
            assert_eq!(section.pick(on_disk), served, "{text} of {on_disk:?}");
        }
    }

    #[test]
    fn a_number_of_versions_beside_another_policy_is_refused() {
        for text in ["policy = \"all\"\nlatest = 2", "policy = [1]\nlatest = 2", "latest = 0"] {
            let message = section(text).validate().unwrap_err().to_string();
            assert!(message.contains("versions.latest"), "{message}");
        }
    }

    #[test]
    fn a_label_that_points_at_nothing_that_is_served_is_named() {
        let section = section("labels = { stable = 3, canary = 4 }");
        assert_eq!(section.dangling(&[3, 4]), Vec::<&str>::new());
        assert_eq!(section.dangling(&[4]), ["stable"]);
    }
}
