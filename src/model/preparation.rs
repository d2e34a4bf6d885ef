//! What becomes of a picture before the network, in words for people. Pure.

use super::{GraphImage, InputSection};
use crate::{
    preprocess::{Interpolation, Orientation, ResizeMode},
    tensor::ColorOrder,
};

impl InputSection {
    /// What is done to a picture, one step a line, every default written out.
    ///
    /// * `image`: what the graph takes
    pub fn steps(&self, image: &GraphImage) -> Vec<String> {
        let spec = self.spec(image);
        let filter = match spec.interpolation {
            Interpolation::Bilinear => "bilinear",
            Interpolation::Bicubic => "bicubic",
            Interpolation::Nearest => "nearest",
        };
        let mut steps = Vec::new();
        if spec.orientation == Orientation::Ignore {
            steps.push("EXIF orientation ignored".to_owned());
        }
        match (spec.resize_box, spec.resize_size, spec.resize_mode) {
            (Some([height, width]), _, ResizeMode::Stretch) => {
                steps.push(format!("stretch to {height}x{width} ({filter})"));
            }
            (Some([height, width]), _, ResizeMode::ShorterSide) => {
                steps.push(format!("resize to cover {height}x{width} ({filter})"));
            }
            (None, Some(side), ResizeMode::ShorterSide) => {
                steps.push(format!("resize the shorter side to {side} ({filter})"));
            }
            (None, Some(side), ResizeMode::Stretch) => steps.push(format!("stretch to {side}x{side} ({filter})")),
            (None, None, _) => {}
        }
        if let Some([height, width]) = spec.crop_box.or(spec.crop_size.map(|side| [side; 2])) {
            steps.push(format!("cut {height}x{width} from the centre"));
        }
        let numbers = self.in_force(image);
        let color = numbers.color.map_or("", |color| match color {
            ColorOrder::Rgb => "RGB",
            ColorOrder::Bgr => "BGR",
            ColorOrder::Gray => "gray",
        });
        let scale = match numbers.scale {
            Some(scale) if (scale - 1.0 / 255.0).abs() < 1e-12 => ", divided by 255".to_owned(),
            Some(scale) if (scale - 1.0).abs() > 1e-12 => format!(", times {scale}"),
            _ => String::new(),
        };
        let listed = |values: &Option<Vec<f32>>| {
            let shown = values.iter().flatten().map(ToString::to_string);
            shown.collect::<Vec<_>>().join(", ")
        };
        steps.push(format!("{color}{scale}, less [{}], over [{}]", listed(&numbers.mean), listed(&numbers.std)));
        steps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_imagenet_are_torchvisions() {
        let image = GraphImage { size: Some((224, 224)), ..GraphImage::default() };
        assert_eq!(
            InputSection::default().steps(&image),
            [
                "resize the shorter side to 256 (bilinear)",
                "cut 224x224 from the centre",
                "RGB, divided by 255, less [0.485, 0.456, 0.406], over [0.229, 0.224, 0.225]",
            ]
        );
    }

    #[test]
    fn what_is_not_done_is_not_said() {
        let caffe = InputSection {
            resize_size: Some(0),
            crop_size: Some(32),
            scale: Some(1.0),
            mean: Some(vec![1.0, 2.0, 3.5]),
            std: Some(vec![1.0]),
            color: Some(ColorOrder::Bgr),
            ..InputSection::default()
        };
        let image = GraphImage { size: Some((32, 32)), channels: Some(3), ..GraphImage::default() };
        assert_eq!(caffe.steps(&image), ["cut 32x32 from the centre", "BGR, less [1, 2, 3.5], over [1, 1, 1]"]);
    }
}
