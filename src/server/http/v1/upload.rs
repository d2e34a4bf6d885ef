//! The images that a client sent, and how it wants to be answered.

use bytes::Bytes;

/// Whose shape the answer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// The one of `:classify`.
    Own,
    /// `{"results": [[["tabby", 0.83]]]}`.
    TensorFlowServing,
}

/// The images of a body, as files.
#[derive(Debug)]
pub(super) struct Upload {
    pub(super) images: Vec<Bytes>,
    pub(super) dialect: Dialect,
    /// The file came under the type that `curl -d` gives to files after it has taken the line ends out of them.
    pub(super) is_form: bool,
}
