//! A request at the door: measured from its head on, and given the model that was served when it came.

use std::time::Instant;

use super::{Error, Service, SplitKeys, Target, VersionPick};
use crate::telemetry::{Protocol, RequestMeter, Subject};

/// A request whose model is known and whose time is taken. Dropped without [`Arrival::finish`], it counts as left by its
/// client.
#[must_use = "a request whose arrival is dropped counts as left by its client"]
pub struct Arrival<'s> {
    meter: RequestMeter<'s>,
    target: Result<Target, Error>,
}

impl Service {
    /// Looks up what a request is for, in one look at what is served, and begins to measure it.
    ///
    /// * `model`: as the client wrote it; the metrics are not told a name that is not known
    /// * `keys`: where the model's requests are shared out among its versions, what decides
    /// * `started`: when the request came
    pub fn arrive<'v>(
        &self,
        protocol: Protocol,
        model: &str,
        version: impl Into<VersionPick<'v>>,
        keys: &SplitKeys,
        started: Instant,
    ) -> Arrival<'_> {
        let (snapshot, version) = (self.registry().current(), version.into());
        let target = snapshot.routed(model, version, keys);
        let subject = match &target {
            Ok(target) => Subject::Served(target.served.metrics.clone()),
            Err(_) => snapshot.subject(model),
        };
        let meter = RequestMeter::start(self.metrics(), subject, protocol, started);
        Arrival { meter, target }
    }
}

impl Arrival<'_> {
    /// The version that answers.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) and, while it loads,
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable).
    pub fn target(&self) -> Result<Target, Error> {
        self.target.clone()
    }

    /// The request has its answer.
    ///
    /// * `error`: the name of the error on the wire, where the answer is a refusal
    pub fn finish(self, error: Option<&'static str>) {
        self.meter.finish(error);
    }
}
