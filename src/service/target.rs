//! Whom a request is for, and the items that fit it.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    Error, ErrorKind, ErrorSubject, PROBABILITIES, cascade::Cascade, content::Content, outputs, picture::PictureFile,
    served::Served, traffic::Course,
};
use crate::{
    auth::Caller,
    model::ServedModel,
    tensor::{InputShape, NumberType},
};

/// One version of one model, found for one request: it stays until the request is answered, even if another version is
/// served meanwhile. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    pub(super) served: Arc<Served>,
    /// Whom to ask first, where no version was named.
    pub(super) cascade: Option<Arc<Cascade>>,
    /// How it was chosen among several versions, where it was.
    pub(super) course: Option<Arc<Course>>,
    /// Whose images they are, where keys have limits.
    pub(super) caller: Option<Caller>,
}

impl Target {
    /// The model.
    pub fn model(&self) -> &ServedModel {
        &self.served.model
    }

    /// An encoded picture, as it came: JPEG, PNG and the like.
    pub fn picture(&self, file: Bytes) -> Item {
        Item(Content::Picture(PictureFile::new(file)))
    }

    /// Images as numbers, `[images, C, H, W]` in the model's own layout, little-endian: each item is a slice of `bytes`.
    ///
    /// Floats are what the network reads, normalized as it was trained. Bytes without a sign are pixels, 0 to 255 with the
    /// channels in the network's order, which the model normalizes; where the graph takes such bytes itself, they are its own.
    ///
    /// Looks at every number: for many, not on an I/O thread.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for more or fewer bytes than so many images have, for numbers that are infinite or none,
    /// and for a type that the graph does not take.
    pub fn tensors(&self, bytes: Bytes, images: usize, numbers: NumberType) -> Result<Vec<Item>, Error> {
        let (shape, own) = (self.shape(), self.model().info.numbers);
        let name = &self.model().name;
        let refused = |message: String| Error::new(ErrorKind::InvalidArgument, format!("model `{name}`: {message}"));
        let refuse = |message: String| Err(refused(message).about(ErrorSubject::Images));
        let image_bytes = shape.image_len() * numbers.size();
        if image_bytes.checked_mul(images) != Some(bytes.len()) {
            let (dims, got) = (shape.dims(), bytes.len());
            return refuse(format!("{images} images of {dims:?} have {image_bytes} bytes each, and {got} came"));
        }
        if numbers == NumberType::Int8 && own != NumberType::Int8 {
            return refuse(
                "its graph takes no numbers of 8 bits with a sign: send floats, or bytes without a sign".into(),
            );
        }
        if let Some(place) = numbers.first_not_finite(&bytes) {
            let (image, index) = (place / shape.image_len().max(1), place % shape.image_len().max(1));
            let message = format!("number {index} of image {image} is infinite or none at all: send finite numbers");
            return Err(refused(message).about(ErrorSubject::Image(image)));
        }
        let is_pixels = numbers == NumberType::Uint8 && own != NumberType::Uint8;
        let item = |index: usize| {
            let bytes = bytes.slice(index * image_bytes..(index + 1) * image_bytes);
            let input = if is_pixels { shape.samples(bytes) } else { shape.tensor(bytes, numbers) };
            let input =
                input.map_err(|misfit| Error::new(ErrorKind::InvalidArgument, format!("model `{name}`: {misfit}")));
            input.map(|input| Item(Content::Tensor(input)))
        };
        (0..images).map(item).collect()
    }

    /// The names of the outputs that an answer has where a client names none, the graph's own first.
    pub fn outputs(&self) -> Vec<&str> {
        let own = &*self.model().info.output.name;
        if own == PROBABILITIES { vec![own] } else { vec![own, PROBABILITIES] }
    }

    /// Whether so many outputs can be meant, each once; whether there are any of these names, the service says.
    ///
    /// * `count`: how many are asked for, where `names` are only the first of them
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for one that is asked for twice, and for more than there are.
    pub fn check_outputs<'n>(&self, names: impl Iterator<Item = &'n str>, count: usize) -> Result<(), Error> {
        outputs::check(names, count, self.model())
    }

    /// What the model takes of one image.
    pub fn shape(&self) -> InputShape {
        self.model().batcher.shape()
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} version {}", self.model().name, self.model().version)
    }
}

/// One image of a request. Made by its [`Target`]: numbers that do not fit the model cannot become one.
#[derive(Clone, Debug)]
pub struct Item(pub(super) Content);

impl Item {
    /// The same for several models: a picture is decoded once where they prepare it alike.
    pub(super) fn for_several(self) -> Self {
        match self.0 {
            Content::Picture(picture) => Self(Content::Picture(picture.for_several())),
            content => Self(content),
        }
    }
}
