//! Tables for people: a label, and what it says.

/// Rows of one label: the first has it, the others continue below.
pub(super) fn labelled(
    label: &'static str,
    values: impl Iterator<Item = String>,
) -> impl Iterator<Item = (&'static str, String)> {
    values.enumerate().map(move |(index, value)| (if index == 0 { label } else { "" }, value))
}
