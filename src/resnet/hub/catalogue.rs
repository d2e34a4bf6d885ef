//! The ImageNet weights that `resnetd pull` knows by name, with the preprocessing that they were evaluated with.
//!
//! Sizes, crops and licences are those of timm 1.0 (`timm.get_pretrained_cfg`), whose maintainers host torchvision's
//! weights on the hub as well: the shorter side is resized to `crop_size / crop_pct`, rounded down. Those of Microsoft's
//! repositories are in their `preprocessor_config.json`.

use super::{Fetched, RemoteFile};
use crate::resnet::architecture::Architecture;
use crate::resnet::import::Imported;
use crate::resnet::{ChoiceError, Choices, GraphOptions, IMAGENET_LABELS, Preprocessing, Recipe};

/// Weights on the hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PretrainedWeights {
    /// The architecture's name, which is the served model's as well.
    pub architecture: &'static str,
    /// How they were trained: timm's tag.
    pub tag: &'static str,
    /// `owner/name` on the hub.
    pub repository: String,
    /// Its SPDX identifier, as the repository states it.
    pub license: &'static str,
    /// The shorter side of an image, in pixels.
    pub resize_size: usize,
    /// `bilinear` or `bicubic`.
    pub interpolation: &'static str,
}

/// A training that several architectures went through.
struct Training {
    tag: &'static str,
    license: &'static str,
    resize_size: usize,
    interpolation: &'static str,
    architectures: &'static [&'static str],
}

/// An architecture's bare name means the first training here that has it.
const TRAININGS: [Training; 4] = [
    // torchvision's IMAGENET1K_V1.
    Training {
        tag: "tv_in1k",
        license: "BSD-3-Clause",
        resize_size: 256,
        interpolation: "bilinear",
        architectures: &[
            "resnet18",
            "resnet34",
            "resnet50",
            "resnet101",
            "resnet152",
            "resnext50_32x4d",
            "resnext101_32x8d",
            "resnext101_64x4d",
            "wide_resnet50_2",
            "wide_resnet101_2",
        ],
    },
    // torchvision's IMAGENET1K_V2, trained at 176 and evaluated at 224 of 232.
    Training {
        tag: "tv2_in1k",
        license: "BSD-3-Clause",
        resize_size: 232,
        interpolation: "bilinear",
        architectures: &[
            "resnet50",
            "resnet101",
            "resnet152",
            "resnext50_32x4d",
            "resnext101_32x8d",
            "wide_resnet50_2",
            "wide_resnet101_2",
        ],
    },
    // "ResNet strikes back", procedure A1.
    Training {
        tag: "a1_in1k",
        license: "Apache-2.0",
        resize_size: 235,
        interpolation: "bicubic",
        architectures: &["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d"],
    },
    // In Hugging Face's own key layout.
    Training {
        tag: "microsoft",
        license: "Apache-2.0",
        resize_size: 256,
        interpolation: "bicubic",
        architectures: &["resnet18", "resnet34", "resnet50", "resnet101", "resnet152"],
    },
];

const CROP_SIZE: usize = 224;

/// A name that the catalogue does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "no weights are known as {name:?}; known are {architectures}, some also as .{trainings}; any other file is built by \
     `resnetd build auto --weights FILE`"
)]
pub struct UnknownName {
    /// What was given.
    pub name: String,
    /// Those that are known by their bare name.
    pub architectures: String,
    /// What may follow the name after a dot.
    pub trainings: String,
}

/// Everything in the catalogue.
pub fn entries() -> impl Iterator<Item = PretrainedWeights> {
    TRAININGS.iter().flat_map(|training| {
        training.architectures.iter().map(|&architecture| PretrainedWeights {
            architecture,
            tag: training.tag,
            repository: repository(architecture, training.tag),
            license: training.license,
            resize_size: training.resize_size,
            interpolation: training.interpolation,
        })
    })
}

/// Finds weights by the architecture (`resnet50`), with a training (`resnet50.a1_in1k`), or by their place on the hub
/// (`microsoft/resnet-50`).
///
/// # Errors
/// [`UnknownName`], with what is known.
pub fn find(name: &str) -> Result<PretrainedWeights, UnknownName> {
    let is_meant = |entry: &PretrainedWeights| {
        name == entry.architecture
            || name == entry.repository
            || name.split_once('.') == Some((entry.architecture, entry.tag))
    };
    entries().find(is_meant).ok_or_else(|| UnknownName {
        name: name.to_owned(),
        architectures: TRAININGS[0].architectures.join(", "),
        trainings: TRAININGS.map(|training| training.tag).join(", ."),
    })
}

/// Microsoft writes `resnet-50` where everyone else has `resnet50`.
fn repository(architecture: &str, tag: &str) -> String {
    match architecture.strip_prefix("resnet") {
        Some(depth) if tag == "microsoft" => format!("microsoft/resnet-{depth}"),
        _ => format!("timm/{architecture}.{tag}"),
    }
}

impl PretrainedWeights {
    /// The file with the weights.
    pub fn file<'a>(&'a self, revision: &'a str) -> RemoteFile<'a> {
        RemoteFile { repository: &self.repository, revision, path: "model.safetensors" }
    }

    /// What to build of the file: these weights' architecture and preprocessing, and ImageNet's labels.
    ///
    /// # Errors
    /// [`ChoiceError`] where the tensors are those of another architecture.
    pub fn recipe(&self, fetched: &Fetched, imported: &Imported) -> Result<Recipe, ChoiceError> {
        let variant = imported.notes.variant;
        let choices = Choices::default();
        let architecture = choices.architecture(self.architecture, variant, Some(&imported.state_dict))?;
        let metadata = [
            ("variant", variant.as_str().to_owned()),
            ("source", format!("https://huggingface.co/{} at {}", self.repository, fetched.commit)),
            ("sha256", fetched.sha256.clone()),
            ("license", self.license.to_owned()),
        ];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).to_vec();
        Ok(Recipe {
            options: GraphOptions { metadata, ..GraphOptions::default() },
            preprocessing: self.preprocessing(&architecture),
            name: self.architecture.to_owned(),
            version: None,
            labels: Some(IMAGENET_LABELS.to_owned()),
            force: false,
            architecture,
        })
    }

    /// What was done to the images that these weights were evaluated on.
    pub fn preprocessing(&self, architecture: &Architecture) -> Preprocessing {
        Preprocessing {
            source: format!("evaluation of {} on ImageNet", self.repository),
            resize_size: self.resize_size,
            crop_size: CROP_SIZE,
            interpolation: self.interpolation.to_owned(),
            ..Preprocessing::torchvision(architecture)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bare_name_means_torchvisions_first_weights_with_their_256_of_224_bilinear() {
        for name in ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "resnext50_32x4d"]
        {
            let entry = find(name).unwrap();
            assert_eq!(entry.repository, format!("timm/{name}.tv_in1k"));
            let preprocessing = entry.preprocessing(&name.parse().unwrap());
            let sizes = (preprocessing.resize_size, preprocessing.crop_size, preprocessing.interpolation.as_str());
            assert_eq!(sizes, (256, 224, "bilinear"));
        }
    }

    #[test]
    fn training_or_repository_may_be_named() {
        for (name, repository, resize_size, interpolation, license) in [
            ("resnet50.tv2_in1k", "timm/resnet50.tv2_in1k", 232, "bilinear", "BSD-3-Clause"),
            ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k", 235, "bicubic", "Apache-2.0"),
            ("microsoft/resnet-101", "microsoft/resnet-101", 256, "bicubic", "Apache-2.0"),
            ("resnet50.microsoft", "microsoft/resnet-50", 256, "bicubic", "Apache-2.0"),
        ] {
            let entry = find(name).unwrap();
            assert_eq!(
                (entry.repository.as_str(), entry.resize_size, entry.interpolation, entry.license),
                (repository, resize_size, interpolation, license)
            );
        }
    }

    #[test]
    fn every_architecture_of_the_catalogue_can_be_built() {
        for entry in entries() {
            assert!(entry.architecture.parse::<Architecture>().is_ok(), "{}", entry.architecture);
        }
    }

    #[test]
    fn unknown_name_is_answered_with_the_known_ones() {
        let message = find("resnet51").unwrap_err().to_string();
        assert!(
            message.contains("\"resnet51\"") && message.contains("resnet152") && message.contains("tv2_in1k"),
            "{message}"
        );
    }
}
