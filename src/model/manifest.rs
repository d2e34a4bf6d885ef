//! `model.toml`: how to prepare pixels, name classes, batch and run. Every key is optional.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::{
    files,
    postprocess::Activation,
    preprocess::{Interpolation, Orientation, ResizeMode, Spec},
    settings::{Batching, RuntimeSettings, SettingError, in_range, overlay, parse, positive},
    tensor::{ColorOrder, Layout, Normalizer},
};

/// The file's name in a model's folder.
pub const MANIFEST_FILE: &str = "model.toml";

/// It says some dozens of things.
const LARGEST_FILE: u64 = 1 << 20;

/// ImageNet's statistics, red, green, blue, of pixels in 0 to 1.
const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

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

/// `[input]`: what was done to the training images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSection {
    /// Pixels of the shorter side (or of both, `stretch`); 0: no resize. Default 256, or in proportion to the crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_size: Option<u32>,
    /// Pixels of the square that is cut from the centre; 0: no crop. Default: the graph's input size, else 224.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_size: Option<u32>,
    /// How the sides change.
    pub resize_mode: ResizeMode,
    /// The filter.
    pub interpolation: Interpolation,
    /// What becomes of EXIF orientation.
    pub orientation: Orientation,
    /// The order of the channels.
    pub color: ColorOrder,
    /// Where the channels are; found from the graph when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// A pixel of 0 to 255 is multiplied by it. Default 1/255.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Then subtracted, in the order of `color`. Default: ImageNet's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<[f32; 3]>,
    /// Then divided by, in the order of `color`. Default: ImageNet's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<[f32; 3]>,
}

/// `[output]`: what the classes are called.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutputSection {
    /// A file in the model's folder. Default: `labels.txt` where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// From logits to probabilities. Default: softmax, unless the graph's answers are probabilities already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<Activation>,
}

/// `[versions]`
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VersionsSection {
    /// Which of the versions on disk are served.
    pub policy: VersionPolicy,
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
    /// * `size`: height and width of the graph's images, where it says so
    /// * `layout`: the graph's
    pub fn in_force(&self, size: Option<(usize, usize)>, layout: Option<Layout>) -> Self {
        let spec = self.input.spec(size);
        let (mean, std) = self.input.statistics();
        let input = InputSection {
            resize_size: Some(spec.resize_size.unwrap_or(0)),
            crop_size: Some(spec.crop_size.unwrap_or(0)),
            layout: self.input.layout.or(layout),
            scale: Some(self.input.factor()),
            mean: Some(mean),
            std: Some(std),
            ..self.input.clone()
        };
        Self { input, ..self.clone() }
    }

    fn validate(&self) -> Result<(), SettingError> {
        let input = &self.input;
        for (key, size) in [("input.resize_size", input.resize_size), ("input.crop_size", input.crop_size)] {
            in_range(key, &size.unwrap_or(0), 0..=4096)?;
        }
        positive("input.scale", &input.scale.unwrap_or(1.0), &1e6)?;
        for mean in input.mean.unwrap_or(IMAGENET_MEAN) {
            in_range("input.mean", &mean, -1e6..=1e6)?;
        }
        for std in input.std.unwrap_or(IMAGENET_STD) {
            positive("input.std", &std, &1e6)?;
        }
        // They are served to anybody. That no link leaves the folder is seen when the file is read.
        if let Some(labels) = &self.output.labels
            && labels.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir))
        {
            let problem = format!("{} leaves the model's folder; name a file inside it", labels.display());
            return Err(SettingError::Key { key: "output.labels".to_owned(), problem });
        }
        self.batching.validate()?;
        self.runtime.validate()
    }
}

impl InputSection {
    /// How pixels are prepared for a graph whose images are `height` x `width`, where it says so.
    pub fn spec(&self, graph_size: Option<(usize, usize)>) -> Spec {
        let graph_side = graph_size.filter(|(height, width)| height == width);
        let graph_side = graph_side.and_then(|(side, _)| u32::try_from(side).ok());
        let crop = self.crop_size.or(graph_side).unwrap_or(224);
        let resize = self.resize_size.unwrap_or(if crop == 0 { 0 } else { in_proportion(crop) });
        Spec {
            resize_size: (resize > 0).then_some(resize),
            crop_size: (crop > 0).then_some(crop),
            resize_mode: self.resize_mode,
            interpolation: self.interpolation,
            orientation: self.orientation,
        }
    }

    /// How pixels become numbers.
    pub fn normalizer(&self, graph_layout: Layout) -> Normalizer {
        let (mean, std) = self.statistics();
        Normalizer::new(self.factor(), mean, std, self.color, self.layout.unwrap_or(graph_layout))
    }

    /// What a pixel of 0 to 255 is multiplied by.
    fn factor(&self) -> f64 {
        self.scale.unwrap_or(1.0 / 255.0)
    }

    /// What is subtracted and what is divided by, in the order of the channels.
    fn statistics(&self) -> ([f32; 3], [f32; 3]) {
        let (mut mean, mut std) = (IMAGENET_MEAN, IMAGENET_STD);
        if self.color == ColorOrder::Bgr {
            mean.reverse();
            std.reverse();
        }
        (self.mean.unwrap_or(mean), self.std.unwrap_or(std))
    }
}

/// The size to resize to for a crop: torchvision's proportion, 256 for 224.
fn in_proportion(crop: u32) -> u32 {
    u32::try_from((u64::from(crop) * 256).div_ceil(224)).unwrap_or(u32::MAX)
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
