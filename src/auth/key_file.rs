//! The file of keys as it is written: names, hashes, rights and limits; no key itself.

use std::{io::Read as _, os::unix::fs::PermissionsExt as _, path::Path};

use serde::{Deserialize, Serialize};
use tracing::warn;

use super::{allowance::Limits, digest::SecretDigest, error::KeyFileError};
use crate::files;

/// Far more than so many keys have.
const LARGEST: u64 = 4 << 20;

/// Each has series of its own among the metrics. Whoever has more users than that has somebody who vouches for them.
const MOST_KEYS: usize = 1_000;

/// What a hash begins with.
const SCHEME: &str = "sha256:";

/// Whoever may write into the file besides its owner.
const OTHERS_WRITE: u32 = 0o022;

/// Whoever may read it that is neither its owner nor of its group: a group is how Kubernetes hands a secret to a user of its own.
const OTHERS_READ: u32 = 0o004;

/// A file of keys.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyFile {
    /// Each of its keys.
    #[serde(default)]
    pub keys: Vec<KeyEntry>,
}

/// One key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// What log and metrics call it.
    pub name: String,
    /// `sha256:` and 64 hexadecimal digits.
    pub hash: String,
    /// The models that it is for; `*` for all.
    #[serde(default = "all_models")]
    pub models: Vec<String>,
    /// What it may.
    #[serde(default = "usual_rights")]
    pub rights: Vec<Right>,
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

/// What a key may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Right {
    /// Ask models.
    Classify,
    /// Look at lists, metadata, statistics and metrics.
    Read,
    /// Load, unload and label models, and look.
    Manage,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 3] = [Self::Classify, Self::Read, Self::Manage];

    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Read => "read",
            Self::Manage => "manage",
        }
    }
}

/// What a key is for that says nothing else.
pub fn all_models() -> Vec<String> {
    vec!["*".to_owned()]
}

/// What a key may that says nothing else.
pub fn usual_rights() -> Vec<Right> {
    vec![Right::Classify, Right::Read]
}

/// What a file holds at one moment, and who else may touch it. It has no `Debug`: hashes are nobody's affair.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct KeyText {
    text: String,
    mode: u32,
}

impl KeyText {
    pub(super) fn read(path: &Path) -> Result<Self, KeyFileError> {
        let unread = |cause| KeyFileError::Unread { file: files::shown(path), cause };
        let file = files::open(path).map_err(unread)?;
        // Of what was opened, whatever has the name by now.
        let mode = file.metadata().map_err(unread)?.permissions().mode() & 0o777;
        let mut text = String::new();
        file.take(LARGEST + 1).read_to_string(&mut text).map_err(unread)?;
        if text.len() as u64 > LARGEST {
            let message = format!("it has more than {LARGEST} bytes");
            return Err(unread(std::io::Error::new(std::io::ErrorKind::FileTooLarge, message)));
        }
        Ok(Self { text, mode })
    }

    /// Its keys, each judged.
    pub(super) fn keys(&self, path: &Path) -> Result<KeyFile, KeyFileError> {
        let (file, mode) = (files::shown(path), self.mode);
        if mode & OTHERS_WRITE != 0 {
            return Err(KeyFileError::Writable { file, mode });
        }
        let keys = KeyFile::parse(&self.text, &file)?;
        if mode & OTHERS_READ != 0 {
            warn!("[auth] keys_file {file}: everybody on this machine can read it (mode {mode:03o}); chmod o-r {file}");
        }
        Ok(keys)
    }
}

impl KeyFile {
    /// Reads a file and judges each of its keys.
    ///
    /// # Errors
    /// [`KeyFileError`], which names the file and the key.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        KeyText::read(path)?.keys(path)
    }

    /// * `file`: for errors
    pub(super) fn parse(text: &str, file: &str) -> Result<Self, KeyFileError> {
        let malformed = |cause: toml::de::Error| KeyFileError::Malformed {
            file: file.to_owned(),
            cause: cause.message().to_owned(),
        };
        let read: Self = toml::from_str(text).map_err(malformed)?;
        read.judge(file)?;
        Ok(read)
    }

    /// * `file`: for errors
    pub(super) fn judge(&self, file: &str) -> Result<(), KeyFileError> {
        let file = file.to_owned();
        if self.keys.len() > MOST_KEYS {
            return Err(KeyFileError::TooMany { file, count: self.keys.len(), limit: MOST_KEYS });
        }
        for (place, key) in self.keys.iter().enumerate() {
            let again = self.keys.iter().take(place).any(|before| before.name == key.name || before.hash == key.hash);
            let problem =
                if again { Some("is there twice: give each a name and a key of its own") } else { key.problem() };
            if let Some(problem) = problem {
                return Err(KeyFileError::BadKey { file, name: key.name.clone(), problem: problem.to_owned() });
            }
        }
        Ok(())
    }
}

impl KeyEntry {
    fn problem(&self) -> Option<&'static str> {
        let is_word = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let is_rate = |rate: f64| rate.is_finite() && rate >= 0.0;
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_word) {
            return Some("has no name that metrics can have: up to 64 letters, digits, `-`, `_` and `.`");
        }
        if self.digest().is_none() {
            return Some("has no hash: `sha256:` and 64 hexadecimal digits, as `resnetd keys add` writes it");
        }
        if self.models.is_empty() {
            return Some("is for no model: name them in `models`, or leave it out for all");
        }
        if self.rights.is_empty() {
            return Some("may nothing: `rights` are classify, read and manage");
        }
        if !is_rate(self.requests_per_second) || !is_rate(self.images_per_second) {
            return Some("has a rate below 0: requests_per_second and images_per_second are 0 (no limit) or more");
        }
        None
    }

    pub(super) fn limits(&self) -> Limits {
        let Self { requests_per_second, images_per_second, max_in_flight, .. } = *self;
        Limits { requests_per_second, images_per_second, max_in_flight }
    }

    /// The bytes of the hash.
    pub(super) fn digest(&self) -> Option<[u8; 32]> {
        let digits = self.hash.strip_prefix(SCHEME).filter(|digits| digits.len() == 64)?;
        let mut digest = [0; 32];
        for (byte, pair) in digest.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let digit = |letter: &u8| char::from(*letter).to_digit(16);
            let [high, low] = [digit(pair.first()?)?, digit(pair.get(1)?)?];
            *byte = u8::try_from(high << 4 | low).ok()?;
        }
        Some(digest)
    }
}

/// The hash of a key as it is written.
pub(super) fn hash_text(key: &[u8]) -> String {
    format!("{SCHEME}{}", files::hex(&SecretDigest::of(key).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(name: &str, more: &str) -> String {
        format!("[[keys]]\nname = {name:?}\nhash = {:?}\n{more}\n", hash_text(name.as_bytes()))
    }

    #[test]
    fn what_is_no_file_of_keys_is_refused_with_the_key_and_what_to_do() {
        let hash = hash_text(b"k");
        let twice = entry("front", "") + &format!("[[keys]]\nname = \"front\"\nhash = {hash:?}\n");
        let many: String = (0..=MOST_KEYS).map(|number| entry(&format!("key{number}"), "")).collect();
        for (text, words) in [
            (entry("front", "models = []"), "name them"),
            (entry("front", "rights = []"), "classify, read and manage"),
            (entry("front", "images_per_second = -1"), "or more"),
            (entry("front", "requests_per_second = nan"), "or more"),
            (entry("a b", ""), "up to 64 letters"),
            ("[[keys]]\nname = \"front\"\nhash = \"md5:00\"\n".to_owned(), "resnetd keys add"),
            (
                format!(
                    "[[keys]]\nname = \"front\"\nhash = {:?}\n",
                    hash.replace(|c: char| c.is_ascii_hexdigit(), "é")
                ),
                "hash",
            ),
            (twice, "a key of its own"),
            (many, "the limit is 1000"),
            ("[[keys]]\nname = \"front\"\nhsah = \"\"\n".to_owned(), "[[keys]]"),
            ("[[keys]".to_owned(), "[[keys]]"),
        ] {
            let refused = KeyFile::parse(&text, "keys.toml").unwrap_err().to_string();
            assert!(refused.contains("keys.toml") && refused.contains(words), "{refused}");
        }
    }

    #[test]
    fn a_key_is_for_everything_and_may_look_and_ask_unless_it_says_so() {
        let read = KeyFile::parse(&entry("front", ""), "keys.toml").unwrap();
        assert_eq!((&*read.keys[0].models, &*read.keys[0].rights), (&all_models()[..], &usual_rights()[..]));
        assert_eq!(KeyFile::parse("", "keys.toml").unwrap(), KeyFile::default());
    }

    #[test]
    fn a_file_into_which_others_can_write_is_refused_with_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        std::fs::write(&path, entry("front", "")).unwrap();
        for (mode, is_refused) in [(0o600, false), (0o440, false), (0o644, false), (0o660, true), (0o602, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let read = KeyFile::read(&path);
            assert_eq!(read.is_err(), is_refused, "{mode:o}");
            if let Err(refused) = read {
                assert!(refused.to_string().contains("chmod go-w"), "{refused}");
            }
        }
    }
}
