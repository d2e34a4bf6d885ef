//! Whom a request is for, and the items that fit it.

use std::sync::Arc;

use bytes::Bytes;

use super::{Error, ErrorKind, served::Served};
use crate::{
    model::ServedModel,
    tensor::{Input, InputShape},
};

/// One version of one model, found for one request: it stays until the request is answered, even if another version is
/// served meanwhile. Cheap to clone.
#[derive(Clone)]
pub struct Target {
    pub(super) served: Arc<Served>,
}

impl Target {
    /// The model.
    pub fn model(&self) -> &ServedModel {
        &self.served.model
    }

    /// An encoded picture, as it came: JPEG, PNG and the like.
    pub fn picture(&self, file: Bytes) -> Item {
        Item(Content::Picture(file))
    }

    /// One image as numbers, `f32[3 * H * W]` in the model's own layout, normalized as it was trained.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] where there are more or fewer values than the model takes.
    pub fn tensor(&self, values: Vec<f32>) -> Result<Item, Error> {
        let input = self.shape().tensor(values).map_err(|misfit| {
            Error::new(ErrorKind::InvalidArgument, format!("model `{}`: {misfit}", self.model().name))
        })?;
        Ok(Item(Content::Tensor(input)))
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

#[derive(Clone, Debug)]
pub(super) enum Content {
    Picture(Bytes),
    Tensor(Input),
}
