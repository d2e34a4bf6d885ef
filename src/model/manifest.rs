//! `model.toml`: how to prepare pixels, name classes, batch and run. Every key is optional.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::{
    cascade::CascadeSection,
    input_section::{GraphImage, InputSection},
    traffic::TrafficSection,
    versions::VersionsSection,
};
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
    /// `[cascade]`
    #[serde(skip_serializing_if = "CascadeSection::is_absent")]
    pub cascade: CascadeSection,
    /// `[traffic]`
    pub traffic: TrafficSection,
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
            maps: Vec::new(),
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

    /// Picks the versions that are served from those on disk, which come sorted: what `[versions]` picks of those that `[traffic]` does not
    /// name, and those that it names.
    pub fn served_versions(&self, on_disk: &[u64]) -> Vec<u64> {
        let named = self.traffic.versions(&self.versions.labels);
        let (named, others): (Vec<_>, Vec<_>) = on_disk.iter().partition(|version| named.contains(version));
        let mut served = self.versions.pick(&others);
        served.extend(named);
        served.sort_unstable();
        served
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
        self.cascade.validate()?;
        self.traffic.validate()?;
        self.batching.validate()?;
        self.runtime.validate()
    }
}
