//! What a reader of one format hands over: the tensors as the file names them.

use std::collections::BTreeMap;

use crate::resnet::state_dict::StateDict;

/// A file's tensors under its own names.
#[derive(Debug, Default)]
pub(super) struct RawFile {
    pub(super) state_dict: StateDict,
    pub(super) metadata: BTreeMap<String, String>,
    /// Tensors that hold no floating-point numbers, and what they hold instead: flags and counters of training, or weights that
    /// cannot be read. Which of both their names tell.
    pub(super) others: BTreeMap<String, String>,
    /// Where in the file the tensors were found, where it has several places.
    pub(super) part: Option<Part>,
}

/// One of the networks of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its key, or the prefix of its tensors' names.
    pub key: String,
    /// The keys of the others; `--key` chooses.
    pub beside: Vec<String>,
}
