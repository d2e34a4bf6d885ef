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
