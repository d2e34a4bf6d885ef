//! What a reader of one format hands over: the tensors as the file names them.

use std::collections::BTreeMap;

use crate::resnet::state_dict::StateDict;

/// A file's tensors under its own names.
#[derive(Debug, Default)]
pub(super) struct RawFile {
    pub(super) state_dict: StateDict,
    pub(super) metadata: BTreeMap<String, String>,
}
