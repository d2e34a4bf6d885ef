//! What may stand behind a model's name in a path, `{model}:classify`.

use super::description;
use crate::server::http::description::{Described, ModelInPath};

/// A verb; all of them take a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Classify,
    Predict,
    Regress,
    Explain,
    Load,
    Unload,
    Label,
}

impl Verb {
    const ALL: [Self; 7] =
        [Self::Classify, Self::Predict, Self::Regress, Self::Explain, Self::Load, Self::Unload, Self::Label];

    /// Those that may stand there: a model is loaded as a whole.
    pub(super) fn of(place: ModelInPath) -> &'static [Self] {
        match place {
            ModelInPath::Model => &Self::ALL,
            ModelInPath::Version | ModelInPath::Label => &Self::ALL[..4],
        }
    }

    /// By its name, where it may stand.
    pub(super) fn named(name: &str, place: ModelInPath) -> Option<Self> {
        Self::of(place).iter().copied().find(|verb| verb.name() == name)
    }

    /// As it stands in a path.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Classify => "classify",
            Self::Predict => "predict",
            Self::Regress => "regress",
            Self::Explain => "explain",
            Self::Load => "load",
            Self::Unload => "unload",
            Self::Label => "label",
        }
    }

    /// What a client author reads of it.
    pub(super) fn described(self, place: ModelInPath) -> Described {
        match self {
            Self::Classify => description::classify(place),
            Self::Predict => description::predict(place),
            Self::Regress => description::regress(place),
            Self::Explain => description::explain(place),
            Self::Load => description::load(),
            Self::Unload => description::unload(),
            Self::Label => description::label(),
        }
    }
}
