//! Where the versions of a model stand, in TensorFlow Serving's words.

use crate::service::{ModelState, ModelStatus};

/// A version, by the standard's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct VersionStatus {
    pub(in crate::server) version: u64,
    pub(in crate::server) state: &'static str,
    pub(in crate::server) error_code: &'static str,
    pub(in crate::server) error_message: String,
}

/// The states of versions, the highest first as there.
pub(in crate::server) fn states(versions: &[ModelStatus]) -> Vec<VersionStatus> {
    let state = |model: &ModelStatus| {
        let (state, error_code, error_message) = match &model.state {
            ModelState::Loading => ("LOADING", "OK", ""),
            ModelState::Available => ("AVAILABLE", "OK", ""),
            ModelState::Failed(reason) => ("END", "FAILED_PRECONDITION", reason.as_str()),
            // Known, and nothing is done for it until somebody asks.
            ModelState::NotLoaded(reason) => ("START", "OK", reason.as_str()),
        };
        VersionStatus { version: model.version, state, error_code, error_message: error_message.to_owned() }
    };
    versions.iter().rev().map(state).collect()
}
