//! `[traffic]` of `model.toml`: which share of the requests goes to another version, what is mirrored, and when that ends by itself.
//! Pure: it says what was asked for, and knows nobody who does it.

use std::{collections::BTreeMap, fmt, time::Duration};

use hyper::header::HeaderName;
use serde::{Deserialize, Serialize};

use super::versions::label_problem;
use crate::settings::{SettingError, in_range};

/// `[traffic]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrafficSection {
    /// Percent of the requests that name no version, by the version or the label that they go to.
    pub split: BTreeMap<String, f64>,
    /// The header, or the metadata of that name, whose value decides which version a request gets. Default: they are dealt out evenly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The version or the label that runs what the default version answers, for comparison.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow: Option<VersionName>,
    /// When `split` and `shadow` end by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guard: Option<GuardSection>,
}

/// A version by its number or by a label; digits are a number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged, expecting = "expected a version such as 4, or a label such as \"canary\"")]
pub enum VersionName {
    /// A positive integer.
    Number(u64),
    /// One of `[versions] labels`.
    Label(String),
}

/// `[traffic.guard]`: what a version may be like beside the one that it is compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardSection {
    /// The share of its answers, 0 to 1, that may be faults of the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_error_rate: Option<f64>,
    /// How many times as long as the default version's its median latency may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_latency_ratio: Option<f64>,
    /// The share of the mirrored images, 0 to 1, of which it has to say the same most probable class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_agreement: Option<f64>,
    /// What is judged by a rule: at least so many.
    pub min_requests: u64,
    /// Of the last so many seconds.
    pub window_s: u64,
}

impl Default for GuardSection {
    fn default() -> Self {
        Self { max_error_rate: None, max_latency_ratio: None, min_agreement: None, min_requests: 100, window_s: 60 }
    }
}

impl GuardSection {
    /// How far back is looked.
    pub fn window(&self) -> Duration {
        Duration::from_secs(self.window_s)
    }
}

impl VersionName {
    /// What a key of `split` means.
    pub fn of(name: &str) -> Self {
        match name.parse() {
            Ok(number) => Self::Number(number),
            Err(_) => Self::Label(name.to_owned()),
        }
    }

    /// The number of the version, where the name has one.
    pub fn number(&self, labels: &BTreeMap<String, u64>) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Label(label) => match label.parse() {
                Ok(number) => Some(number),
                Err(_) => labels.get(label).copied(),
            },
        }
    }

    fn problem(&self) -> Option<String> {
        match self {
            Self::Number(0) => Some("0 is no version: versions are positive integers".to_owned()),
            Self::Number(_) => None,
            Self::Label(label) if label.starts_with(['-', '+', '.']) && label.parse::<f64>().is_ok() => {
                Some(format!("{label} is no version: versions are positive integers"))
            }
            Self::Label(label) => label_problem(label),
        }
    }
}

impl fmt::Display for VersionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Label(label) => f.write_str(label),
        }
    }
}

impl TrafficSection {
    /// Whether everything goes to one version, and nothing is mirrored.
    pub fn is_empty(&self) -> bool {
        self.split.is_empty() && self.shadow.is_none()
    }

    /// Who gets a share, versions before labels, in order, with the percent.
    pub fn shares(&self) -> Vec<(VersionName, f64)> {
        let mut shares: Vec<_> = self.split.iter().map(|(name, percent)| (VersionName::of(name), *percent)).collect();
        shares.sort_by(|(a, _), (b, _)| a.cmp(b));
        shares
    }

    /// Every version that it names, as far as they have numbers.
    pub fn versions(&self, labels: &BTreeMap<String, u64>) -> Vec<u64> {
        self.names().filter_map(|name| name.number(labels)).collect()
    }

    fn names(&self) -> impl Iterator<Item = VersionName> {
        self.split.keys().map(|name| VersionName::of(name)).chain(self.shadow.clone())
    }

    /// Checks ranges, and that what belongs together is there.
    ///
    /// # Errors
    /// [`SettingError`] for the first that does not hold.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        let wrong = |key: &str, problem: String| Err(SettingError::Key { key: key.to_owned(), problem });
        for (name, percent) in &self.split {
            if let Some(problem) = VersionName::of(name).problem() {
                return wrong("traffic.split", problem);
            }
            in_range(&format!("traffic.split.{name}"), percent, 0.0..=100.0)?;
        }
        let sum: f64 = self.split.values().sum();
        if sum > 100.0 + 1e-9 {
            let problem = format!(
                "it gives away {sum} percent of the requests, and there are 100: what is left over goes to the default version"
            );
            return wrong("traffic.split", problem);
        }
        if let Some(problem) = self.shadow.as_ref().and_then(VersionName::problem) {
            return wrong("traffic.shadow", problem);
        }
        if let Some(key) = self.key.as_ref().filter(|key| HeaderName::from_bytes(key.as_bytes()).is_err()) {
            return wrong("traffic.key", format!("{key:?} is no name of a header; \"x-user-id\" would be one"));
        }
        self.guard.as_ref().map_or(Ok(()), |guard| self.validate_guard(guard))
    }

    fn validate_guard(&self, guard: &GuardSection) -> Result<(), SettingError> {
        let wrong =
            |problem: &str| Err(SettingError::Key { key: "traffic.guard".to_owned(), problem: problem.to_owned() });
        in_range("traffic.guard.max_error_rate", &guard.max_error_rate.unwrap_or(0.0), 0.0..=1.0)?;
        in_range("traffic.guard.max_latency_ratio", &guard.max_latency_ratio.unwrap_or(1.0), 1.0..=1000.0)?;
        in_range("traffic.guard.min_agreement", &guard.min_agreement.unwrap_or(0.0), 0.0..=1.0)?;
        in_range("traffic.guard.min_requests", &guard.min_requests, 1..=1_000_000)?;
        in_range("traffic.guard.window_s", &guard.window_s, 1..=3_600)?;
        if self.is_empty() {
            return wrong("there is nothing to guard: set [traffic] split or shadow, or leave the guard out");
        }
        if guard.max_error_rate.is_none() && guard.max_latency_ratio.is_none() && guard.min_agreement.is_none() {
            return wrong("it has no rule: set max_error_rate, max_latency_ratio or min_agreement");
        }
        if guard.min_agreement.is_some() && self.shadow.is_none() {
            return wrong(
                "min_agreement compares answers to the same image: set [traffic] shadow to the version as well",
            );
        }
        if guard.max_latency_ratio.is_some() && self.split.is_empty() {
            return wrong(
                "max_latency_ratio needs [traffic] split: what is only mirrored gives way to others, and takes its time",
            );
        }
        Ok(())
    }

    /// What is named and not served, and what to do about it; a line each.
    ///
    /// * `labels`: those of `[versions]`
    pub fn unserved(&self, labels: &BTreeMap<String, u64>, served: &[u64]) -> Vec<String> {
        let problem = |name: VersionName| match name.number(labels) {
            None => {
                let there = labels.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
                let there = if there.is_empty() { "there is none".to_owned() } else { format!("there is {there}") };
                Some(format!(
                    "[traffic] names the label `{name}`, and [versions] labels has no such one ({there}): put it there, or name a \
                     version; until then its requests go to the default version"
                ))
            }
            Some(number) if !served.contains(&number) => Some(format!(
                "[traffic] names version {number}, and there is {served:?}: put it there, or leave it out; until then its requests \
                 go to the default version"
            )),
            Some(_) => None,
        };
        let mut lines: Vec<_> = self.names().filter_map(problem).collect();
        let named = self.versions(labels);
        if !self.is_empty() && lines.is_empty() && served.iter().all(|version| named.contains(version)) {
            lines.push(format!(
                "[traffic] names every version that is served, {served:?}, and leaves none to be the default: what it leaves over \
                 goes to the highest; put another version beside them, or leave [traffic] out"
            ));
        }
        lines.dedup();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> TrafficSection {
        toml::from_str(text).unwrap()
    }

    fn labels(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(label, version)| ((*label).to_owned(), *version)).collect()
    }

    #[test]
    fn versions_are_named_by_numbers_and_by_labels() {
        let section = section("split = { canary = 2.5, \"10\" = 5, \"9\" = 1 }\nshadow = \"next\"");
        assert_eq!(section.validate(), Ok(()));
        let names: Vec<_> = section.shares().iter().map(|(name, percent)| (name.to_string(), *percent)).collect();
        assert_eq!(names, [("9".to_owned(), 1.0), ("10".to_owned(), 5.0), ("canary".to_owned(), 2.5)]);
        assert_eq!(section.versions(&labels(&[("canary", 4), ("stable", 3)])), [10, 9, 4]);
        for shadow in ["shadow = 4", "shadow = \"4\""] {
            let shadow = toml::from_str::<TrafficSection>(shadow).unwrap();
            assert_eq!(shadow.versions(&labels(&[])), [4]);
        }
        let text = toml::to_string(&section).unwrap();
        assert_eq!(toml::from_str::<TrafficSection>(&text).unwrap(), section, "{text}");
    }

    #[test]
    fn what_cannot_be_is_refused_with_what_would_be() {
        // The section, what its refusal says.
        let cases = [
            ("split = { \"4\" = 100, \"5\" = 40 }", "`traffic.split`: it gives away 140 percent"),
            ("split = { \"4\" = -5 }", "`traffic.split.4` is -5, allowed is 0 to 100"),
            ("split = { \"4\" = 101 }", "`traffic.split.4` is 101, allowed is 0 to 100"),
            ("split = { \"4\" = nan }", "`traffic.split.4` is NaN"),
            ("split = { \"0\" = 5 }", "0 is no version"),
            ("split = { \"-4\" = 5 }", "-4 is no version"),
            ("split = { \"a/b\" = 5 }", "\"a/b\" cannot be part of a path"),
            ("shadow = \"\"", "`traffic.shadow`: \"\" cannot"),
            ("key = \"x user\"", "\"x user\" is no name of a header; \"x-user-id\" would be one"),
            ("[guard]\nmax_error_rate = 0.1", "nothing to guard"),
            ("split = { \"4\" = 5 }\n[guard]", "it has no rule: set max_error_rate"),
            ("split = { \"4\" = 5 }\n[guard]\nmin_agreement = 0.9", "set [traffic] shadow"),
            ("shadow = 4\n[guard]\nmax_latency_ratio = 2", "needs [traffic] split"),
            (
                "split = { \"4\" = 5 }\n[guard]\nmax_error_rate = 5",
                "`traffic.guard.max_error_rate` is 5, allowed is 0 to 1",
            ),
            ("split = { \"4\" = 5 }\n[guard]\nmax_latency_ratio = 0.5", "allowed is 1 to 1000"),
            ("split = { \"4\" = 5 }\n[guard]\nmax_error_rate = 0.1\nmin_requests = 0", "min_requests` is 0"),
            ("split = { \"4\" = 5 }\n[guard]\nmax_error_rate = 0.1\nwindow_s = 0", "window_s` is 0"),
        ];
        for (text, says) in cases {
            let refusal = section(text).validate().unwrap_err().to_string();
            assert!(refusal.contains(says), "{text}: {refusal}");
        }
        for text in ["shadow = -4", "shadow = [4]", "split = { \"4\" = \"5\" }", "splits = {}"] {
            assert!(toml::from_str::<TrafficSection>(text).is_err(), "{text}");
        }
        assert_eq!(section("split = { \"1\" = 33.3, \"2\" = 33.3, \"3\" = 33.4 }").validate(), Ok(()));
    }

    #[test]
    fn what_is_named_and_not_served_is_told_with_what_there_is() {
        let labels = labels(&[("canary", 4)]);
        let unserved = |text: &str, served: &[u64]| section(text).unserved(&labels, served);
        assert_eq!(unserved("split = { canary = 5 }\nshadow = 4", &[3, 4]), Vec::<String>::new());
        assert_eq!(unserved("", &[3]), Vec::<String>::new());
        let lines = unserved("split = { canary = 5, beta = 5 }\nshadow = 9", &[3]);
        for (line, says) in lines.iter().zip(["the label `beta`", "version 4, and there is [3]", "version 9, and"]) {
            assert!(line.contains(says) && line.contains("leave") | line.contains("put"), "{line}");
        }
        assert_eq!(lines.len(), 3);
        assert!(unserved("split = { canary = 5 }", &[4])[0].contains("leaves none to be the default"));
    }
}
