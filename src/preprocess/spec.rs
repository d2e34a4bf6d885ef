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
    /// Height and width of what is cut, instead of `crop_size`. torchvision: `CenterCrop((height, width))`.
    pub crop_box: Option<[u32; 2]>,
    /// Height and width to resize to, instead of `resize_size`, for a crop that is not square: with `Stretch` just these,
    /// with `ShorterSide` no less than these in the image's own proportions, as timm's `ResizeKeepRatio` does.
    pub resize_box: Option<[u32; 2]>,
    /// Whether pixels are made gray before the resize, as Pillow's `convert("L")` does; all samples of a pixel are the
    /// same then.
    pub gray: bool,
    /// What `resize_size` measures.
    pub resize_mode: ResizeMode,
    /// How pixels between pixels are found.
    pub interpolation: Interpolation,
    /// Whether the camera's orientation is honoured.
    pub orientation: Orientation,
    /// How closely the file is decoded.
    pub decode: Decoding,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            resize_size: Some(256),
            crop_size: Some(224),
            crop_box: None,
            resize_box: None,
            gray: false,
            resize_mode: ResizeMode::default(),
            interpolation: Interpolation::default(),
            orientation: Orientation::default(),
            decode: Decoding::default(),
        }
    }
}

/// How closely a file is decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decoding {
    /// Every pixel, as in training.
    #[default]
    Exact,
    /// A large JPEG at a half, a quarter or an eighth of its size, and never smaller than what it is resized to:
    /// Pillow's `draft`. Other formats, and JPEG in arithmetic or lossless coding, as `Exact`.
    Fast,
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
        match (self.crop(), self.resize_box, self.resize_size, self.resize_mode) {
            (Some(crop), ..) => Some(crop),
            (None, Some([height, width]), _, ResizeMode::Stretch) => Some((width, height)),
            (None, None, Some(size), ResizeMode::Stretch) => Some((size, size)),
            _ => None,
        }
    }

    /// Width and height of what is cut from the centre; `None` where nothing is cut.
    pub fn crop(&self) -> Option<(u32, u32)> {
        self.crop_box.map(|[height, width]| (width, height)).or(self.crop_size.map(|side| (side, side)))
    }

    /// By how much the sides of an upright image of `width` x `height` may be divided before the resize: 8, 4, 2 or 1, as
    /// Pillow's `draft` chooses it.
    pub(super) fn reduction(&self, width: u32, height: u32) -> u32 {
        let resized = self.resized(width, height);
        let smallest = (u64::from(width) / resized.0.max(1)).min(u64::from(height) / resized.1.max(1));
        match self.decode {
            Decoding::Exact => 1,
            Decoding::Fast => [8, 4, 2].into_iter().find(|&by| u64::from(by) <= smallest).unwrap_or(1),
        }
    }

    /// Width and height after the resize and before the crop, for an upright image of `width` x `height`.
    pub(super) fn resized(&self, width: u32, height: u32) -> (u64, u64) {
        if let Some([box_height, box_width]) = self.resize_box.map(|sides| sides.map(|side| side.max(1))) {
            let (across, down) = (f64::from(width) / f64::from(box_width), f64::from(height) / f64::from(box_height));
            // Python's round: halves go to the even neighbour.
            let shrunk = |side: u32| ((f64::from(side) / across.min(down)).round_ties_even() as u64).max(1);
            return match self.resize_mode {
                ResizeMode::Stretch => (box_width.into(), box_height.into()),
                ResizeMode::ShorterSide => (shrunk(width), shrunk(height)),
            };
        }
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
    fn a_picture_is_decoded_no_smaller_than_it_is_resized_to() {
        let fast = Spec { decode: Decoding::Fast, ..Spec::default() };
        let reductions = [(4032, 3024), (2048, 9000), (2047, 9000), (1024, 1023), (512, 512), (511, 9000), (1, 1)];
        assert_eq!(reductions.map(|(width, height)| fast.reduction(width, height)), [8, 8, 4, 2, 2, 1, 1]);
        assert_eq!(Spec::default().reduction(4032, 3024), 1);
        assert_eq!(Spec { resize_size: None, ..fast.clone() }.reduction(4032, 3024), 1);
        let boxed = Spec { resize_box: Some([300, 500]), resize_mode: ResizeMode::Stretch, ..fast };
        assert_eq!((boxed.reduction(1000, 3000), boxed.reduction(2000, 1200)), (2, 4));
    }

    #[test]
    fn the_longer_side_is_truncated_as_torchvision_does() {
        assert_eq!(Spec::default().resized(500, 375), (341, 256));
        assert_eq!(Spec::default().resized(375, 500), (256, 341));
        assert_eq!(Spec::default().resized(1, 100_000), (256, 25_600_000));
    }

    #[test]
    fn an_image_covers_a_box_in_its_own_proportions_as_timm_does() {
        let spec = Spec { resize_box: Some([19, 10]), crop_box: Some([16, 8]), ..Spec::default() };
        assert_eq!((spec.resized(500, 375), spec.output_size()), ((25, 19), Some((8, 16))));
        assert_eq!(spec.resized(375, 500), (14, 19));
        assert_eq!(spec.resized(1, 1000), (10, 10_000));
        let stretched = Spec { resize_mode: ResizeMode::Stretch, ..spec };
        assert_eq!(stretched.resized(500, 375), (10, 19));
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
