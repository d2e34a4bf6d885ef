//! How often a picture is looked at where it is explained: once, as it is classified, or ten times, as the paper counts errors.
//!
//! Each crop is an image of the request with a place of its own, admitted before anything is decoded; the picture is decoded and
//! resized once, by whichever crop comes first, and the others cut theirs from the same pixels.

use super::{Error, ErrorKind, ErrorSubject, Item, content::Content, picture::PictureFile};
use crate::{
    postprocess::{ClassMap, ViewedMap, merged},
    preprocess::{CropPlace, Framing, Spec, TEN_CROPS, ten_crops},
    tensor::{InputShape, Pixels},
};

/// How often a picture is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExplainCrops {
    /// As it is classified.
    #[default]
    One,
    /// The corners and the centre, and their mirror images.
    Ten,
}

/// Where one crop of a picture lies, in pixels of it as it stands upright.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExplainedCrop {
    /// The left edge.
    pub x: f64,
    /// The upper edge.
    pub y: f64,
    /// Its width.
    pub width: f64,
    /// Its height.
    pub height: f64,
    /// Whether the network saw it mirrored.
    pub is_mirrored: bool,
}

impl ExplainCrops {
    /// By their number.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for any other than 1 and 10.
    pub fn numbered(number: u64) -> Result<Self, Error> {
        match number {
            1 => Ok(Self::One),
            10 => Ok(Self::Ten),
            _ => Err(Self::refused(&number.to_string())),
        }
    }

    /// What is said of a number that it cannot be.
    pub fn refused(shown: &str) -> Error {
        let message =
            format!("crops is `{shown}`: it must be 1 or 10, the corners and the centre and their mirror images");
        Error::new(ErrorKind::InvalidArgument, message).about(ErrorSubject::Field("crops"))
    }

    /// How many images of the request a picture is.
    pub(super) fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Ten => TEN_CROPS,
        }
    }

    /// The images that a picture is.
    pub(super) fn items(self, picture: &PictureFile) -> Vec<Item> {
        match self {
            Self::One => vec![Item(Content::Picture(picture.clone()))],
            Self::Ten => (0..TEN_CROPS).map(|crop| Item(Content::Crop(picture.clone(), crop))).collect(),
        }
    }
}

/// The whole picture as the crops are cut from it.
pub(super) fn whole(spec: &Spec) -> Spec {
    Spec { crop_size: None, crop_box: None, ..spec.clone() }
}

/// One of the ten crops of a picture, as large as the network takes it.
pub(super) fn cut(picture: &Pixels, crop: usize, shape: InputShape) -> Result<Pixels, Error> {
    let size = (side(shape.height), side(shape.width));
    let place = ten_crops((picture.height(), picture.width()), size).and_then(|places| places.get(crop).copied());
    place.and_then(|place| place.cut(picture, size)).ok_or_else(|| {
        let (height, width) = size;
        let message = format!(
            "the picture is {}x{} after the resize, smaller than a crop of {width}x{height}: explain it with crops=1",
            picture.width(),
            picture.height()
        );
        Error::new(ErrorKind::InvalidArgument, message)
    })
}

fn side(side: usize) -> u32 {
    u32::try_from(side).unwrap_or(u32::MAX)
}

/// Where the ten crops of a picture were.
pub(super) struct TenPlaces {
    /// Width and height of what they were cut from.
    picture: (u32, u32),
    /// Width and height of each.
    crop: (u32, u32),
    places: [CropPlace; TEN_CROPS],
}

impl TenPlaces {
    /// Those of a picture that was prepared for them; `None` for one that was not.
    pub(super) fn of(picture: &PictureFile, spec: &Spec, shape: InputShape) -> Option<Self> {
        let preparation = picture.preparation(&whole(spec))?;
        let (pixels, _) = preparation.get()?.as_ref().ok()?;
        let (width, height) = (side(shape.width), side(shape.height));
        let places = ten_crops((pixels.height(), pixels.width()), (height, width))?;
        Some(Self { picture: (pixels.width(), pixels.height()), crop: (width, height), places })
    }

    /// The map of the whole picture.
    ///
    /// * `maps`: those of the crops, in their order
    pub(super) fn merged(&self, maps: &[ClassMap]) -> Option<ClassMap> {
        let viewed = |(map, place): (_, &CropPlace)| {
            let CropPlace { left, top, is_mirrored } = *place;
            ViewedMap { map, left, top, is_mirrored }
        };
        let views: Vec<_> = maps.iter().zip(&self.places).map(viewed).collect();
        merged(self.picture, self.crop, &views)
    }

    /// The crops in the picture itself.
    ///
    /// * `framing`: of the whole picture
    pub(super) fn in_picture(&self, framing: &Framing) -> Vec<ExplainedCrop> {
        let across = framing.width / f64::from(self.picture.0.max(1));
        let down = framing.height / f64::from(self.picture.1.max(1));
        let crop = |place: &CropPlace| ExplainedCrop {
            x: f64::from(place.left) * across,
            y: f64::from(place.top) * down,
            width: f64::from(self.crop.0) * across,
            height: f64::from(self.crop.1) * down,
            is_mirrored: place.is_mirrored,
        };
        self.places.iter().map(crop).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Layout;

    #[test]
    fn a_picture_is_looked_at_once_or_ten_times() {
        assert_eq!(ExplainCrops::numbered(1).map_err(|error| error.message), Ok(ExplainCrops::One));
        assert_eq!(ExplainCrops::numbered(10).map_err(|error| error.message), Ok(ExplainCrops::Ten));
        for number in [0, 5, u64::MAX] {
            let refusal = ExplainCrops::numbered(number).expect_err("no such number");
            assert!(refusal.message.starts_with(&format!("crops is `{number}`")), "{}", refusal.message);
        }
    }

    #[test]
    fn a_picture_without_room_for_the_crops_is_refused_with_both_sizes() {
        let picture = Pixels::new(6, 3, vec![0; 54]).expect("54 samples");
        let shape = InputShape { layout: Layout::Nchw, channels: 3, height: 4, width: 4 };
        let refusal = cut(&picture, 0, shape).expect_err("it is not high enough");
        assert_eq!(refusal.kind, ErrorKind::InvalidArgument);
        assert!(refusal.message.contains("6x3 after the resize, smaller than a crop of 4x4"), "{}", refusal.message);
        let fitting = InputShape { height: 3, ..shape };
        assert_eq!(cut(&picture, 9, fitting).map(|crop| (crop.width(), crop.height())).ok(), Some((4, 3)));
    }

    #[test]
    fn crops_lie_in_the_picture_as_they_lay_in_what_they_were_cut_from() {
        // 500x375 becomes 341x256.
        let places = ten_crops((256, 341), (224, 224)).expect("there is room");
        let ten = TenPlaces { picture: (341, 256), crop: (224, 224), places };
        let framing = Framing { picture_width: 500, picture_height: 375, x: 0.0, y: 0.0, width: 500.0, height: 375.0 };
        let crops = ten.in_picture(&framing);
        assert_eq!((crops[0].x, crops[0].y, crops[0].is_mirrored), (0.0, 0.0, false));
        assert!(
            (crops[3].x + crops[3].width - 500.0).abs() < 1e-9 && (crops[3].y + crops[3].height - 375.0).abs() < 1e-9
        );
        assert!((crops[5].x + crops[5].width - 500.0).abs() < 1e-9 && crops[5].is_mirrored, "the mirrored one's left");
    }
}
