//! What the log says of a model that has come.

use std::time::Duration;

use super::wanted::WantedModel;
use crate::model::{LoadSteps, ModelInfo};

/// What the log says of a model that is served now.
pub(super) fn tell_served(
    info: &ModelInfo,
    WantedModel { name, version, .. }: &WantedModel,
    time: Duration,
    steps: &LoadSteps,
) {
    tracing::info!(
        model = &**name,
        version,
        architecture = &*info.architecture,
        classes = info.labels.len(),
        input = ?info.input.shape,
        provider = info.provider,
        precision = info.precision,
        probability_drift = info.probability_drift,
        instances = info.instances,
        intra_threads = info.intra_threads,
        alone_threads = info.alone_threads,
        max_batch_size = info.max_batch_size,
        choice = info.choice,
        load_ms = time.as_millis() as u64,
        steps = %steps,
        "serving"
    );
    if let Some(inspection) = &info.inspection {
        tracing::info!(model = &**name, version, "its graph is {inspection}");
        if let Some(contradiction) = inspection.contradiction(name) {
            tracing::warn!(
                model = &**name,
                version,
                "{contradiction}; rename its folder, or put the right graph there"
            );
        }
    }
}
