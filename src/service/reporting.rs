//! Looks at all models for a report of the server's load.

use std::time::Instant;

use super::{ServerLoad, Service};

impl Service {
    /// How loaded the server is, or was a moment ago.
    pub fn load_report(&self) -> ServerLoad {
        self.inner.last_load.get(Instant::now(), || {
            let snapshot = self.registry().current();
            let mut report = ServerLoad::default();
            for serving in snapshot.states().into_iter().filter_map(|version| version.serving) {
                report.utilization = report.utilization.max(serving.load_ratio);
                report.waiting += serving.queue_depth;
            }
            report.requests_a_second =
                snapshot.served().map(|served| served.metrics.counts().requests_a_second[0]).sum();
            report
        })
    }
}
