//! What a refusal tells programs: the messages of `google.rpc` beside its status, on every service.

use std::time::Duration;

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{
        ClassifyRequest, GetModelRequest,
        tensorflow::{
            DataType, TensorProto, TensorShapeProto,
            serving::{
                GetModelStatusRequest, ModelSpec, PredictRequest, model_service_client::ModelServiceClient,
                prediction_service_client::PredictionServiceClient,
            },
            tensor_shape_proto::Dim,
        },
    },
    service::RequestLimits,
};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    grpc_classify::request,
    support::{
        eventually, images,
        server::{TestServer, logits},
        v2::elements,
    },
    v2_grpc::{client, raw},
};

/// The details of a refusal, whose reason is the code beside the status.
fn details(status: &Status) -> ErrorDetails {
    let details = status.get_error_details();
    let info = details.error_info().expect("a reason");
    assert_eq!(info.domain, "resnetd");
    assert_eq!(status.metadata().get("x-error-code").expect("a code"), &*info.reason);
    details
}

/// The field that was wrong.
fn field(status: &Status) -> String {
    let details = details(status);
    let [violation] = &*details.bad_request().expect("a violation").field_violations else { panic!("{status}") };
    assert_eq!(violation.description, status.message());
    violation.field.clone()
}

fn resource(status: &Status) -> (String, String) {
    let details = details(status);
    let resource = details.resource_info().expect("a resource");
    (resource.resource_type.clone(), resource.resource_name.clone())
}

#[tokio::test]
async fn our_own_service_names_the_field_that_was_wrong() {
    let server = TestServer::start().await;
    let mut grpc = server.grpc().await;
    let png = images::png();
    for (bad, wrong) in [
        (ClassifyRequest { images: vec![png.clone(), png.clone(), "no picture".into()], ..request() }, "images[2]"),
        (ClassifyRequest { images: vec![png.slice(..40)], ..request() }, "images[0]"),
        (ClassifyRequest { images: Vec::new(), ..request() }, "images"),
        (ClassifyRequest { images: vec![png; 65], ..request() }, "images"),
        (ClassifyRequest { top_k: Some(99), ..request() }, "top_k"),
        (ClassifyRequest { outputs: vec!["masks".to_owned()], ..request() }, "outputs"),
        (ClassifyRequest { min_probability: 2.0, ..request() }, "min_probability"),
        (ClassifyRequest { version: 3, version_label: "stable".to_owned(), ..request() }, "version_label"),
    ] {
        let status = grpc.classify(bad).await.expect_err(wrong);
        assert_eq!(field(&status), wrong, "{status}");
    }
}

#[tokio::test]
async fn what_there_is_not_is_named_as_a_resource() {
    let server = TestServer::start().await;
    let mut grpc = server.grpc().await;
    let plants = || ("model".to_owned(), "plants".to_owned());
    let unknown = ClassifyRequest { model: "plants".to_owned(), ..request() };
    assert_eq!(resource(&grpc.classify(unknown).await.expect_err("unknown")), plants());
    let unknown = GetModelRequest { name: "plants".to_owned(), ..GetModelRequest::default() };
    assert_eq!(resource(&grpc.get_model(unknown).await.expect_err("unknown")), plants());
    let version = ClassifyRequest { version: 9, ..request() };
    assert_eq!(resource(&grpc.classify(version).await.expect_err("unknown")).1, "pets");

    let mut infer = raw("BYTES", &[1], elements(&[&images::png()]));
    infer.model_name = "plants".to_owned();
    assert_eq!(resource(&client(&server).await.model_infer(infer).await.expect_err("unknown")), plants());

    let spec = ModelSpec { name: "plants".to_owned(), ..ModelSpec::default() };
    let mut models = ModelServiceClient::new(server.channel().await);
    let status = models.get_model_status(GetModelStatusRequest { model_spec: Some(spec) }).await.expect_err("unknown");
    assert_eq!(resource(&status), plants());
}

#[tokio::test]
async fn other_protocols_have_their_own_names_for_fields() {
    let server = TestServer::start().await;
    let mut infer = client(&server).await;
    let png = images::png();
    let named = |name: &str| {
        let mut request = raw("BYTES", &[1], elements(&[&images::png()]));
        request.inputs[0].name = name.to_owned();
        request
    };
    let mut no_version = raw("BYTES", &[1], elements(&[&png]));
    no_version.model_version = "newest".to_owned();
    for (request, wrong) in [
        (named("pixels"), "inputs[0].name"),
        (raw("STRING", &[1], elements(&[&png])), "inputs[0].datatype"),
        (raw("FP32", &[1, 3, 9, 9], vec![0; 972]), "inputs[0].shape"),
        (raw("BYTES", &[2], elements(&[&png[..], b"no picture"])), "inputs[0]"),
        (raw("BYTES", &[2], elements(&[&png])), "inputs[0]"),
        (no_version, "model_version"),
    ] {
        let status = infer.model_infer(request).await.expect_err(wrong);
        assert_eq!(field(&status), wrong, "{status}");
    }
    let tensor = TensorProto {
        dtype: DataType::DtString.into(),
        tensor_shape: Some(TensorShapeProto {
            dim: vec![Dim { size: 2, ..Dim::default() }],
            ..TensorShapeProto::default()
        }),
        string_val: vec![png, "no picture".into()],
        ..TensorProto::default()
    };
    let request = PredictRequest {
        model_spec: Some(ModelSpec { name: "pets".to_owned(), ..ModelSpec::default() }),
        inputs: [("image".to_owned(), tensor)].into(),
        ..PredictRequest::default()
    };
    let mut prediction = PredictionServiceClient::new(server.channel().await);
    assert_eq!(field(&prediction.predict(request.clone()).await.expect_err("no picture")), "inputs");
    let request = PredictRequest { output_filter: vec!["masks".to_owned()], ..request };
    assert_eq!(field(&prediction.predict(request).await.expect_err("no such output")), "output_filter");
}

#[tokio::test]
async fn who_may_try_again_is_told_when_as_over_http() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).capacity(1).start().await;
    let mut first = server.grpc().await;
    let mut second = first.clone();
    let waiting = tokio::spawn(async move { first.classify(request()).await });
    eventually("the queue is full", || server.in_flight() == 1).await;

    let status = second.classify(request()).await.expect_err("full");
    let told = details(&status).retry_info().expect("a time").retry_delay;
    let refused = server.http().await.post("/v1/models/pets:classify", "image/png", &images::png()).await;
    let seconds = refused.header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    assert!(told.is_some() && told == seconds, "{told:?} {seconds:?}");
    network.release();
    assert!(waiting.await.expect("no panic").is_ok());

    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).still_loading().start().await;
    let status = server.grpc().await.classify(request()).await.expect_err("loading");
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(details(&status).retry_info().expect("a time").retry_delay, Some(Duration::from_secs(2)));
}

#[tokio::test]
async fn what_tonic_refuses_by_itself_has_a_reason_too() {
    let limits = RequestLimits { max_body_bytes: 1000, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let large = ClassifyRequest { images: vec![vec![0; 2000].into()], ..request() };
    let status = server.grpc().await.classify(large).await.expect_err("too large");
    assert_eq!(details(&status).error_info().expect("a reason").reason, "TOO_LARGE");
    assert!(status.message().contains("1000") && status.message().contains("max_body_bytes"), "{status}");
    let long = GetModelRequest { name: "a".repeat(200_000), ..GetModelRequest::default() };
    let status = server.grpc().await.get_model(long).await.expect_err("too large");
    assert_eq!(details(&status).error_info().expect("a reason").reason, "TOO_LARGE");
}

#[tokio::test]
async fn a_message_may_be_as_large_as_the_largest_batch_of_a_model() {
    // 65,536 images of 8x8 pixels are more than 32 MiB; what comes is refused for what it is, not for its size.
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).max_batch_size(65_536).start().await;
    let bytes = 65_536 * 3 * 8 * 8 * 4;
    assert!(server.service.max_body_bytes() > bytes && server.service.max_body_bytes() < bytes + (1 << 20));
    let status = client(&server).await.model_infer(raw("FP32", &[1, 3, 8, 8], vec![0; bytes])).await;
    assert_eq!(field(&status.expect_err("one image has fewer bytes")), "inputs[0]");
    let status = client(&server).await.model_infer(raw("FP32", &[1, 3, 8, 8], vec![0; bytes + (1 << 20)])).await;
    let status = status.expect_err("beyond the batch");
    assert_eq!(
        (status.code(), &*details(&status).error_info().expect("one").reason),
        (Code::ResourceExhausted, "TOO_LARGE")
    );

    let small = TestServer::start().await;
    assert_eq!(small.service.max_body_bytes(), 32 << 20);
}
