//! What a network is shown of one image, after section 4.1 of the paper: one crop, ten crops, or the whole picture at several
//! scales. Pure: bytes in, pixels out.

use std::fmt;

use crate::preprocess::{DecodeLimits, ResizeMode, Spec, TEN_CROPS, preprocess, ten_crops};
use crate::tensor::Pixels;

/// How an image is looked at; probabilities of several views are averaged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// As the model is served.
    #[default]
    OneCrop,
    /// The corners and the centre, and their mirror images.
    TenCrops,
    /// Uncropped, the shorter side resized to each of these; the network runs over the whole picture.
    Scales(Vec<u32>),
}

/// As reports call it.
impl fmt::Display for Views {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OneCrop => f.write_str("1-crop"),
            Self::TenCrops => f.write_str("10-crop"),
            Self::Scales(scales) => {
                let scales: Vec<_> = scales.iter().map(u32::to_string).collect();
                write!(f, "multi-scale {}", scales.join(","))
            }
        }
    }
}

impl Views {
    /// How many views an image has.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::OneCrop => 1,
            Self::TenCrops => TEN_CROPS,
            Self::Scales(scales) => scales.len(),
        }
    }

    /// Prepares the views of an image.
    ///
    /// * `spec`: how the model wants its images
    /// * `size`: height and width of what the network takes
    ///
    /// # Errors
    /// Why it cannot be looked at.
    pub(super) fn of(&self, image: &[u8], spec: &Spec, size: (usize, usize)) -> Result<Vec<Pixels>, String> {
        let prepare =
            |spec: &Spec| preprocess(image, spec, &DecodeLimits::default()).map_err(|error| error.to_string());
        let whole = Spec { crop_size: None, crop_box: None, ..spec.clone() };
        let (height, width) = size;
        match self {
            Self::OneCrop => {
                let pixels = prepare(spec)?;
                let (h, w) = (pixels.height() as usize, pixels.width() as usize);
                if (h, w) == size {
                    return Ok(vec![pixels]);
                }
                Err(format!(
                    "it is {h}x{w} after preparation, the network takes {height}x{width}; set [input] crop_size"
                ))
            }
            Self::TenCrops => {
                let picture = prepare(&whole)?;
                let crop = (u32::try_from(height).unwrap_or(u32::MAX), u32::try_from(width).unwrap_or(u32::MAX));
                let (h, w) = (picture.height(), picture.width());
                let places = ten_crops((h, w), crop);
                let crops = places.and_then(|places| places.iter().map(|place| place.cut(&picture, crop)).collect());
                crops.ok_or_else(|| format!("it is {h}x{w} after the resize, smaller than a crop of {height}x{width}"))
            }
            Self::Scales(scales) => {
                let at = |&scale: &u32| {
                    let mode = ResizeMode::ShorterSide;
                    prepare(&Spec { resize_size: Some(scale), resize_box: None, resize_mode: mode, ..whole.clone() })
                };
                scales.iter().map(at).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAT: &[u8] = include_bytes!("../../tests/fixtures/images/jpeg_420.jpg");

    fn sizes(views: &Views, spec: &Spec, size: (usize, usize)) -> Result<Vec<(u32, u32)>, String> {
        Ok(views.of(CAT, spec, size)?.iter().map(|pixels| (pixels.height(), pixels.width())).collect())
    }

    #[test]
    fn ten_crops_have_the_networks_size_and_scales_keep_the_picture_whole() {
        let spec = Spec::default();
        assert_eq!(sizes(&Views::OneCrop, &spec, (224, 224)).unwrap(), [(224, 224)]);
        assert_eq!(sizes(&Views::TenCrops, &spec, (224, 224)).unwrap(), [(224, 224); 10]);
        let shorter: Vec<_> = sizes(&Views::Scales(vec![32, 48]), &spec, (224, 224))
            .unwrap()
            .into_iter()
            .map(|(height, width)| (height.min(width), height == width))
            .collect();
        assert_eq!(shorter, [(32, false), (48, false)]);
    }

    #[test]
    fn the_fifth_of_ten_crops_is_the_one_crop() {
        let one = Views::OneCrop.of(CAT, &Spec::default(), (224, 224)).unwrap();
        assert_eq!(Views::TenCrops.of(CAT, &Spec::default(), (224, 224)).unwrap()[4], one[0]);
    }

    #[test]
    fn a_picture_without_room_for_the_crops_is_refused_with_both_sizes() {
        let refusal = sizes(&Views::TenCrops, &Spec { resize_size: Some(100), ..Spec::default() }, (224, 224));
        assert!(refusal.unwrap_err().contains("smaller than a crop of 224x224"));
    }
}
