//! `grpc.health.v1` and reflection.

use std::{collections::BTreeSet, time::Duration};

use resnetd::runtime::scripted::ScriptedExecutor;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

use crate::support::server::{TestServer, logits};

fn of(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn the_server_its_service_and_its_models_have_a_health() {
    let server = TestServer::start().await;
    let mut health = HealthClient::new(server.channel().await);
    for (name, expected) in [
        ("", ServingStatus::Serving),
        ("resnetd.v1.Classifier", ServingStatus::Serving),
        ("pets", ServingStatus::Serving),
        ("broken", ServingStatus::NotServing),
    ] {
        let status = health.check(of(name)).await.expect("a health").into_inner().status();
        assert_eq!(status, expected, "{name:?}");
    }
    let unknown = health.check(of("plants")).await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
}

#[tokio::test]
async fn a_watcher_sees_the_server_become_ready_and_drain() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits()))
        .options(|options| options.drain_delay = Duration::from_secs(3600))
        .options(|options| options.shutdown_grace = Duration::from_secs(7200))
        .still_loading()
        .start()
        .await;
    let mut health = HealthClient::new(server.channel().await);
    let mut states = health.watch(of("")).await.expect("a watch").into_inner();
    let mut unknown = health.watch(of("plants")).await.expect("a watch").into_inner();
    assert_eq!(states.message().await.expect("open").expect("a state").status(), ServingStatus::NotServing);
    assert_eq!(unknown.message().await.expect("open").expect("a state").status(), ServingStatus::ServiceUnknown);

    server.lifecycle.set_ready().await;
    assert_eq!(states.message().await.expect("open").expect("a state").status(), ServingStatus::Serving);

    server.stop();
    assert_eq!(states.message().await.expect("open").expect("a state").status(), ServingStatus::NotServing);
    // The listener is still open: a balancer has time to leave.
    assert_eq!(health.check(of("")).await.expect("a health").into_inner().status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn a_watcher_does_not_hold_up_the_shutdown() {
    let server = TestServer::start().await;
    let mut states = HealthClient::new(server.channel().await).watch(of("")).await.expect("a watch").into_inner();
    assert_eq!(states.message().await.expect("open").expect("a state").status(), ServingStatus::Serving);
    server.stop();
    assert!(server.left().await.is_ok());
}

#[tokio::test]
async fn reflection_lists_the_services_and_gives_their_files() {
    let server = TestServer::start().await;
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let questions = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("resnetd.v1.Classifier".to_owned())),
    ];
    let mut answers =
        reflection.server_reflection_info(tokio_stream::iter(questions)).await.expect("a stream").into_inner();

    let mut next =
        async || answers.message().await.expect("open").expect("an answer").message_response.expect("a message");
    let MessageResponse::ListServicesResponse(list) = next().await else { panic!("a list") };
    let names: BTreeSet<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.contains("resnetd.v1.Classifier") && names.contains("grpc.health.v1.Health"), "{names:?}");
    assert!(names.contains("inference.GRPCInferenceService"), "{names:?}");
    assert!(names.contains("tensorflow.serving.PredictionService"), "{names:?}");
    assert!(names.contains("tensorflow.serving.ModelService"), "{names:?}");
    let MessageResponse::FileDescriptorResponse(files) = next().await else { panic!("a file") };
    assert!(!files.file_descriptor_proto.is_empty());
}
