//! How a model wants its pixels: the part of `model.toml`'s `[input]` that concerns the picture itself.
//!
//! Names, defaults and geometry are those of torchvision's `Resize` and `CenterCrop`. Pure arithmetic: it knows no
//! bytes and no decoder.

use serde::{Deserialize, Serialize};

/// From a decoded image to the network's input size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// The side to resize to, in pixels, at least 1; `None` leaves the size as it is. torchvision:
    /// `Resize(resize_size)`.
    pub resize_size: Option<u32>,
    /// The side of the square that is cut from the centre, in pixels, at least 1; `None` cuts nothing. An image that is
    /// smaller is centred on black. torchvision: `CenterCrop(crop_size)`.
    pub crop_size: Option<u32>,
    /// What `resize_size` measures.
    pub resize_mode: ResizeMode,
    /// How pixels between pixels are found.
    pub interpolation: Interpolation,
    /// Whether the camera's orientation is honoured.
    pub orientation: Orientation,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            resize_size: Some(256),
            crop_size: Some(224),
            resize_mode: ResizeMode::default(),
            interpolation: Interpolation::default(),
            orientation: Orientation::default(),
        }
    }
}

/// What `resize_size` measures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResizeMode {
    /// The shorter side; the proportions stay. torchvision's `Resize(S)`.
    #[default]
    ShorterSide,
    /// Both sides; the proportions are lost. torchvision's `Resize((S, S))`.
    Stretch,
}

/// How pixels between pixels are found. All but `Nearest` average over what a shrunk pixel covers (antialias).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Pillow's `BILINEAR`: a triangle of radius 1.
    #[default]
    Bilinear,
    /// Pillow's `BICUBIC`: Keys' kernel of radius 2 with a = -0.5.
    Bicubic,
    /// Pillow's `NEAREST`: the pixel under the centre.
    Nearest,
}

/// Whether the camera's orientation (EXIF tag 274) is honoured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Orientation {
    /// Turn the image upright, as every viewer shows it.
    #[default]
    Apply,
    /// Take the pixels as they are stored, as torchvision does. A TIFF is upright all the same: Pillow turns it
    /// while it loads.
    Ignore,
}

impl Spec {
    /// Width and height of the result where they are the same for every image; `None` where they depend on it.
    pub fn output_size(&self) -> Option<(u32, u32)> {
        match (self.crop_size, self.resize_size, self.resize_mode) {
            (Some(crop), _, _) => Some((crop, crop)),
            (None, Some(size), ResizeMode::Stretch) => Some((size, size)),
            _ => None,
        }
    }

    /// Width and height after the resize and before the crop, for an upright image of `width` x `height`.
    pub(super) fn resized(&self, width: u32, height: u32) -> (u64, u64) {
        // A side of 0 cannot come from a model's settings; if a caller asks for it anyway, it counts as 1, here and in
        // the crop.
        let Some(size) = self.resize_size.map(|size| size.max(1)) else { return (width.into(), height.into()) };
        // Python's `int(size * long / short)`: one true division of exact integers, truncated.
        let longer = |long: u32, short: u32| (f64::from(size) * f64::from(long) / f64::from(short)) as u64;
        match self.resize_mode {
            ResizeMode::Stretch => (size.into(), size.into()),
            ResizeMode::ShorterSide if width <= height => (size.into(), longer(height, width)),
            ResizeMode::ShorterSide => (longer(width, height), size.into()),
        }
    }
}

/// One axis of the crop: which resized pixels are kept, and where they land.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The first resized pixel that is kept.
    pub(super) start: u32,
    /// How many are kept.
    pub(super) len: u32,
    /// Black pixels before them in the output.
    pub(super) before: u32,
    /// The output's size.
    pub(super) out: u32,
}

impl Span {
    /// Cuts `crop` (or nothing) from the centre of `size`.
    pub(super) fn centered(size: u32, crop: Option<u32>) -> Self {
        match crop.map(|crop| crop.max(1)) {
            None => Self { start: 0, len: size, before: 0, out: size },
            Some(crop) if crop >= size => Self { start: 0, len: size, before: (crop - size) / 2, out: crop },
            Some(crop) => {
                // Python's round((size - crop) / 2): halves go to the even neighbour.
                let (half, odd) = ((size - crop) / 2, (size - crop) % 2);
                Self { start: half + (odd & half & 1), len: crop, before: 0, out: crop }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_torchvisions_imagenet_evaluation() {
        let spec = Spec::default();
        assert_eq!((spec.resize_size, spec.crop_size), (Some(256), Some(224)));
        assert_eq!(spec.output_size(), Some((224, 224)));
    }

    #[test]
    fn the_longer_side_is_truncated_as_torchvision_does() {
        assert_eq!(Spec::default().resized(500, 375), (341, 256));
        assert_eq!(Spec::default().resized(375, 500), (256, 341));
        assert_eq!(Spec::default().resized(1, 100_000), (256, 25_600_000));
    }

    #[test]
    fn half_a_pixel_of_crop_offset_goes_to_the_even_neighbour() {
        let start = |size| Span::centered(size, Some(224)).start;
        // round(0.5), round(1.5), round(2.5) in Python are 0, 2, 2.
        assert_eq!([225, 227, 229, 341, 256].map(start), [0, 2, 2, 58, 16]);
    }

    #[test]
    fn an_image_smaller_than_the_crop_is_centred_as_torchvision_does() {
        // torchvision pads (crop - size) // 2 before and the rest after.
        assert_eq!(Span::centered(221, Some(224)), Span { start: 0, len: 221, before: 1, out: 224 });
    }
}
