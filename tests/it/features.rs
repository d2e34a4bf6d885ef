//! Outputs that a client asks for beside the classes: features above all, what the network's last layer reads.
//!
//! What is expected is `features.tsv`, which Pillow, NumPy and ONNX Runtime gave in Python.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use resnetd::{
    inspect::inspect_file,
    model::RESNET20_CIFAR10,
    onnx::{self, f32_values},
    server::grpc::proto::{
        ClassifyRequest, ClassifyStreamRequest, GetModelRequest, classify_stream_response,
        inference::{
            ModelInferRequest,
            grpc_inference_service_client::GrpcInferenceServiceClient,
            model_infer_request::{InferInputTensor, InferRequestedOutputTensor},
        },
        tensorflow::{
            DataType, TensorProto, TensorShapeProto,
            serving::{ModelSpec, PredictRequest, prediction_service_client::PredictionServiceClient},
        },
    },
    service::{Priority, Request, Service, TraceContext, Wanted},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{http::Answer, images, repository::load, server::TestServer};

const CLASSIFY: &str = "/v1/models/resnet20-cifar10:classify";
const WIDTH: usize = 64;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(path(name)).unwrap()
}

/// Each image with the features that other software gives it.
fn expected() -> Vec<(Bytes, Vec<f32>)> {
    let table = String::from_utf8(fixture("features/features.tsv")).unwrap();
    let image = |line: &str| {
        let mut fields = line.split('\t');
        let file = fixture(&format!("cifar10/{}.jpg", fields.next().unwrap()));
        (Bytes::from(file), fields.map(|value| value.parse().unwrap()).collect())
    };
    table.lines().map(image).collect()
}

/// The numbers of one output of one image.
fn row(document: &Value, image: usize, output: &str) -> Vec<f32> {
    let row = document["predictions"][image]["outputs"][output].as_array();
    row.unwrap_or_else(|| panic!("{document}")).iter().map(|value| value.as_f64().unwrap() as f32).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// What the last layer of a network, `W` or its transpose and `b`, makes of features.
fn through(features: &[f32], weights: &[f32], bias: &[f32], transposed: bool) -> Vec<f32> {
    let weight = |class: usize, feature: usize| match transposed {
        true => weights[class * features.len() + feature],
        false => weights[feature * bias.len() + class],
    };
    let sum = |(class, bias): (usize, &f32)| {
        features.iter().enumerate().map(|(at, value)| value * weight(class, at)).sum::<f32>() + bias
    };
    bias.iter().enumerate().map(sum).collect()
}

#[track_caller]
fn assert_near(what: &str, got: &[f32], wanted: &[f32], tolerance: f32) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let off = got.iter().zip(wanted).map(|(got, wanted)| (got - wanted).abs()).fold(0.0, f32::max);
    assert!(off <= tolerance, "{what}: off by {off}");
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_those_of_other_software_and_the_last_layer_makes_the_logits_of_them() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let graph = onnx::decode(Bytes::from_static(RESNET20_CIFAR10.graph)).unwrap().graph.unwrap();
    let dense = graph.node.iter().find(|node| node.op_type == "Gemm").unwrap();
    let weights = |place: usize| {
        let tensor = graph.initializer.iter().find(|tensor| tensor.name == dense.input[place]).unwrap();
        f32_values(tensor).unwrap()
    };
    let (matrix, bias) = (weights(1), weights(2));
    let instances: Vec<_> = expected().iter().map(|(file, _)| json!({ "b64": BASE64_STANDARD.encode(file) })).collect();
    let mut body = json!({ "instances": instances, "top_k": 10 });
    let plain = http.post(CLASSIFY, "application/json", body.to_string().as_bytes()).await.json();
    body["outputs"] = json!(["logits", "features", "probabilities"]);

    let answer = http.post(CLASSIFY, "application/json", body.to_string().as_bytes()).await.json();

    for (image, (_, wanted)) in expected().iter().enumerate() {
        let (features, logits) = (row(&answer, image, "features"), row(&answer, image, "logits"));
        assert_near("features", &features, wanted, 1e-5);
        assert_near("logits", &through(&features, &matrix, &bias, true), &logits, 1e-4);
        assert_eq!(answer["predictions"][image]["classes"], plain["predictions"][image]["classes"]);
        let classes = plain["predictions"][image]["classes"].as_array().unwrap();
        let probabilities = row(&answer, image, "probabilities");
        for class in classes {
            let place = class["index"].as_u64().unwrap() as usize;
            assert_eq!(class["probability"].as_f64().unwrap() as f32, probabilities[place]);
        }
    }
    let keys = |document: &Value| document.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&answer), keys(&plain));
    assert_eq!(keys(&plain["predictions"][0]), ["classes"]);
    assert_eq!(keys(&answer["predictions"][0]), ["classes", "outputs"]);
    assert_eq!(answer["predictions"][0]["outputs"].as_object().unwrap().len(), 3);
}

/// The features of one picture, however they came.
struct Ways {
    file: Bytes,
    passed: Vec<(String, Vec<f32>)>,
}

async fn over_http(server: &TestServer, ways: &mut Ways) {
    let mut http = server.http().await;
    let features = format!("{CLASSIFY}?outputs=features");
    let answer = http.post(&features, "image/jpeg", &ways.file).await.json();
    ways.passed.push(("query".to_owned(), row(&answer, 0, "features")));
    let form = [
        &b"--x\r\ncontent-disposition: form-data; name=\"outputs\"\r\n\r\nfeatures\r\n\
           --x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.jpg\"\r\n\r\n"[..],
        &ways.file,
        b"\r\n--x--\r\n",
    ]
    .concat();
    let answer = http.post(CLASSIFY, "multipart/form-data; boundary=x", &form).await;
    ways.passed.push(("form".to_owned(), row(&answer.json(), 0, "features")));

    let answer = http.post(&format!("{features}&encoding=base64"), "image/jpeg", &ways.file).await.json();
    let text = answer["predictions"][0]["outputs"]["features"]["b64"].as_str().unwrap_or_else(|| panic!("{answer}"));
    ways.passed.push(("base64".to_owned(), floats(&BASE64_STANDARD.decode(text).unwrap())));

    let raw = |accept: &'static str| [("content-type", "image/jpeg"), ("accept", accept)];
    let answer = http.request("POST", &features, &raw("application/octet-stream"), &ways.file).await;
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_tells_what_it_is(&answer, "1,64");
    ways.passed.push(("octets".to_owned(), floats(&answer.body)));

    let answer = http.request("POST", &features, &raw("application/x-npy"), &ways.file).await;
    assert_eq!(answer.header("content-type"), Some("application/x-npy"));
    assert_tells_what_it_is(&answer, "1,64");
    let (header, numbers) = answer.body.split_at(128);
    assert!(header.starts_with(b"\x93NUMPY"), "{}", header.escape_ascii());
    ways.passed.push(("npy".to_owned(), floats(numbers)));
}

fn assert_tells_what_it_is(answer: &Answer, shape: &str) {
    let header = |name: &str| answer.header(name).unwrap_or_default().to_owned();
    assert_eq!(
        [header("x-output-name"), header("x-output-shape"), header("x-output-datatype"), header("x-model-version")],
        ["features", shape, "FP32", "1"]
    );
    assert!(answer.header("server-timing").is_some());
}

async fn over_grpc(server: &TestServer, ways: &mut Ways) {
    let mut grpc = server.grpc().await;
    let request = ClassifyRequest {
        model: RESNET20_CIFAR10.name.to_owned(),
        images: vec![ways.file.clone()],
        outputs: vec!["logits".to_owned(), "features".to_owned()],
        ..ClassifyRequest::default()
    };
    let answer = grpc.classify(request.clone()).await.unwrap().into_inner();
    let names: Vec<_> = answer.outputs.iter().map(|output| (output.name.as_str(), output.shape.clone())).collect();
    assert_eq!(names, [("logits", vec![1, 10]), ("features", vec![1, 64])]);
    ways.passed.push(("gRPC".to_owned(), answer.outputs[1].values.clone()));
    let item = ClassifyStreamRequest { id: "7".to_owned(), request: Some(request), ..ClassifyStreamRequest::default() };
    let mut stream = grpc.classify_stream(tokio_stream::iter([item])).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap();
    let Some(classify_stream_response::Result::Response(answer)) = first.result else { panic!("{first:?}") };
    ways.passed.push(("gRPC stream".to_owned(), answer.outputs[1].values.clone()));
}

async fn over_other_protocols(server: &TestServer, ways: &mut Ways) {
    let mut http = server.http().await;
    let body = json!({
        "inputs": [{ "name": "input", "shape": [1], "datatype": "BYTES", "data": [BASE64_STANDARD.encode(&ways.file)] }],
        "outputs": [{ "name": "features" }],
    });
    let infer = "/v2/models/resnet20-cifar10/infer";
    let answer = http.post(infer, "application/json", body.to_string().as_bytes()).await.json();
    assert_eq!(answer["outputs"][0]["shape"], json!([1, 64]), "{answer}");
    let values = answer["outputs"][0]["data"].as_array().unwrap();
    ways.passed.push(("v2".to_owned(), values.iter().map(|value| value.as_f64().unwrap() as f32).collect()));

    let element = [&(ways.file.len() as u32).to_le_bytes()[..], &ways.file].concat();
    let request = ModelInferRequest {
        model_name: RESNET20_CIFAR10.name.to_owned(),
        inputs: vec![InferInputTensor {
            name: "input".to_owned(),
            datatype: "BYTES".to_owned(),
            shape: vec![1],
            ..InferInputTensor::default()
        }],
        outputs: vec![InferRequestedOutputTensor { name: "features".to_owned(), ..Default::default() }],
        raw_input_contents: vec![element.into()],
        ..ModelInferRequest::default()
    };
    let mut v2 = GrpcInferenceServiceClient::new(server.channel().await);
    let answer = v2.model_infer(request).await.unwrap().into_inner();
    ways.passed.push(("v2 gRPC".to_owned(), floats(&answer.raw_output_contents[0])));

    let file = TensorProto {
        dtype: DataType::DtString.into(),
        tensor_shape: Some(TensorShapeProto::default()),
        string_val: vec![ways.file.clone()],
        ..TensorProto::default()
    };
    let request = PredictRequest {
        model_spec: Some(ModelSpec { name: RESNET20_CIFAR10.name.to_owned(), ..ModelSpec::default() }),
        inputs: HashMap::from([("input".to_owned(), file)]),
        output_filter: vec!["features".to_owned(), "probabilities".to_owned()],
    };
    let mut tfs = PredictionServiceClient::new(server.channel().await);
    let answer = tfs.predict(request).await.unwrap().into_inner();
    assert_eq!(answer.outputs.len(), 2);
    ways.passed.push(("TFS".to_owned(), floats(&answer.outputs["features"].float_val.concat())));
}

#[tokio::test(flavor = "multi_thread")]
async fn features_are_the_same_through_every_door_and_form() {
    let server = TestServer::with_a_trained_model().await;
    let (file, wanted) = expected().swap_remove(3);
    let mut ways = Ways { file, passed: Vec::new() };

    over_http(&server, &mut ways).await;
    over_grpc(&server, &mut ways).await;
    over_other_protocols(&server, &mut ways).await;

    for (way, got) in &ways.passed {
        assert_near(way, got, &wanted, 1e-5);
        assert_eq!(*got, ways.passed[0].1, "{way}");
    }
    assert_eq!(ways.passed.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_says_how_a_model_looks_says_how_many_features_it_has_and_its_outputs_are_as_ever() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let metadata = http.get("/v1/models/resnet20-cifar10/metadata").await.json();
    assert_eq!(metadata["features"], WIDTH);
    let name = |document: &Value| document["outputs"].as_array().unwrap().iter().map(|it| it["name"].clone()).collect();
    let names: Value = name(&http.get("/v2/models/resnet20-cifar10").await.json());
    assert_eq!(names, json!(["logits", "probabilities"]));
    let request = GetModelRequest { name: RESNET20_CIFAR10.name.to_owned(), ..GetModelRequest::default() };
    let model = server.grpc().await.get_model(request).await.unwrap().into_inner();
    assert_eq!(model.info.unwrap().features, WIDTH as u32);
}

async fn outputs(service: &Service, model: &str, names: &[&str]) -> Result<Vec<Vec<f32>>, String> {
    let target = service.target(model, None).unwrap();
    let request = Request {
        items: vec![target.picture(images::photo())],
        target,
        wanted: Wanted::outputs(names.iter().map(|name| (*name).to_owned()).collect()),
        deadline: None,
        priority: Priority::DEFAULT,
        client: None,
        charge: service.open_charge().unwrap(),
        trace: TraceContext::new("test"),
    };
    let answer = service.answer(request).await.map_err(|error| error.message)?;
    Ok(answer.outputs.into_iter().map(|output| output.values).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn graphs_of_every_exporter_have_features_where_their_last_layer_reads_pooled_values() {
    let models = path("models");
    let manifests: Value = serde_json::from_slice(&fixture("models/expected.json")).unwrap();
    let repository = TempDir::new().unwrap();
    // Each with whether its output is what the last layer gives.
    let with = [
        ("all_free", true),
        ("all_free_nhwc", true),
        ("float16_nhwc", true),
        ("int8_nchw", true),
        ("out_k", true),
        ("out_n_k_1_1", true),
        ("two_heads", true),
        ("uint8_nchw", true),
        // The values are an output of its own; the batch is one inside.
        ("features_first", true),
        ("reshape_baked_1", true),
        ("softmax_int8", false),
        ("softmax_then_moved", false),
        ("sigmoid_int8", false),
        ("logsoftmax_int8", false),
    ];
    for (name, _) in with {
        let folder = repository.path().join(name);
        fs::create_dir_all(folder.join("1")).unwrap();
        fs::copy(models.join(format!("{name}.onnx")), folder.join("1/model.onnx")).unwrap();
        fs::write(folder.join("model.toml"), manifests[name]["model_toml"].as_str().unwrap()).unwrap();
    }
    let service = load(repository.path());
    for (name, gives_logits) in with {
        let own = service.target(name, None).unwrap().outputs()[0].to_owned();
        let got = outputs(&service, name, &[&own, "features"]).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let [output, features] = &got[..] else { panic!("{name}") };
        if gives_logits {
            let graph = onnx::read(&models.join(format!("{name}.onnx"))).unwrap().graph.unwrap();
            let weights = |wanted: &str| {
                f32_values(graph.initializer.iter().find(|tensor| tensor.name == wanted).unwrap()).unwrap()
            };
            let tolerance = if name == "float16_nhwc" { 2e-2 } else { 1e-5 };
            assert_near(name, &through(features, &weights("W"), &weights("B"), false), output, tolerance);
        } else {
            let message = outputs(&service, name, &["logits"]).await.unwrap_err();
            assert!(message.contains("has no output `logits`: its graph ends in a "), "{message}");
        }
    }
}

#[test]
fn the_place_of_the_features_is_told_for_each_output() {
    let places = |name: &str| {
        let inspection = inspect_file(&path(&format!("models/{name}.onnx"))).unwrap();
        inspection.outputs.into_iter().map(|output| (output.name, output.features)).collect::<Vec<_>>()
    };
    assert_eq!(places("all_free"), [("y".to_owned(), Ok("f".to_owned()))]);
    let [feat, y] = &places("features_first")[..] else { panic!("two outputs") };
    assert!(feat.1.is_err() && y.1 == Ok("feat".to_owned()));

    for file in fs::read_dir(path("onnx")).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(inspection) = inspect_file(&file) else { continue };
        let name = file.file_stem().unwrap().to_str().unwrap();
        let missing = match name {
            "qoperator_resnet18" => Some("integers of 8 bits"),
            "torchscript_fcn_resnet50" => Some("nothing is pooled"),
            _ => None,
        };
        for output in inspection.outputs {
            match (&output.features, missing) {
                (Ok(_), None) => {}
                (Err(reason), Some(words)) => assert!(reason.contains(words), "{name}: {reason}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        }
    }
}
