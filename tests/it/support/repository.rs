//! A model repository on disk, loaded as the server loads it, and asked without a door.

use std::{ops::Deref, path::Path};

use resnetd::{
    lifecycle::{Lifecycle, LoadOptions, ModelDefaults, wanted_models},
    model::Machine,
    service::{ModelState, Prediction, Priority, Request, RequestLimits, Service, TraceContext, Wanted},
    settings::RuntimeSettings,
    telemetry::Metrics,
};

use super::runtime;

/// A service, and what keeps its models.
pub(crate) struct Serving {
    service: Service,
    _lifecycle: Lifecycle,
}

impl Deref for Serving {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}

/// Serves what is in `repository`, without measuring.
pub(crate) fn load(repository: &Path) -> Serving {
    let (service, lifecycle) = served(repository);
    Serving { service, _lifecycle: lifecycle }
}

/// The same in its parts.
pub(crate) fn served(repository: &Path) -> (Service, Lifecycle) {
    let (service, writer) = Service::new(RequestLimits::default(), 1, Metrics::default());
    let lifecycle = Lifecycle::start(writer, Machine::new(runtime(), || 2), LoadOptions::default()).unwrap();
    // Measuring would take time, and would leave its result in the cache of whoever runs the tests, as large weights would.
    let runtime_settings = RuntimeSettings { tune: false, weights_cache_max_bytes: 0, ..RuntimeSettings::default() };
    let defaults = ModelDefaults { runtime: runtime_settings, ..ModelDefaults::default() };
    let round = lifecycle.apply(wanted_models(repository, None, &defaults).unwrap());
    tokio::task::block_in_place(|| round.wait());
    (service, lifecycle)
}

/// Why a model is not served.
pub(crate) fn failure(service: &Service, name: &str) -> String {
    match service.find(name, None).unwrap().state {
        ModelState::Failed(reason) => reason,
        other => panic!("{name} is {other:?}"),
    }
}

/// The label of the most probable class.
pub(crate) async fn top_1(service: &Service, model: &str, image: impl Into<bytes::Bytes>) -> String {
    classes(service, model, image.into()).await[0].label.to_string()
}

/// The index of the most probable class, and its probability.
pub(crate) async fn best(service: &Service, model: &str, image: bytes::Bytes) -> (usize, f32) {
    let best = &classes(service, model, image).await[0];
    (best.index, best.probability)
}

async fn classes(service: &Service, model: &str, image: bytes::Bytes) -> Vec<Prediction> {
    let target = service.target(model, None).unwrap();
    let request = Request {
        items: vec![target.picture(image)],
        target,
        wanted: Wanted::classes(Default::default()),
        deadline: None,
        priority: Priority::DEFAULT,
        client: None,
        charge: service.open_charge().unwrap(),
        trace: TraceContext::new("test"),
    };
    service.answer(request).await.unwrap().predictions.swap_remove(0)
}
