//! `grpc.health.v1.Health`, for the whole server (`""`), each gRPC service and each model by its name.
//!
//! Nothing is registered: a state is asked of the service when it is wanted, so it cannot be out of date.

use std::future::poll_fn;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_check_response::ServingStatus, health_server};

use super::{
    call::GrpcCall,
    convert,
    proto::{
        classifier_server,
        inference::grpc_inference_service_server,
        tensorflow::serving::{model_service_server, prediction_service_server},
    },
};
use crate::service::{Error, ErrorKind, Readiness, Service, Shown};

/// The services that know models.
const SERVICES: [&str; 4] = [
    classifier_server::SERVICE_NAME,
    grpc_inference_service_server::SERVICE_NAME,
    prediction_service_server::SERVICE_NAME,
    model_service_server::SERVICE_NAME,
];

/// Answers health checks from the state of the service.
pub(super) struct Health {
    service: Service,
}

impl Health {
    pub(super) fn new(service: Service) -> Self {
        Self { service }
    }
}

/// The state of what is called `name`; `None` where nothing is.
fn state(service: &Service, name: &str) -> Option<ServingStatus> {
    let serving = if name.is_empty() || SERVICES.contains(&name) {
        service.readiness() == Readiness::Ready
    } else {
        match service.versions(name) {
            Ok(versions) => {
                service.readiness() != Readiness::Draining && versions.iter().any(|model| model.state.answers())
            }
            // The server has just started and may come to know it.
            Err(unknown) if unknown.kind == ErrorKind::Unavailable => false,
            Err(_) => return None,
        }
    };
    Some(if serving { ServingStatus::Serving } else { ServingStatus::NotServing })
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = ReceiverStream<Result<HealthCheckResponse, Status>>;

    async fn check(&self, request: Request<HealthCheckRequest>) -> Result<Response<HealthCheckResponse>, Status> {
        let name = &request.get_ref().service;
        match state(&self.service, name) {
            Some(state) => Ok(Response::new(HealthCheckResponse { status: state.into() })),
            None => {
                let name = Shown(name);
                let services = SERVICES.join("\", \"");
                let message =
                    format!("there is no service or model `{name}`: check \"\", \"{services}\" or the name of a model");
                Err(convert::status(&Error::new(ErrorKind::NotFound, message)))
            }
        }
    }

    /// Sends the state, and again each time it changes, until the client leaves or the connection is told to close.
    async fn watch(&self, request: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let call = GrpcCall::of(&request)?;
        let name = request.into_inner().service;
        let service = self.service.clone();
        let mut changes = service.readiness_watch();
        let (states, receiver) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut last = None;
            loop {
                let now = state(&service, &name).unwrap_or(ServingStatus::ServiceUnknown);
                if last.replace(now) != Some(now)
                    && states.send(Ok(HealthCheckResponse { status: now.into() })).await.is_err()
                {
                    return;
                }
                tokio::select! {
                    biased;
                    () = states.closed() => return,
                    changed = changes.changed() => if changed.is_err() { return },
                    // Whoever watches waits for ever: where memory is scarce, watches are what is given up.
                    given_up = poll_fn(|cx| call.charge.poll_given_up(cx)) => {
                        // Nobody waits for a client that has not even read the last state.
                        let _ = states.try_send(Err(convert::status(&given_up)));
                        return;
                    }
                    () = call.leaving.cancelled() => {
                        let closing = Error::new(ErrorKind::Unavailable, "the connection is closing: watch again");
                        let _ = states.send(Err(convert::status(&closing))).await;
                        return;
                    }
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}
