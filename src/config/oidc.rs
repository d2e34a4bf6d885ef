//! `[auth.oidc]`: whose tokens are let in, and for what. Reads no file and asks nobody.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{
    settings::{SettingError, at_least, in_range},
    trust,
};

/// `[auth.oidc]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OidcSection {
    /// Who issues the tokens, as their `iss` says it; empty: none is let in.
    pub issuer: String,
    /// Whom they are for: one of these must be in `aud`.
    pub audiences: Vec<String>,
    /// Where the issuer's keys are; empty: where its description says.
    pub jwks_url: String,
    /// Who vouches for the issuer's own certificate; empty: the system's authorities.
    pub ca: PathBuf,
    /// A token to show when the keys are asked for; empty: none.
    pub token_file: PathBuf,
    /// The claim that says who somebody is.
    pub name_claim: String,
    /// What a token may that no grant fits; none: it is refused.
    pub rights: Vec<TokenRight>,
    /// The models that such a token is for.
    pub models: Vec<String>,
    /// How far the clocks may be apart, in milliseconds.
    pub leeway_ms: u64,
    /// From one look at the keys to the next, in milliseconds.
    pub refresh_interval_ms: u64,
    /// The least from one look to another that a token with an unknown key asks for, in milliseconds.
    pub min_refresh_interval_ms: u64,
    /// How long a look may take, in milliseconds.
    pub fetch_timeout_ms: u64,
    /// What tokens may that say something.
    pub grants: Vec<GrantSection>,
}

/// `[[auth.oidc.grants]]`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSection {
    /// What the metrics call whoever comes by it.
    pub name: String,
    /// A claim.
    pub claim: String,
    /// What it must say.
    pub value: String,
    /// What they may.
    #[serde(default = "usual_rights")]
    pub rights: Vec<TokenRight>,
    /// The models that they are for.
    #[serde(default = "all_models")]
    pub models: Vec<String>,
    /// The most requests a second; 0: no limit.
    #[serde(default)]
    pub requests_per_second: f64,
    /// The most images a second; 0: no limit.
    #[serde(default)]
    pub images_per_second: f64,
    /// The most requests at a time; 0: no limit.
    #[serde(default)]
    pub max_in_flight: usize,
}

/// What a token may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TokenRight {
    /// Ask models.
    Classify,
    /// Look at lists, metadata, statistics and metrics.
    Read,
    /// Load, unload and label models, and look.
    Manage,
}

fn usual_rights() -> Vec<TokenRight> {
    vec![TokenRight::Classify, TokenRight::Read]
}

fn all_models() -> Vec<String> {
    vec!["*".to_owned()]
}

impl Default for OidcSection {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            audiences: Vec::new(),
            jwks_url: String::new(),
            ca: PathBuf::new(),
            token_file: PathBuf::new(),
            name_claim: "sub".to_owned(),
            rights: usual_rights(),
            models: all_models(),
            leeway_ms: 30_000,
            refresh_interval_ms: 300_000,
            min_refresh_interval_ms: 5_000,
            fetch_timeout_ms: 5_000,
            grants: Vec::new(),
        }
    }
}

/// Each has series of its own among the metrics.
const MOST_GRANTS: usize = 100;

impl OidcSection {
    /// Whether tokens are let in.
    pub fn is_on(&self) -> bool {
        !self.issuer.is_empty()
    }

    pub(super) fn validate(&self) -> Result<(), SettingError> {
        const DAY_MS: u64 = 86_400_000;
        in_range("auth.oidc.leeway_ms", &self.leeway_ms, 0..=600_000)?;
        in_range("auth.oidc.refresh_interval_ms", &self.refresh_interval_ms, 1_000..=DAY_MS)?;
        in_range("auth.oidc.min_refresh_interval_ms", &self.min_refresh_interval_ms, 100..=DAY_MS)?;
        at_least(
            ("auth.oidc.refresh_interval_ms", &self.refresh_interval_ms),
            ("auth.oidc.min_refresh_interval_ms", &self.min_refresh_interval_ms),
        )?;
        in_range("auth.oidc.fetch_timeout_ms", &self.fetch_timeout_ms, 100..=60_000)?;
        let refuse = |key: &str, problem: &str| {
            Err(SettingError::Key { key: format!("auth.oidc.{key}"), problem: problem.to_owned() })
        };
        if !self.is_on() {
            let sets = [
                ("audiences", !self.audiences.is_empty()),
                ("jwks_url", !self.jwks_url.is_empty()),
                ("grants", !self.grants.is_empty()),
            ];
            return match sets.iter().find(|(_, is_set)| *is_set) {
                Some((key, _)) => {
                    refuse(key, "is set and `auth.oidc.issuer` is not: write it as the tokens' `iss` has it")
                }
                None => Ok(()),
            };
        }
        for (key, url) in [("issuer", &self.issuer), ("jwks_url", &self.jwks_url)] {
            if let Some(problem) = trust::url_problem(url).filter(|_| !url.is_empty()) {
                return refuse(key, &format!("{url:?} {problem}"));
            }
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return refuse(
                "audiences",
                "names nobody: a token that the issuer made for somebody else would be let in; name what stands in the `aud` of tokens for this server",
            );
        }
        if self.name_claim.is_empty() {
            return refuse("name_claim", "is empty: name the claim that says who somebody is, `sub` for instance");
        }
        if !self.rights.is_empty() && self.models.is_empty() {
            return refuse("models", "is empty: name models, write [\"*\"] for all, or leave `rights` empty");
        }
        if self.rights.is_empty() && self.grants.is_empty() {
            return refuse("rights", "is empty, and there are no grants: nobody would be let in");
        }
        self.validate_grants()
    }

    fn validate_grants(&self) -> Result<(), SettingError> {
        let refuse = |problem: String| Err(SettingError::Key { key: "auth.oidc.grants".to_owned(), problem });
        if self.grants.len() > MOST_GRANTS {
            return refuse(format!("are {}, the limit is {MOST_GRANTS}", self.grants.len()));
        }
        for (place, grant) in self.grants.iter().enumerate() {
            let is_twice = self.grants.iter().take(place).any(|before| before.name == grant.name);
            let problem = if is_twice { Some("is there twice: give each a name of its own") } else { grant.problem() };
            if let Some(problem) = problem {
                return refuse(format!("{:?} {problem}", grant.name));
            }
        }
        Ok(())
    }
}

impl GrantSection {
    fn problem(&self) -> Option<&'static str> {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let is_rate = |rate: f64| rate.is_finite() && rate >= 0.0;
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_word) {
            return Some("is no name that metrics can have: up to 64 letters, digits, `-`, `_` and `.`");
        }
        if self.claim.is_empty() || self.value.is_empty() {
            return Some("fits nobody: it needs a `claim`, and the `value` that this must have");
        }
        if self.rights.is_empty() || self.models.is_empty() {
            return Some("is for nothing: name `rights` (classify, read, manage) and `models`, or leave them out");
        }
        if !is_rate(self.requests_per_second) || !is_rate(self.images_per_second) {
            return Some("has a rate below 0: requests_per_second and images_per_second are 0 (no limit) or more");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> Result<(), String> {
        let mut table = toml::Table::try_from(OidcSection::default()).unwrap();
        table.extend(text.parse::<toml::Table>().unwrap());
        let section: OidcSection = table.try_into().map_err(|error: toml::de::Error| error.to_string())?;
        section.validate().map_err(|error| error.to_string())
    }

    #[test]
    fn an_issuer_needs_an_audience_and_a_place_that_nobody_can_forge() {
        let good = "issuer = \"https://id.example\"\naudiences = [\"resnetd\"]\n";
        assert_eq!(section(""), Ok(()));
        assert_eq!(section(good), Ok(()));
        for (text, words) in [
            ("issuer = \"https://id.example\"", "audiences"),
            ("issuer = \"https://id.example\"\naudiences = [\"\"]", "audiences"),
            ("issuer = \"http://id.example\"\naudiences = [\"a\"]", "https://"),
            ("issuer = \"id.example\"\naudiences = [\"a\"]", "https://"),
            ("audiences = [\"a\"]", "auth.oidc.issuer"),
            ("jwks_url = \"https://id.example/keys\"", "auth.oidc.issuer"),
        ] {
            let refused = section(text).unwrap_err();
            assert!(refused.contains(words), "{text}: {refused}");
        }
        for (more, words) in [
            ("jwks_url = \"http://id.example/keys\"", "jwks_url"),
            ("rights = []", "nobody would be let in"),
            ("rights = [\"write\"]", "write"),
            ("models = []", "models"),
            ("name_claim = \"\"", "name_claim"),
            ("leeway_ms = 600001", "leeway_ms"),
            ("refresh_interval_ms = 4000", "min_refresh_interval_ms"),
            ("fetch_timeout_ms = 0", "fetch_timeout_ms"),
            ("grants = [{ name = \"a b\", claim = \"sub\", value = \"x\" }]", "a b"),
            ("grants = [{ name = \"a\", claim = \"\", value = \"x\" }]", "fits nobody"),
            ("grants = [{ name = \"a\", claim = \"sub\", value = \"x\", rights = [] }]", "is for nothing"),
            ("grants = [{ name = \"a\", claim = \"sub\", value = \"x\", images_per_second = -1 }]", "below 0"),
            (
                "grants = [{ name = \"a\", claim = \"c\", value = \"x\" }, { name = \"a\", claim = \"c\", value = \"y\" }]",
                "twice",
            ),
        ] {
            let refused = section(&format!("{good}{more}")).unwrap_err();
            assert!(refused.contains(words), "{more}: {refused}");
        }
        let strict = "rights = []\ngrants = [{ name = \"ops\", claim = \"groups\", value = \"ops\", rights = [\"manage\"], max_in_flight = 4 }]";
        assert_eq!(section(&format!("{good}{strict}")), Ok(()));
    }
}
