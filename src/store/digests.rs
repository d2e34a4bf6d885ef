//! `.manifest.json` of a version in a store: which files it has, how large they are, and their SHA-256. `push` writes it before the graph; a version
//! that has one counts once everything in it is there as it says. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Its name beside the graph. Hidden, so that nobody takes it for a part of the model.
pub(super) const MANIFEST_FILE: &str = ".manifest.json";

/// It names some files.
pub(super) const LARGEST_MANIFEST: u64 = 1 << 20;

/// The files of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Digests {
    /// By their names in the version's folder.
    pub(super) files: BTreeMap<String, FileDigest>,
}

/// What a file is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileDigest {
    /// Bytes.
    pub(super) size: u64,
    /// In hexadecimal.
    pub(super) sha256: String,
}

impl Digests {
    /// # Errors
    /// What is wrong with it, in words.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes)
            .map_err(|error| format!("{MANIFEST_FILE} cannot be read ({error}): push the version again"))
    }

    pub(super) fn text(&self) -> String {
        // Strings and numbers always can be written.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}
