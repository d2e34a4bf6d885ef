//! Models that are loaded when somebody asks for them, behind every door: the first request of each protocol is answered, and a client's
//! own deadline is how long it waits.

use std::{collections::HashMap, time::Duration};

use resnetd::server::grpc::proto::{
    ClassifyRequest, ClassifyStreamRequest, GetModelRequest, ListModelsRequest,
    classifier_client::ClassifierClient,
    classify_stream_response,
    inference::{
        InferParameter, InferTensorContents, ModelInferRequest, ModelReadyRequest, RepositoryIndexRequest,
        infer_parameter::ParameterChoice, model_infer_request::InferInputTensor,
    },
    model::State,
    tensorflow::{
        DataType, TensorProto, TensorShapeProto,
        serving::{ModelSpec, PredictRequest, prediction_service_client::PredictionServiceClient},
        tensor_shape_proto::Dim,
    },
};
use serde_json::{Value, json};
use tonic::{Code, Request};

use crate::support::{
    eventually,
    follower::Follower,
    http::HttpClient,
    images,
    managed::Managed,
    server::channel,
    v2::{elements, pictures, post_binary, with_input},
};

/// Loads of these wait until the test lets them go on.
async fn cold(models: &[&str], held: &[&str]) -> Managed {
    let versions: Vec<_> = models.iter().map(|model| format!("{model}/1")).collect();
    let versions: Vec<_> = versions.iter().map(String::as_str).collect();
    let all = Follower::on_demand(&versions, |_| ());
    *all.script.held.lock().unwrap() = held.iter().map(|model| format!("{model}/1")).collect();
    Managed::over(all).await
}

fn infer_message(model: &str, timeout_us: Option<i64>) -> ModelInferRequest {
    let contents = InferTensorContents { bytes_contents: vec![images::png()], ..InferTensorContents::default() };
    let input = InferInputTensor {
        name: "input".to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![1],
        contents: Some(contents),
        ..InferInputTensor::default()
    };
    let timeout = timeout_us.map(|us| InferParameter { parameter_choice: Some(ParameterChoice::Int64Param(us)) });
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input],
        parameters: timeout.map(|timeout| ("timeout".to_owned(), timeout)).into_iter().collect(),
        ..ModelInferRequest::default()
    }
}

fn classify_message(model: &str) -> ClassifyRequest {
    ClassifyRequest { model: model.to_owned(), images: vec![images::png()], ..ClassifyRequest::default() }
}

#[tokio::test]
async fn the_first_request_of_every_protocol_is_answered() {
    let models = ["classify", "predict", "infer", "grpc", "stream", "tfs", "v2grpc", "kserve"];
    let managed = cold(&models, &[]).await;
    let mut http = HttpClient::connect(managed.http).await;
    assert_eq!(http.get("/readyz").await.status, 200);

    assert_eq!(http.post("/v1/models/classify:classify", "image/png", &images::png()).await.status, 200);
    assert_eq!(http.post("/v1/models/predict:predict", "image/png", &images::png()).await.status, 200);
    let section = elements(&[images::png()]);
    let document = with_input(pictures(1, &section));
    assert_eq!(post_binary(&mut http, "/v2/models/infer/infer", &document, &section).await.status, 200);

    let mut grpc = ClassifierClient::new(channel(managed.grpc).await);
    assert_eq!(grpc.classify(classify_message("grpc")).await.unwrap().into_inner().predictions.len(), 1);
    let request = Some(classify_message("stream"));
    let item = ClassifyStreamRequest { id: "1".to_owned(), request, ..ClassifyStreamRequest::default() };
    let mut stream = grpc.classify_stream(tokio_stream::iter([item])).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().result;
    assert!(matches!(first, Some(classify_stream_response::Result::Response(_))), "{first:?}");

    let mut tfs = PredictionServiceClient::new(channel(managed.grpc).await);
    let dim = vec![Dim { size: 1, name: String::new() }];
    let tensor = TensorProto {
        dtype: DataType::DtString.into(),
        tensor_shape: Some(TensorShapeProto { dim, unknown_rank: false }),
        string_val: vec![images::png()],
        ..TensorProto::default()
    };
    let model_spec = Some(ModelSpec { name: "tfs".to_owned(), ..ModelSpec::default() });
    let inputs = HashMap::from([("input".to_owned(), tensor)]);
    tfs.predict(PredictRequest { model_spec, inputs, output_filter: Vec::new() }).await.unwrap();
    Managed::client(managed.grpc).await.model_infer(infer_message("v2grpc", None)).await.unwrap();

    // Whether it is ready is asked first by many clients: it is, though it is not loaded.
    assert_eq!(http.get("/v1/models/kserve").await.json()["ready"], json!(true));
    let mut loads = managed.all.script.loads();
    loads.sort();
    let mut expected = models[..7].iter().map(|model| format!("{model}/1")).collect::<Vec<_>>();
    expected.sort();
    assert_eq!(loads, expected);
}

/// A microsecond is over before any load.
#[tokio::test]
async fn a_clients_own_deadline_is_how_long_it_waits_and_it_is_told_when_to_come_back() {
    let managed = cold(&["pets"], &["pets"]).await;
    let mut http = HttpClient::connect(managed.http).await;
    let classify = "/v1/models/pets:classify?timeout_ms=1";
    let predict = "/v1/models/pets:predict?timeout_ms=1";
    for path in [classify, predict] {
        let answer = http.post(path, "image/png", &images::png()).await;
        let said = answer.refusal(503, "UNAVAILABLE");
        assert!(said.contains("is being loaded") && answer.header("retry-after").is_some(), "{path}: {said}");
    }
    let section = elements(&[images::png()]);
    let mut document = with_input(pictures(1, &section));
    document["parameters"] = json!({ "timeout": 1 });
    let answer = post_binary(&mut http, "/v2/models/pets/infer", &document, &section).await;
    assert_eq!(answer.status, 503);

    let refusal = Managed::client(managed.grpc).await.model_infer(infer_message("pets", Some(1))).await.unwrap_err();
    assert_eq!(refusal.code(), Code::Unavailable);
    let request = Some(classify_message("pets"));
    let item = ClassifyStreamRequest { id: "1".to_owned(), request, timeout_ms: 1 };
    let mut grpc = ClassifierClient::new(channel(managed.grpc).await);
    let mut stream = grpc.classify_stream(tokio_stream::iter([item])).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().result;
    let Some(classify_stream_response::Result::Error(error)) = first else { panic!("{first:?}") };
    assert!(error.message.contains("is being loaded"), "{error:?}");
    let mut request = Request::new(classify_message("pets"));
    request.set_timeout(Duration::from_millis(1));
    assert!(grpc.classify(request).await.is_err());

    // All of them asked for one load, which goes on.
    eventually("it is being loaded", || managed.all.script.loads() == ["pets/1"]).await;
    managed.all.script.release();
    eventually("it is loaded", || managed.all.answering() == ["pets/1"]).await;
    assert_eq!(managed.all.script.loads(), ["pets/1"]);
    assert_eq!(http.post("/v1/models/pets:classify", "image/png", &images::png()).await.status, 200);
}

#[tokio::test]
async fn every_list_tells_what_is_not_loaded_and_why() {
    let managed = cold(&["pets"], &[]).await;
    let mut http = HttpClient::connect(managed.http).await;
    let why = "not loaded yet: the first request loads it";
    let entry = http.get("/v1/models").await.json()["model_versions"][0].clone();
    assert_eq!((&entry["state"], &entry["reason"]), (&json!("NOT_LOADED"), &json!(why)));
    let status = http.get("/v1/models/pets").await.json()["model_version_status"][0].clone();
    assert_eq!((&status["state"], &status["status"]["error_code"]), (&json!("START"), &json!("OK")));
    let index = http.post("/v2/repository/index", "application/json", b"").await.json();
    assert_eq!((&index[0]["state"], &index[0]["reason"]), (&json!("UNAVAILABLE"), &json!(why)));
    let ready: Value = http.post("/v2/repository/index", "application/json", b"{\"ready\": true}").await.json();
    assert_eq!(ready, json!([]));
    assert_eq!(http.get("/v2/models/pets/ready").await.status, 200);
    for path in ["/v1/models/pets/metadata", "/v1/models/pets/labels", "/v2/models/pets", "/v2/models/pets/config"] {
        let answer = http.get(path).await;
        assert!(answer.status == 503 && answer.json().to_string().contains("resnetd models load pets"), "{path}");
    }
    assert_eq!(http.get("/v2/models/pets/stats").await.status, 200);

    let mut grpc = ClassifierClient::new(channel(managed.grpc).await);
    let listed = grpc.list_models(ListModelsRequest {}).await.unwrap().into_inner().models;
    assert_eq!((listed[0].state(), &*listed[0].reason), (State::NotLoaded, why));
    let request = GetModelRequest { name: "pets".to_owned(), ..GetModelRequest::default() };
    assert_eq!(grpc.get_model(request).await.unwrap().into_inner().state(), State::NotLoaded);
    let mut v2 = Managed::client(managed.grpc).await;
    let name = || "pets".to_owned();
    assert!(v2.model_ready(ModelReadyRequest { name: name(), ..Default::default() }).await.unwrap().into_inner().ready);
    let index = v2.repository_index(RepositoryIndexRequest::default()).await.unwrap().into_inner().models;
    assert_eq!((&*index[0].state, &*index[0].reason), ("UNAVAILABLE", why));
    assert!(managed.all.script.loads().is_empty(), "nobody asked for it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_load_at_once_and_give_memory_back() {
    let managed = cold(&["pets", "birds"], &[]).await;
    assert_eq!(managed.ask("/v1/models/pets:load", "").await.status, 200);
    assert_eq!(managed.all.answering(), ["pets/1"]);
    let output = managed.command(&["unload", "pets"]).await;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "pets: unloaded\n");
    assert!(managed.all.answering().is_empty());
    let list = String::from_utf8(managed.command(&["list"]).await.stdout).unwrap();
    let unloaded =
        list.lines().any(|line| line.contains("pets") && line.contains("NOT_LOADED") && line.contains("by a call"));
    assert!(unloaded, "{list}");
    let said = managed.ask("/v1/models/fish:unload", "").await.refusal(404, "NOT_FOUND");
    assert!(said.contains("there is no folder `fish`"), "{said}");
    let mut http = HttpClient::connect(managed.http).await;
    assert_eq!(http.post("/v1/models/pets:classify", "image/png", &images::png()).await.status, 200);
    assert_eq!(managed.all.script.loads(), ["pets/1", "pets/1"]);
}
