//! What a door asks of the line: which model, on what, what is wanted of it, and until when.

use std::{sync::Arc, time::Instant};

use super::{Charge, Item, Target};
use crate::{
    batching::{ClientId, Priority},
    telemetry::TraceContext,
};

/// The default number of classes in an answer.
pub const DEFAULT_TOP_K: usize = 5;

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
    /// Whose it is, where clients take turns.
    pub client: Option<ClientId>,
    /// The memory that it takes; given back when nothing of it is left.
    pub charge: Arc<Charge>,
    /// What its lines of log carry.
    pub trace: TraceContext,
}

/// What an answer should hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// The most probable classes of every image.
    pub classes: Option<ClassesWanted>,
    /// Outputs by name: the graph's own as the network gives it, [`LOGITS`](super::LOGITS),
    /// [`PROBABILITIES`](super::PROBABILITIES), [`FEATURES`](super::FEATURES).
    pub outputs: Vec<String>,
    /// The maps that are averaged before the last layer, for [`Service::explain`](super::Service::explain); and how many images of
    /// the request a picture is.
    pub(super) maps: Option<usize>,
}

impl Wanted {
    /// Classes and nothing else.
    pub fn classes(classes: ClassesWanted) -> Self {
        Self { classes: Some(classes), ..Self::default() }
    }

    /// Outputs and nothing else.
    pub fn outputs(outputs: Vec<String>) -> Self {
        Self { outputs, ..Self::default() }
    }

    /// The same, with the classes that are wanted, if any are.
    #[must_use]
    pub fn with_classes(self, classes: Option<ClassesWanted>) -> Self {
        Self { classes, ..self }
    }
}

/// Which classes a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ClassesWanted {
    /// How many classes an image gets; 1 to the number of classes. `None`: [`DEFAULT_TOP_K`], or all
    /// where there are fewer.
    pub top_k: Option<usize>,
    /// Classes below this probability are left out; 0 to 1. `None`: none is, negative scores of a model without an
    /// activation included.
    pub min_probability: Option<f32>,
}
