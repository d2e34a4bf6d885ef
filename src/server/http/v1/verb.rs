//! What may stand behind a model's name in a path, `{model}:classify`.

use super::description;
use crate::server::http::description::{Described, ModelInPath};

/// A verb; all of them take a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Classify,
    Predict,
    Regress,
}

impl Verb {
    pub(super) const ALL: [Self; 3] = [Self::Classify, Self::Predict, Self::Regress];

    /// By its name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.name() == name)
    }

    /// As it stands in a path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Predict => "predict",
            Self::Regress => "regress",
        }
    }

    /// What a client author reads of it.
    pub(super) fn described(self, place: ModelInPath) -> Described {
        match self {
            Self::Classify => description::classify(place),
            Self::Predict => description::predict(place),
            Self::Regress => description::regress(place),
        }
    }
}
