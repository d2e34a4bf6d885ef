//! What a door asks of the line: which model, on what, what is wanted of it, and until when.

use std::{sync::Arc, time::Instant};

use bytes::Bytes;

use super::{Error, ErrorKind, registry::Served};
use crate::{
    batching::Priority,
    model::ServedModel,
    telemetry::TraceContext,
    tensor::{Input, InputShape},
};

/// One request for work, whatever protocol it came by.
#[derive(Clone, Debug)]
pub struct Request {
    /// Whom it is for.
    pub target: Target,
    /// What to work on, at least one.
    pub items: Vec<Item>,
    /// What the answer should hold.
    pub wanted: Wanted,
    /// When the client stops waiting.
    pub deadline: Option<Instant>,
    /// Whom it may overtake.
    pub priority: Priority,
    /// What its lines of log carry.
    pub trace: TraceContext,
}

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

/// What an answer should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The most probable classes of every image.
    pub classes: Option<ClassesWanted>,
    /// Outputs of the graph by name, as the network gives them.
    pub outputs: Vec<String>,
}

impl Wanted {
    /// Classes and nothing else.
    pub fn classes(classes: ClassesWanted) -> Self {
        Self { classes: Some(classes), outputs: Vec::new() }
    }
}

/// Which classes a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassesWanted {
    /// How many classes an image gets; 1 to the number of classes. `None`: [`DEFAULT_TOP_K`](super::DEFAULT_TOP_K), or all
    /// where there are fewer.
    pub top_k: Option<usize>,
    /// Classes below this probability are left out; 0 to 1. `None`: none is, negative scores of a model without an
    /// activation included.
    pub min_probability: Option<f32>,
}
