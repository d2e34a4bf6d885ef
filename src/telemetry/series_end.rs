//! The end of a model's time series: what is gone is not told for ever, and folders that come and go make no series without end.
//!
//! The library gives no list of a family's series, so what can be in one is taken from fixed lists and from what was seen. Whoever
//! still holds handles goes on counting into what nobody reads.

use std::sync::Arc;

use super::{
    labels::{DoorLabels, ModelLabel, OK, PredictionLabels, Protocol, RefusalLabels, request_labels},
    metrics::Metrics,
    refusal_reason::RefusalReason,
};

impl Metrics {
    /// A version is gone, and the last request for it is answered.
    pub fn end_version(&self, model: &str, version: u64) {
        self.events.end(model, version);
        self.traffic().end(&model.into(), version);
        self.end_requests(&model.into(), Some(version));
    }

    /// A model is gone with all its versions.
    pub fn end_model(&self, model: &str) {
        let model: Arc<str> = model.into();
        self.end_requests(&model, None);
        for protocol in Protocol::ALL {
            self.request_duration.remove(&DoorLabels { model: model.clone(), protocol: protocol.name() });
        }
        let label = ModelLabel { model: model.clone() };
        for times in [&self.preprocess_duration, &self.queue_duration] {
            times.remove(&label);
        }
        for sizes in [&self.inference_duration, &self.batch_size] {
            sizes.remove(&label);
        }
        for counts in [&self.worker_restarts, &self.cache_hits, &self.cache_misses, &self.shared_runs] {
            counts.remove(&label);
        }
        for reason in RefusalReason::ALL {
            self.refusals.remove(&RefusalLabels { model: model.clone(), reason: reason.name() });
        }
        let classes = self.seen.take_classes(&model);
        if let Some(predictions) = &self.predictions {
            for label in classes {
                predictions.remove(&PredictionLabels { model: model.clone(), label });
            }
        }
    }

    fn end_requests(&self, model: &Arc<str>, version: Option<u64>) {
        for code in self.seen.codes().into_iter().chain([OK]) {
            for protocol in Protocol::ALL {
                self.requests.remove(&request_labels(model, version, protocol, code));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_model_that_is_gone_leaves_no_series_and_a_version_takes_only_its_own() {
        let metrics = Metrics::new(true);
        let labels: Vec<Arc<str>> = vec!["cat".into(), "dog".into()];
        for (model, version) in [("gone", 1), ("gone", 2), ("stays", 1)] {
            let model: Arc<str> = model.into();
            let handles = metrics.model(&model, version, &labels, 8);
            handles.note_class(Some(1));
            metrics.note_refusal(&model, Some(version), Protocol::Grpc, "OVERLOADED", Duration::ZERO, None);
            metrics.note_refusal(&model, None, Protocol::Http, "NOT_FOUND", Duration::ZERO, None);
            metrics.events().note_load(&model, version);
            metrics.events().note_failure(&model, version);
            metrics.events().note_eviction(&model, version);
        }
        let lines = |part: &str| metrics.own_text().lines().filter(|line| line.contains(part)).count();
        let (both, stays) = (lines("model=\"gone\""), lines("model=\"stays\""));
        let of_second = lines("model=\"gone\",version=\"2\"");
        metrics.end_version("gone", 1);
        assert_eq!(lines("model=\"gone\",version=\"1\""), 0);
        assert_eq!(lines("model=\"gone\",version=\"2\""), of_second);
        assert!(lines("model=\"gone\"") < both && lines("model=\"gone\"") > of_second);
        metrics.end_version("gone", 2);
        metrics.end_model("gone");
        assert_eq!(lines("model=\"gone\""), 0, "{}", metrics.own_text());
        assert_eq!(lines("model=\"stays\""), stays);
    }
}
