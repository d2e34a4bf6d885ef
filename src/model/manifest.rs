//! `model.toml`: how to prepare pixels, name classes, batch and run. Every key is optional.

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::input_section::{GraphImage, InputSection};
use crate::{
    files,
    postprocess::Activation,
    runtime::Stated,
    settings::{Batching, RuntimeSettings, SettingError, overlay, parse},
    tensor::ColorOrder,
};

/// The file's name in a model's folder.
pub const MANIFEST_FILE: &str = "model.toml";

/// It says some dozens of things.
const LARGEST_FILE: u64 = 1 << 20;

/// A model's settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Manifest {
    /// `[input]`
    pub input: InputSection,
    /// `[output]`
    pub output: OutputSection,
    /// `[batching]`
    pub batching: Batching,
    /// `[runtime]`
    pub runtime: RuntimeSettings,
    /// `[versions]`
    pub versions: VersionsSection,
}

/// `[output]`: what the classes are called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSection {
    /// Which of several outputs has the classes. Default: the one with as many columns as there are labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// A file in the model's folder. Default: `labels.txt` where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// From logits to probabilities. Default: what the graph lacks; softmax, unless it ends in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
}

/// `[versions]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VersionsSection {
    /// Which of the versions on disk are served.
    pub policy: VersionPolicy,
    /// Names for versions, `{ stable = 3 }`: clients may ask for `labels/stable`.
    pub labels: BTreeMap<String, u64>,
}

impl VersionsSection {
    fn validate(&self) -> Result<(), SettingError> {
        let is_path =
            |label: &str| label.is_empty() || label.contains(['/', ':']) || label.chars().any(char::is_control);
        match self.labels.keys().find(|label| is_path(label)) {
            Some(label) => {
                let problem = format!("{label:?} cannot be part of a path; use letters, digits and `-`");
                Err(SettingError::Key { key: "versions.labels".to_owned(), problem })
            }
            None => Ok(()),
        }
    }

    /// The labels of versions that are not among `served`.
    pub fn dangling(&self, served: &[u64]) -> Vec<&str> {
        let dangling = self.labels.iter().filter(|(_, version)| !served.contains(version));
        dangling.map(|(label, _)| label.as_str()).collect()
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
    /// The highest version.
    Latest,
    /// Every version.
    All,
}

/// Why a manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// It cannot be read.
    #[error("cannot read {path}: {cause}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// It is no TOML.
    #[error("{path}: {cause}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected.
        cause: String,
    },
    /// A key or a value is wrong.
    #[error("{path}: {cause}")]
    Setting {
        /// The file.
        path: PathBuf,
        /// Which, and what is allowed.
        cause: SettingError,
    },
}

impl Manifest {
    /// What it says of a graph's ends.
    ///
    /// * `labels`: how many classes have names
    pub fn stated(&self, labels: Option<usize>) -> Stated {
        Stated {
            layout: self.input.layout,
            gray: self.input.color == Some(ColorOrder::Gray),
            output: self.output.name.clone(),
            labels,
            features: Vec::new(),
        }
    }

    /// Reads the manifest in `folder` over the server's defaults; a folder without one has the defaults.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn read(folder: &Path, batching: &Batching, runtime: &RuntimeSettings) -> Result<Self, ManifestError> {
        let path = folder.join(MANIFEST_FILE);
        let text = match files::read_text(&path, LARGEST_FILE) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !path.is_symlink() => String::new(),
            Err(cause) => return Err(ManifestError::Read { path, cause }),
        };
        Self::parse(&text, &path, batching, runtime)
    }

    /// Parses the text of a manifest; `path` is for messages.
    ///
    /// # Errors
    /// [`ManifestError::Syntax`] and [`ManifestError::Setting`].
    pub fn parse(
        text: &str,
        path: &Path,
        batching: &Batching,
        runtime: &RuntimeSettings,
    ) -> Result<Self, ManifestError> {
        let table = parse(text).map_err(|cause| ManifestError::Syntax { path: path.into(), cause })?;
        let base = Self { batching: batching.clone(), runtime: runtime.clone(), ..Self::default() };
        let setting = |cause| ManifestError::Setting { path: path.into(), cause };
        let manifest = overlay(&base, table).map_err(setting)?;
        manifest.validate().map_err(setting)?;
        Ok(manifest)
    }

    /// `[input]` and `[output]` in one line, with every default: two models of one graph may differ in them.
    pub(super) fn images_and_answers(&self) -> String {
        // Structs of numbers and words always serialize.
        serde_json::to_string(&(&self.input, &self.output)).unwrap_or_default()
    }

    /// The same with every default written out, as far as it does not take a run of the network to know.
    ///
    /// * `image`: what the graph takes
    pub fn in_force(&self, image: &GraphImage) -> Self {
        let input = self.input.in_force(image);
        Self { input, ..self.clone() }
    }

    fn validate(&self) -> Result<(), SettingError> {
        self.input.validate()?;
        // They are served to anybody. That no link leaves the folder is seen when the file is read.
        if let Some(labels) = &self.output.labels
            && labels.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
        {
            let problem = format!("{} leaves the model's folder; name a file inside it", labels.display());
            return Err(SettingError::Key { key: "output.labels".to_owned(), problem });
        }
        self.versions.validate()?;
        self.batching.validate()?;
        self.runtime.validate()
    }
}

impl VersionPolicy {
    /// The versions that are asked for by number and not on disk.
    pub fn missing(&self, on_disk: &[u64]) -> Vec<u64> {
        match self {
            Self::Named(_) => Vec::new(),
            Self::List(wanted) => wanted.iter().copied().filter(|version| !on_disk.contains(version)).collect(),
        }
    }

    /// Picks from the versions on disk, which come sorted.
    pub fn pick(&self, on_disk: &[u64]) -> Vec<u64> {
        match self {
            Self::Named(NamedPolicy::Latest) => on_disk.last().copied().into_iter().collect(),
            Self::Named(NamedPolicy::All) => on_disk.to_vec(),
            Self::List(wanted) => on_disk.iter().copied().filter(|version| wanted.contains(version)).collect(),
        }
    }
}
