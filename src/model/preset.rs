//! Named ways to prepare images: what the frameworks did to those that their ImageNet networks were trained on. Pure.
//!
//! `docs/presets.md` states every value for people; a test holds it to this file.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{
    preprocess::{Interpolation, ResizeMode},
    tensor::ColorOrder,
};

/// A named set of the keys of `[input]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// torchvision's evaluation of ImageNet; what holds where nothing is said.
    Torchvision,
    /// Keras' `resnet50.preprocess_input` on `load_img(target_size=…)`: Caffe's colours.
    KerasCaffe,
    /// TensorFlow's and Keras' `resnet_v2`: -1 to 1.
    Tf,
    /// timm's newer ResNets (`*.a1_in1k` and others): bicubic, nearly no crop.
    TimmIn1k,
}

/// What a preset says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct PresetValues {
    pub(super) resize_mode: ResizeMode,
    pub(super) interpolation: Interpolation,
    pub(super) color: ColorOrder,
    /// A pixel of 0 to 255 is multiplied by it.
    pub(super) scale: f64,
    /// Then subtracted; red, green, blue, whatever the order of the channels.
    pub(super) mean: [f64; 3],
    /// Then divided by.
    pub(super) std: [f64; 3],
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Torchvision, Self::KerasCaffe, Self::Tf, Self::TimmIn1k];

    /// As `model.toml` and the command line call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Torchvision => "torchvision",
            Self::KerasCaffe => "keras-caffe",
            Self::Tf => "tf",
            Self::TimmIn1k => "timm-in1k",
        }
    }

    pub(super) fn values(self) -> PresetValues {
        let torchvision = PresetValues {
            resize_mode: ResizeMode::ShorterSide,
            interpolation: Interpolation::Bilinear,
            color: ColorOrder::Rgb,
            scale: 1.0 / 255.0,
            mean: [0.485, 0.456, 0.406],
            std: [0.229, 0.224, 0.225],
        };
        match self {
            Self::Torchvision => torchvision,
            Self::KerasCaffe => PresetValues {
                resize_mode: ResizeMode::Stretch,
                interpolation: Interpolation::Nearest,
                color: ColorOrder::Bgr,
                scale: 1.0,
                mean: [123.68, 116.779, 103.939],
                std: [1.0; 3],
            },
            Self::Tf => PresetValues { scale: 1.0 / 127.5, mean: [1.0; 3], std: [1.0; 3], ..torchvision },
            Self::TimmIn1k => PresetValues { interpolation: Interpolation::Bicubic, ..torchvision },
        }
    }

    /// What is resized to for a crop of `side` pixels.
    pub(super) fn resized(self, side: u32) -> u32 {
        match self {
            // 256 for 224; TensorFlow cuts the middle 87.5 %, which is the same.
            Self::Torchvision | Self::Tf => u32::try_from((u64::from(side) * 256).div_ceil(224)).unwrap_or(u32::MAX),
            Self::KerasCaffe => side,
            // Python's floor(side / crop_pct): 235 for 224.
            Self::TimmIn1k => (f64::from(side) / 0.95) as u32,
        }
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let names = Self::ALL.map(Self::name).join(", ");
        Self::ALL
            .into_iter()
            .find(|preset| preset.name() == text)
            .ok_or_else(|| format!("no such preset; there is {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_in_a_file_and_on_the_command_line() {
        for preset in Preset::ALL {
            assert_eq!(preset.name().parse(), Ok(preset));
            assert_eq!(serde_json::to_string(&preset).unwrap(), format!("{:?}", preset.name()));
        }
        assert!("caffe".parse::<Preset>().unwrap_err().contains("keras-caffe"));
    }

    #[test]
    fn sides_are_those_of_the_libraries() {
        let sides = |preset: Preset| [224, 256, 288].map(|side| preset.resized(side));
        assert_eq!(sides(Preset::Torchvision)[0], 256);
        assert_eq!(sides(Preset::Tf)[0], 256);
        assert_eq!(sides(Preset::KerasCaffe), [224, 256, 288]);
        // math.floor(224 / 0.95), and so on.
        assert_eq!(sides(Preset::TimmIn1k), [235, 269, 303]);
    }

    #[test]
    fn the_page_for_people_states_every_value() {
        let page = include_str!("../../docs/presets.md");
        for preset in Preset::ALL {
            let row = page.lines().find(|line| line.starts_with(&format!("| `{}` |", preset.name()))).unwrap();
            let PresetValues { resize_mode, interpolation, color, mean, std, .. } = preset.values();
            let mean = if color == ColorOrder::Bgr { [mean[2], mean[1], mean[0]] } else { mean };
            let word = |value: serde_json::Value| value.as_str().unwrap().to_owned();
            let words = [
                word(serde_json::json!(resize_mode)),
                word(serde_json::json!(interpolation)),
                word(serde_json::json!(color)),
                format!(" {} |", preset.resized(224)),
            ];
            for said in words.into_iter().chain(mean.iter().chain(&std).map(f64::to_string)) {
                assert!(row.contains(&said), "{}: {said} is not in {row}", preset.name());
            }
        }
    }
}
