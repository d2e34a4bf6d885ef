//! Which of a model's versions a request means.

/// As the client said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionPick<'a> {
    /// None: the highest that answers.
    Highest,
    /// By its number.
    Number(u64),
    /// By a label that `[versions] labels` points at one.
    Label(&'a str),
}

impl From<Option<u64>> for VersionPick<'_> {
    fn from(number: Option<u64>) -> Self {
        number.map_or(Self::Highest, Self::Number)
    }
}

/// The same, kept.
#[derive(Clone, Debug)]
pub(super) enum KeptPick {
    Highest,
    Number(u64),
    Label(Box<str>),
}

impl KeptPick {
    pub(super) fn of(pick: VersionPick<'_>) -> Self {
        match pick {
            VersionPick::Highest => Self::Highest,
            VersionPick::Number(number) => Self::Number(number),
            VersionPick::Label(label) => Self::Label(label.into()),
        }
    }

    pub(super) fn as_pick(&self) -> VersionPick<'_> {
        match self {
            Self::Highest => VersionPick::Highest,
            Self::Number(number) => VersionPick::Number(*number),
            Self::Label(label) => VersionPick::Label(label),
        }
    }
}
