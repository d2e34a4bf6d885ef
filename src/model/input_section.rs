//! `[input]` of `model.toml`: what was done to the training images, so that it is done to those of requests.
//!
//! Every key is optional. What is not said follows from the graph's own image, else it is torchvision's evaluation of
//! ImageNet. Pure.

use serde::{Deserialize, Serialize};

use super::Preset;
use crate::{
    inspect::ImageInput,
    preprocess::{Decoding, Interpolation, Orientation, ResizeMode, Spec},
    runtime::{Element, Signature},
    settings::{SettingError, in_range, positive},
    tensor::{ColorOrder, Layout, Normalizer},
};

/// The side of images where neither graph nor model.toml says it.
const USUAL_SIDE: u32 = 224;

/// What was done to the training images.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InputSection {
    /// A named set of the values that the other keys have by default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<Preset>,
    /// Pixels of the shorter side (or of both, `stretch`); 0: no resize. Default 256, or in proportion to the crop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_size: Option<u32>,
    /// Pixels of the square that is cut from the centre; 0: no crop. Default: the graph's input size, else 224.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_size: Option<u32>,
    /// Rows of what is cut, instead of `crop_size`, where that is not square.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_height: Option<u32>,
    /// Columns of what is cut.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crop_width: Option<u32>,
    /// How the sides change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize_mode: Option<ResizeMode>,
    /// The filter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interpolation: Option<Interpolation>,
    /// What becomes of EXIF orientation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub orientation: Option<Orientation>,
    /// How closely files are decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decode: Option<Decoding>,
    /// The order of the channels. Default: RGB, or gray for a graph with one channel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color: Option<ColorOrder>,
    /// Where the channels are; found from the graph when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// A pixel of 0 to 255 is multiplied by it. Default 1/255; 1 for a graph that takes whole numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scale: Option<f64>,
    /// Then subtracted, in the order of `color`; a single number holds for all channels. Default: ImageNet's; for a graph
    /// that takes whole numbers 0, or 128 where they have a sign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean: Option<Vec<f32>>,
    /// Then divided by, in the same way. Default: ImageNet's, or 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub std: Option<Vec<f32>>,
}

/// What a graph says of the images that it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GraphImage {
    /// Height and width.
    pub size: Option<(usize, usize)>,
    /// Where the channels are.
    pub layout: Option<Layout>,
    /// How many there are.
    pub channels: Option<usize>,
    /// What the numbers are.
    pub element: Option<Element>,
}

impl From<&Signature> for GraphImage {
    fn from(signature: &Signature) -> Self {
        Self {
            size: signature.size,
            layout: Some(signature.layout),
            channels: Some(signature.channels),
            element: Some(signature.element),
        }
    }
}

impl From<&ImageInput> for GraphImage {
    /// As far as it is known without a session: a size that was assumed is open.
    fn from(image: &ImageInput) -> Self {
        Self {
            size: (!image.size_assumed).then_some((image.height, image.width)),
            layout: Some(image.layout),
            channels: Some(image.channels),
            element: Element::named(&image.element),
        }
    }
}

impl InputSection {
    /// How pixels are prepared for a graph that takes such images.
    pub fn spec(&self, image: &GraphImage) -> Spec {
        let sides = |(height, width): (usize, usize)| Some([u32::try_from(height).ok()?, u32::try_from(width).ok()?]);
        let stated = self.crop_height.zip(self.crop_width).map(|(height, width)| [height, width]);
        let stated = stated.or(self.crop_size.map(|side| [side; 2]));
        let [height, width] = stated.or(image.size.and_then(sides)).unwrap_or([USUAL_SIDE; 2]);
        let square = height == width;
        let (preset, usual) = (self.preset(), self.preset().values());
        let mode = self.resize_mode.unwrap_or(usual.resize_mode);
        let resize_box = (!square && self.resize_size.is_none()).then(|| match mode {
            ResizeMode::ShorterSide => [preset.resized(height), preset.resized(width)],
            // Nothing is cut off an image that is stretched to the size that the network takes.
            ResizeMode::Stretch => [height, width],
        });
        let resize = self.resize_size.unwrap_or(if square && height > 0 { preset.resized(height) } else { 0 });
        Spec {
            resize_size: (resize > 0).then_some(resize),
            crop_size: (square && height > 0).then_some(height),
            crop_box: (!square).then_some([height, width]),
            resize_box,
            resize_mode: mode,
            interpolation: self.interpolation.unwrap_or(usual.interpolation),
            orientation: self.orientation.unwrap_or_default(),
            decode: self.decode.unwrap_or_default(),
            gray: self.color_for(image) == ColorOrder::Gray,
        }
    }

    /// How pixels become numbers.
    pub fn normalizer(&self, image: &GraphImage) -> Normalizer {
        let layout = image.layout.or(self.layout).unwrap_or(Layout::Nchw);
        let (scale, mean, std) = (self.factor(image), self.mean_for(image), self.std_for(image));
        match image.channels {
            Some(1) => Normalizer::gray(scale, mean[0], std[0], layout),
            _ => Normalizer::new(scale, mean, std, self.color_for(image), layout),
        }
    }

    /// How many of the 256 levels of a pixel are left for a graph that takes whole numbers, in the channel that keeps fewest;
    /// `None` for one that takes floats.
    pub(super) fn levels(&self, image: &GraphImage) -> Option<usize> {
        let element = image.element.filter(|_| zero_of_pixels(image).is_some())?;
        let (scale, mean, std) = (self.factor(image), self.mean_for(image), self.std_for(image));
        let kept = |channel: usize| {
            let level = |pixel: u8| ((f64::from(pixel) * scale) as f32 - mean[channel]) / std[channel];
            let whole = |pixel: u8| match element {
                Element::Int8 => i16::from(level(pixel).round() as i8),
                _ => i16::from(level(pixel).round() as u8),
            };
            (0..=u8::MAX).map(whole).collect::<std::collections::BTreeSet<_>>().len()
        };
        (0..3).map(kept).min()
    }

    /// The order of the channels.
    pub fn color_for(&self, image: &GraphImage) -> ColorOrder {
        self.color.unwrap_or(if image.channels == Some(1) { ColorOrder::Gray } else { self.preset().values().color })
    }

    /// Everything written out, as far as it is one number.
    pub fn in_force(&self, image: &GraphImage) -> Self {
        let spec = self.spec(image);
        let shown = |values: [f32; 3]| if image.channels == Some(1) { vec![values[0]] } else { values.to_vec() };
        let resize = spec.resize_size.or(spec.resize_box.is_none().then_some(0));
        Self {
            preset: self.preset,
            resize_size: resize,
            crop_size: spec.crop_box.is_none().then_some(spec.crop_size.unwrap_or(0)),
            crop_height: spec.crop_box.map(|[height, _]| height),
            crop_width: spec.crop_box.map(|[_, width]| width),
            resize_mode: Some(spec.resize_mode),
            interpolation: Some(spec.interpolation),
            orientation: Some(spec.orientation),
            decode: Some(spec.decode),
            color: Some(self.color_for(image)),
            layout: self.layout.or(image.layout),
            scale: Some(self.factor(image)),
            mean: Some(shown(self.mean_for(image))),
            std: Some(shown(self.std_for(image))),
        }
    }

    /// Whether every value is one that can be worked with.
    ///
    /// # Errors
    /// [`SettingError`] with the key and what is allowed.
    pub(super) fn validate(&self) -> Result<(), SettingError> {
        for (key, size) in [("input.resize_size", self.resize_size), ("input.crop_size", self.crop_size)] {
            in_range(key, &size.unwrap_or(0), 0..=4096)?;
        }
        for (key, size) in [("input.crop_height", self.crop_height), ("input.crop_width", self.crop_width)] {
            in_range(key, &size.unwrap_or(1), 1..=4096)?;
        }
        let refused =
            |key: &str, problem: &str| Err(SettingError::Key { key: key.to_owned(), problem: problem.to_owned() });
        match (self.crop_height, self.crop_width, self.crop_size) {
            (Some(_), None, _) => return refused("input.crop_height", "is nothing without crop_width: set both"),
            (None, Some(_), _) => return refused("input.crop_width", "is nothing without crop_height: set both"),
            (Some(_), Some(_), Some(_)) => {
                return refused("input.crop_size", "says what crop_height and crop_width say: keep it or them");
            }
            _ => {}
        }
        positive("input.scale", &self.scale.unwrap_or(1.0), &1e6)?;
        for (key, values) in [("input.mean", &self.mean), ("input.std", &self.std)] {
            if values.as_ref().is_some_and(|values| !matches!(values.len(), 1 | 3)) {
                return refused(key, "takes three numbers, in the order of color, or one for all channels");
            }
        }
        for mean in self.mean.iter().flatten() {
            in_range("input.mean", mean, -1e6..=1e6)?;
        }
        for std in self.std.iter().flatten() {
            positive("input.std", std, &1e6)?;
        }
        Ok(())
    }

    fn preset(&self) -> Preset {
        self.preset.unwrap_or(Preset::Torchvision)
    }

    /// What a pixel of 0 to 255 is multiplied by.
    fn factor(&self, image: &GraphImage) -> f64 {
        let usual = || if zero_of_pixels(image).is_some() { 1.0 } else { self.preset().values().scale };
        self.scale.unwrap_or_else(usual)
    }

    /// What is subtracted, in the order of the channels.
    fn mean_for(&self, image: &GraphImage) -> [f32; 3] {
        let usual = || match zero_of_pixels(image) {
            Some(zero) => [zero; 3],
            None => in_order(self.preset().values().mean, self.color_for(image)),
        };
        self.mean.as_deref().and_then(three).unwrap_or_else(usual)
    }

    /// What is divided by, in the order of the channels.
    fn std_for(&self, image: &GraphImage) -> [f32; 3] {
        let usual = || match zero_of_pixels(image) {
            Some(_) => [1.0; 3],
            None => in_order(self.preset().values().std, self.color_for(image)),
        };
        self.std.as_deref().and_then(three).unwrap_or_else(usual)
    }
}

/// What is subtracted from a pixel for a graph that takes whole numbers; `None` for one that takes floats.
fn zero_of_pixels(image: &GraphImage) -> Option<f32> {
    match image.element {
        Some(Element::Uint8) => Some(0.0),
        Some(Element::Int8) => Some(128.0),
        Some(Element::Float | Element::Half) | None => None,
    }
}

fn three(values: &[f32]) -> Option<[f32; 3]> {
    match *values {
        [one] => Some([one; 3]),
        [a, b, c] => Some([a, b, c]),
        _ => None,
    }
}

/// Red, green, blue in the order of the channels; of gray the average.
fn in_order([red, green, blue]: [f64; 3], color: ColorOrder) -> [f32; 3] {
    let ordered = match color {
        ColorOrder::Rgb => [red, green, blue],
        ColorOrder::Bgr => [blue, green, red],
        ColorOrder::Gray => [(red + green + blue) / 3.0; 3],
    };
    ordered.map(|value| value as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(text: &str) -> InputSection {
        toml::from_str(text).unwrap()
    }

    fn taking(height: usize, width: usize) -> GraphImage {
        GraphImage { size: Some((height, width)), ..GraphImage::default() }
    }

    #[test]
    fn a_square_image_is_resized_in_torchvisions_proportion() {
        let spec = section("").spec(&taking(224, 224));
        assert_eq!((spec.resize_size, spec.crop(), spec.resize_box), (Some(256), Some((224, 224)), None));
        assert_eq!(section("").spec(&GraphImage::default()), Spec::default());
        let whole = section("crop_size = 0").spec(&taking(224, 224));
        assert_eq!((whole.resize_size, whole.crop()), (None, None));
    }

    #[test]
    fn files_are_decoded_exactly_unless_the_model_says_otherwise() {
        let image = GraphImage::default();
        let decoded = |text: &str| (section(text).spec(&image).decode, section(text).in_force(&image).decode);
        assert_eq!(decoded(""), (Decoding::Exact, Some(Decoding::Exact)));
        assert_eq!(decoded("decode = \"fast\""), (Decoding::Fast, Some(Decoding::Fast)));
        assert!(toml::from_str::<InputSection>("decode = \"quick\"").is_err());
    }

    #[test]
    fn an_image_that_is_not_square_covers_its_box_or_is_stretched_to_it() {
        let spec = section("").spec(&taking(16, 8));
        assert_eq!((spec.resize_size, spec.resize_box, spec.crop_box), (None, Some([19, 10]), Some([16, 8])));
        let spec = section("resize_mode = \"stretch\"").spec(&taking(256, 128));
        assert_eq!((spec.resize_box, spec.crop_box), (Some([256, 128]), Some([256, 128])));
        let spec = section("resize_size = 40\ncrop_height = 32\ncrop_width = 16").spec(&GraphImage::default());
        assert_eq!((spec.resize_size, spec.resize_box, spec.crop_box), (Some(40), None, Some([32, 16])));
    }

    #[test]
    fn whole_numbers_are_pixels_as_they_are_unless_keys_say_otherwise() {
        let taking = |element| GraphImage { element: Some(element), ..GraphImage::default() };
        let plain = section("");
        assert_eq!((plain.factor(&taking(Element::Uint8)), plain.mean_for(&taking(Element::Uint8))), (1.0, [0.0; 3]));
        assert_eq!(plain.mean_for(&taking(Element::Int8)), [128.0; 3]);
        assert_eq!(plain.std_for(&taking(Element::Int8)), [1.0; 3]);
        assert_eq!(plain.mean_for(&taking(Element::Half)), [0.485, 0.456, 0.406]);
        assert_eq!(
            (plain.levels(&taking(Element::Int8)), plain.levels(&taking(Element::Uint8))),
            (Some(256), Some(256))
        );
        assert_eq!(section("scale = 0.00392").levels(&taking(Element::Uint8)), Some(2));
        assert_eq!(section("scale = 0.00392").levels(&taking(Element::Float)), None);
        let said = section("scale = 0.5\nmean = [3.0]");
        assert_eq!((said.factor(&taking(Element::Int8)), said.mean_for(&taking(Element::Int8))), (0.5, [3.0; 3]));
    }

    #[test]
    fn one_channel_is_gray_with_one_number_each() {
        let gray = GraphImage { channels: Some(1), ..taking(28, 28) };
        let in_force = section("").in_force(&gray);
        assert_eq!((in_force.color, in_force.mean), (Some(ColorOrder::Gray), Some(vec![0.449])));
        assert!(section("").spec(&gray).gray && section("color = \"gray\"").spec(&taking(28, 28)).gray);
    }

    #[test]
    fn a_preset_gives_the_values_and_every_key_overrides_one() {
        let keras = section("preset = \"keras-caffe\"");
        let spec = keras.spec(&taking(224, 224));
        assert_eq!((spec.resize_size, spec.resize_mode), (Some(224), ResizeMode::Stretch));
        assert_eq!((spec.interpolation, keras.color_for(&taking(8, 8))), (Interpolation::Nearest, ColorOrder::Bgr));
        assert_eq!(keras.mean_for(&taking(8, 8)), [103.939, 116.779, 123.68]);
        let turned = section("preset = \"keras-caffe\"\ncolor = \"rgb\"\nresize_mode = \"shorter_side\"");
        assert_eq!(turned.mean_for(&taking(8, 8)), [123.68, 116.779, 103.939]);
        assert_eq!(turned.spec(&taking(8, 8)).resize_mode, ResizeMode::ShorterSide);
        let timm = section("preset = \"timm-in1k\"").spec(&taking(288, 288));
        assert_eq!((timm.resize_size, timm.interpolation), (Some(303), Interpolation::Bicubic));
        let pixels = GraphImage { element: Some(Element::Uint8), ..taking(8, 8) };
        assert_eq!((keras.factor(&pixels), keras.mean_for(&pixels)), (1.0, [0.0; 3]), "the graph takes pixels");
    }

    #[test]
    fn the_arithmetic_of_keras_and_tensorflow_is_theirs_to_the_last_bit() {
        let (keras, tf) = (section("preset = \"keras-caffe\""), section("preset = \"tf\""));
        let image = GraphImage { channels: Some(3), layout: Some(Layout::Nhwc), ..taking(1, 1) };
        let numbers = |section: &InputSection, level: u8| {
            let mut out = [f32::NAN; 3];
            let pixel = crate::tensor::Pixels::new(1, 1, vec![level; 3]).unwrap();
            section.normalizer(&image).write(&pixel, &mut out);
            out
        };
        for level in 0..=255 {
            let pixel = f32::from(level);
            assert_eq!(numbers(&keras, level), [pixel - 103.939, pixel - 116.779, pixel - 123.68]);
            assert_eq!(numbers(&tf, level), [pixel / 127.5 - 1.0; 3]);
        }
    }

    #[test]
    fn sizes_that_contradict_each_other_are_refused_by_name() {
        for (text, key) in [
            ("crop_height = 16", "crop_width"),
            ("crop_width = 16", "crop_height"),
            ("crop_size = 8\ncrop_height = 16\ncrop_width = 8", "crop_size"),
            ("crop_height = 0\ncrop_width = 8", "crop_height"),
            ("mean = [1.0, 2.0]", "input.mean"),
            ("std = []", "input.std"),
        ] {
            let refusal = section(text).validate().unwrap_err().to_string();
            assert!(refusal.contains(key), "{text}: {refusal}");
        }
    }
}
