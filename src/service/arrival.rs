//! A request at the door: measured from its head on, and given the model that was served when it came.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use super::{Asker, Error, Service, Target, VersionPick, pick::KeptPick, registry::FoundVersion};
use crate::{
    auth::{Caller, Right},
    telemetry::{Protocol, RequestMeter, Subject, TraceId},
};

/// A request whose model is known and whose time is taken. Dropped without [`Arrival::finish`], it counts as left by its
/// client.
#[must_use = "a request whose arrival is dropped counts as left by its client"]
pub struct Arrival<'s> {
    service: &'s Service,
    meter: RequestMeter<'s>,
    started: Instant,
    target: Result<Target, Error>,
    /// What was asked for, where it has to be loaded first.
    cold: Option<(Arc<str>, KeptPick)>,
    caller: Option<Caller>,
    /// What came of that.
    loaded: OnceLock<Target>,
}

impl Service {
    /// Looks up what a request is for, in one look at what is served, and begins to measure it.
    ///
    /// * `model`: as the client wrote it; the metrics are not told a name that is not known
    /// * `asker`: what it may not is refused; where the model's requests are shared out among its versions, it decides
    /// * `started`: when the request came
    pub fn arrive<'v>(
        &self,
        protocol: Protocol,
        model: &str,
        version: impl Into<VersionPick<'v>>,
        asker: &Asker,
        started: Instant,
    ) -> Arrival<'_> {
        let (snapshot, version) = (self.registry().current(), version.into());
        let allowed = asker.check_right(Right::Classify).and_then(|()| asker.check_model(model));
        let (target, cold) = match allowed.and_then(|()| snapshot.routed(model, version, &asker.keys)) {
            Ok(FoundVersion::Answers(target)) => {
                target.served.last_use.note(started);
                (Ok(Target { caller: asker.caller.clone(), ..target }), None)
            }
            Ok(FoundVersion::Cold(name, ..)) => (snapshot.target(model, version), Some((name, KeptPick::of(version)))),
            Err(error) => (Err(error), None),
        };
        let subject = match &target {
            Ok(target) => Subject::Served(target.served.metrics.clone()),
            Err(_) => snapshot.subject(model),
        };
        let meter = RequestMeter::start(self.metrics(), subject, protocol, started);
        Arrival { service: self, meter, started, target, cold, caller: asker.caller.clone(), loaded: OnceLock::new() }
    }
}

impl Arrival<'_> {
    /// The request is recorded there, if it is.
    pub fn in_trace(mut self, trace: Option<TraceId>) -> Self {
        self.meter.in_trace(trace);
        self
    }

    /// The version that answers, where it does at once or was waited for.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`](super::ErrorKind::NotFound) and, while it loads,
    /// [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable).
    pub fn target(&self) -> Result<Target, Error> {
        self.loaded.get().map_or_else(|| self.target.clone(), |target| Ok(target.clone()))
    }

    /// Refuses what no version will answer, before anything else is looked at.
    ///
    /// # Errors
    /// As for [`Arrival::target`], where waiting would not help.
    pub fn check(&self) -> Result<(), Error> {
        if self.must_wait() { Ok(()) } else { self.target.as_ref().map(drop).map_err(Clone::clone) }
    }

    /// Whether the version has to be loaded first.
    pub fn must_wait(&self) -> bool {
        self.cold.is_some() && self.loaded.get().is_none()
    }

    /// The version that answers; where it is not loaded, it is, and the request waits for that.
    ///
    /// * `deadline`: the request's own, where it has one
    ///
    /// # Errors
    /// As for [`Arrival::target`], and [`ErrorKind::Unavailable`](super::ErrorKind::Unavailable) with the time that the load takes, where
    /// that is longer than the request can wait.
    pub async fn warmed(&self, deadline: Option<Instant>) -> Result<Target, Error> {
        let Some((model, pick)) = self.cold.as_ref().filter(|_| self.loaded.get().is_none()) else {
            return self.target();
        };
        let deadline = self.service.deadline(deadline, self.started);
        let target = self.service.registry().warmed(model, pick.as_pick(), deadline).await?;
        target.served.last_use.note(Instant::now());
        let target = Target { caller: self.caller.clone(), ..target };
        Ok(self.loaded.get_or_init(|| target).clone())
    }

    /// The request has its answer.
    ///
    /// * `error`: the name of the error on the wire, where the answer is a refusal
    pub fn finish(mut self, error: Option<&'static str>) {
        if let Some(target) = self.loaded.get() {
            self.meter.is_for(target.served.metrics.clone());
        }
        self.meter.finish(error);
    }
}
