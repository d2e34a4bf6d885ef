//! One picture through every door and form: the same classes and probabilities.
//!
//! What is expected is `probabilities.tsv`, which Pillow, NumPy and ONNX Runtime gave in Python; it has six digits.

use std::{collections::HashMap, fs};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use resnetd::server::grpc::proto::{
    ClassifyRequest, ClassifyStreamRequest, classify_stream_response,
    inference::{
        InferTensorContents, ModelInferRequest, ModelInferResponse,
        grpc_inference_service_client::GrpcInferenceServiceClient, model_infer_request::InferInputTensor,
    },
    tensorflow::{
        BytesList, DataType, Example, Feature, Features, TensorProto, TensorShapeProto,
        feature::Kind,
        serving::{
            ClassificationRequest, ExampleList, Input, ModelSpec, PredictRequest, input,
            prediction_service_client::PredictionServiceClient,
        },
        tensor_shape_proto::Dim,
    },
};
use serde_json::{Value, json};

use crate::support::{http::Answer, server::TestServer};

const MODEL: &str = "resnet20-cifar10";
const CLASS: &str = "cat";
const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

fn fixture(name: &str) -> Vec<u8> {
    fs::read(format!("{}/tests/fixtures/cifar10/{name}", env!("CARGO_MANIFEST_DIR"))).expect("the fixture")
}

/// What other software says of the picture, in the order of the labels.
fn expected() -> Vec<f64> {
    let table = String::from_utf8(fixture("probabilities.tsv")).expect("text");
    let line = table.lines().find_map(|line| line.strip_prefix(&format!("{CLASS}\t"))).expect("its line");
    line.split('\t').map(|value| value.parse().expect("a number")).collect()
}

/// The picture in its forms: a file without loss, its pixels, and what the network reads of them, `[3, 32, 32]`.
struct Picture {
    file: Bytes,
    pixels: Vec<u8>,
    tensor: Vec<f32>,
}

impl Picture {
    fn new() -> Self {
        let file = fixture("cat.png");
        let image = image::load_from_memory(&file).expect("a PNG").into_rgb8();
        let planes = (0..3).flat_map(|channel| image.pixels().map(move |pixel| (channel, pixel.0[channel])));
        let planes: Vec<(usize, u8)> = planes.collect();
        let normalized = |&(channel, value): &(usize, u8)| (f32::from(value) / 255.0 - MEAN[channel]) / STD[channel];
        let tensor = planes.iter().map(normalized).collect();
        Self { file: file.into(), pixels: planes.into_iter().map(|(_, value)| value).collect(), tensor }
    }

    fn b64(&self) -> Value {
        json!({ "b64": BASE64_STANDARD.encode(&self.file) })
    }

    fn nested(&self) -> Value {
        json!(self.tensor.chunks(32 * 32).map(|plane| plane.chunks(32).collect::<Vec<_>>()).collect::<Vec<_>>())
    }

    fn raw(&self) -> Bytes {
        self.tensor.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn element(&self) -> Vec<u8> {
        [&(self.file.len() as u32).to_le_bytes()[..], &self.file].concat()
    }
}

/// What each way gave, by the index of the class.
struct Ways {
    labels: Vec<String>,
    passed: Vec<(String, Vec<f64>)>,
}

impl Ways {
    fn row(&mut self, way: &str, row: impl IntoIterator<Item = f64>) {
        self.passed.push((way.to_owned(), row.into_iter().collect()));
    }

    fn json_row(&mut self, way: &str, row: &Value) {
        let row = row.as_array().unwrap_or_else(|| panic!("{way}: {row}"));
        self.row(way, row.iter().map(|value| value.as_f64().expect("a number")));
    }

    /// Classes with their labels, in any order.
    fn classes<'c>(&mut self, way: &str, classes: impl IntoIterator<Item = (&'c str, f64)>) {
        let mut row = vec![f64::NAN; self.labels.len()];
        for (label, probability) in classes {
            row[self.labels.iter().position(|known| known == label).expect("a label")] = probability;
        }
        self.row(way, row);
    }

    fn own(&mut self, way: &str, answer: &Answer) {
        let document = answer.json();
        let classes = document["predictions"][0]["classes"].as_array().unwrap_or_else(|| panic!("{way}: {document}"));
        let classes = classes
            .iter()
            .map(|class| (class["label"].as_str().expect("a label"), class["probability"].as_f64().expect("a number")));
        self.classes(way, classes.collect::<Vec<_>>());
    }
}

/// Through the doors of HTTP.
async fn over_http(server: &TestServer, picture: &Picture, ways: &mut Ways) {
    let mut http = server.http().await;
    let v1 = format!("/v1/models/{MODEL}");
    let form = [
        &b"--x\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n"[..],
        &picture.file,
        b"\r\n--x--\r\n",
    ]
    .concat();
    let instances = json!({ "instances": [picture.b64()], "top_k": 10 }).to_string();
    let classify = format!("{v1}:classify?top_k=10");
    for (way, content_type, body) in [
        ("classify, image/png", "image/png", &*picture.file),
        ("classify, octets", "application/octet-stream", &*picture.file),
        ("classify, form", "multipart/form-data; boundary=x", &*form),
        ("classify, instances", "application/json", instances.as_bytes()),
    ] {
        let answer = http.post(&classify, content_type, body).await;
        ways.own(way, &answer);
    }
    let answer = http.post(&format!("{v1}/labels/stable:classify?top_k=10"), "image/png", &picture.file).await;
    ways.own("classify, label", &answer);
    let examples = json!({ "context": { "k": 10 }, "examples": [{ "image": picture.b64() }] }).to_string();
    let answer = http.post(&format!("{v1}:classify"), "application/json", examples.as_bytes()).await.json();
    let classes = answer["results"][0].as_array().unwrap_or_else(|| panic!("{answer}"));
    let classes = classes.iter().map(|class| (class[0].as_str().expect("text"), class[1].as_f64().expect("a number")));
    ways.classes("classify, examples", classes.collect::<Vec<_>>());

    for (way, content_type, body) in [
        ("predict, image/png", "image/png", &*picture.file),
        ("predict, form", "multipart/form-data; boundary=x", &*form),
    ] {
        let answer = http.post(&format!("{v1}:predict"), content_type, body).await.json();
        ways.json_row(way, &answer["predictions"][0]);
    }
    for (way, rows) in [
        ("predict, row of b64", picture.b64()),
        ("predict, row of image", json!({ "image": picture.b64() })),
        ("predict, row of image_bytes", json!({ "image_bytes": picture.b64() })),
        ("predict, row of a tensor", picture.nested()),
        ("predict, row of a named tensor", json!({ "input": picture.nested() })),
        ("predict, row of flat numbers", json!(picture.tensor)),
    ] {
        let body = json!({ "instances": [rows] }).to_string();
        let answer = http.post(&format!("{v1}/versions/1:predict"), "application/json", body.as_bytes()).await.json();
        ways.json_row(way, &answer["predictions"][0]);
    }
    for (way, columns) in [
        ("predict, column of b64", json!([picture.b64()])),
        ("predict, named column of b64", json!({ "image_bytes": [picture.b64()] })),
        ("predict, column of a tensor", json!({ "input": [picture.nested()] })),
    ] {
        let body = json!({ "inputs": columns }).to_string();
        let answer = http.post(&format!("{v1}:predict"), "application/json", body.as_bytes()).await.json();
        ways.json_row(way, &answer["outputs"][0]);
    }
}

/// Through the Open Inference Protocol over HTTP.
async fn over_v2(server: &TestServer, picture: &Picture, ways: &mut Ways) {
    let mut http = server.http().await;
    let infer = format!("/v2/models/{MODEL}/infer");
    let document = |datatype: &str, shape: Value, data: Value| {
        let mut input = json!({ "name": "input", "datatype": datatype, "shape": shape });
        input.as_object_mut().expect("an object").extend(data.as_object().expect("an object").clone());
        json!({ "inputs": [input], "outputs": [{ "name": "probabilities" }] }).to_string()
    };
    let (one, dims) = (json!([1]), json!([1, 3, 32, 32]));
    for (way, body) in [
        ("v2, JSON BYTES", document("BYTES", one.clone(), json!({ "data": [picture.b64()["b64"]] }))),
        ("v2, JSON FP32 flat", document("FP32", dims.clone(), json!({ "data": picture.tensor }))),
        ("v2, JSON FP32 nested", document("FP32", dims.clone(), json!({ "data": [picture.nested()] }))),
        ("v2, JSON UINT8", document("UINT8", dims.clone(), json!({ "data": picture.pixels }))),
    ] {
        let answer = http.post(&infer, "application/json", body.as_bytes()).await.json();
        ways.json_row(way, &answer["outputs"][0]["data"]);
    }
    for (way, datatype, shape, section) in [
        ("v2, binary BYTES", "BYTES", one, picture.element()),
        ("v2, binary FP32", "FP32", dims.clone(), picture.raw().to_vec()),
        ("v2, binary UINT8", "UINT8", dims, picture.pixels.clone()),
    ] {
        let parameters = json!({ "parameters": { "binary_data_size": section.len() } });
        let head = document(datatype, shape, parameters);
        let length = head.len().to_string();
        let body = [head.as_bytes(), &section].concat();
        let headers = [("inference-header-content-length", &*length), ("content-type", "application/octet-stream")];
        let answer = http.request("POST", &infer, &headers, &body).await.json();
        ways.json_row(way, &answer["outputs"][0]["data"]);
    }
}

/// Through our own gRPC.
async fn over_grpc(server: &TestServer, picture: &Picture, ways: &mut Ways) {
    let mut grpc = server.grpc().await;
    let request = ClassifyRequest {
        model: MODEL.to_owned(),
        images: vec![picture.file.clone()],
        top_k: Some(10),
        ..ClassifyRequest::default()
    };
    let answer = grpc.classify(request.clone()).await.expect("an answer").into_inner();
    let classes = |answer: &resnetd::server::grpc::proto::ClassifyResponse| -> Vec<(String, f64)> {
        let classes = answer.predictions[0].classes.iter();
        classes.map(|class| (class.label.clone(), f64::from(class.probability))).collect()
    };
    ways.classes("gRPC Classify", classes(&answer).iter().map(|(label, value)| (&**label, *value)));
    let item = ClassifyStreamRequest { id: "7".to_owned(), request: Some(request), ..ClassifyStreamRequest::default() };
    let mut stream = grpc.classify_stream(tokio_stream::iter([item])).await.expect("a stream").into_inner();
    let first = stream.message().await.expect("an answer").expect("one");
    let Some(classify_stream_response::Result::Response(answer)) = first.result else { panic!("{first:?}") };
    ways.classes("gRPC ClassifyStream", classes(&answer).iter().map(|(label, value)| (&**label, *value)));
}

/// Through the Open Inference Protocol over gRPC.
async fn over_v2_grpc(server: &TestServer, picture: &Picture, ways: &mut Ways) {
    let mut client = GrpcInferenceServiceClient::new(server.channel().await);
    let request = |datatype: &str, shape: &[i64], contents: Option<InferTensorContents>, raw: Vec<Bytes>| {
        let (name, datatype, shape) = ("input".to_owned(), datatype.to_owned(), shape.to_vec());
        ModelInferRequest {
            model_name: MODEL.to_owned(),
            inputs: vec![InferInputTensor { name, datatype, shape, contents, ..InferInputTensor::default() }],
            raw_input_contents: raw,
            ..ModelInferRequest::default()
        }
    };
    let row = |answer: &ModelInferResponse| -> Vec<f64> {
        let place = answer.outputs.iter().position(|output| output.name == "probabilities").expect("the output");
        let numbers = answer.raw_output_contents[place].as_chunks::<4>().0;
        numbers.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))).collect()
    };
    let dims = [1, 3, 32, 32];
    let files = InferTensorContents { bytes_contents: vec![picture.file.clone()], ..InferTensorContents::default() };
    let floats = InferTensorContents { fp32_contents: vec![picture.raw()], ..InferTensorContents::default() };
    for (way, request) in [
        ("v2 gRPC, raw BYTES", request("BYTES", &[1], None, vec![picture.element().into()])),
        ("v2 gRPC, raw FP32", request("FP32", &dims, None, vec![picture.raw()])),
        ("v2 gRPC, raw UINT8", request("UINT8", &dims, None, vec![picture.pixels.clone().into()])),
        ("v2 gRPC, contents BYTES", request("BYTES", &[1, 1], Some(files), vec![])),
        ("v2 gRPC, contents FP32", request("FP32", &dims, Some(floats), vec![])),
    ] {
        let answer = client.model_infer(request.clone()).await.expect(way).into_inner();
        ways.row(way, row(&answer));
        let mut stream = client.model_stream_infer(tokio_stream::iter([request])).await.expect(way).into_inner();
        let streamed = stream.message().await.expect(way).expect("one").infer_response.expect("an answer");
        ways.row(&format!("{way}, stream"), row(&streamed));
    }
}

/// Through TensorFlow Serving's gRPC.
async fn over_tfs_grpc(server: &TestServer, picture: &Picture, ways: &mut Ways) {
    let mut client = PredictionServiceClient::new(server.channel().await);
    let spec = Some(ModelSpec { name: MODEL.to_owned(), ..ModelSpec::default() });
    let tensor = |dtype: DataType, dims: &[i64]| {
        let dim = dims.iter().map(|size| Dim { size: *size, name: String::new() }).collect();
        let tensor_shape = Some(TensorShapeProto { dim, unknown_rank: false });
        TensorProto { dtype: dtype.into(), tensor_shape, ..TensorProto::default() }
    };
    let dims = [1, 3, 32, 32];
    for (way, tensor) in [
        (
            "TFS Predict, a file",
            TensorProto { string_val: vec![picture.file.clone()], ..tensor(DataType::DtString, &[1]) },
        ),
        ("TFS Predict, float_val", TensorProto { float_val: vec![picture.raw()], ..tensor(DataType::DtFloat, &dims) }),
        ("TFS Predict, content", TensorProto { tensor_content: picture.raw(), ..tensor(DataType::DtFloat, &dims) }),
        (
            "TFS Predict, pixels",
            TensorProto { tensor_content: picture.pixels.clone().into(), ..tensor(DataType::DtUint8, &dims) },
        ),
    ] {
        let inputs = HashMap::from([("input".to_owned(), tensor)]);
        let request = PredictRequest { model_spec: spec.clone(), inputs, output_filter: Vec::new() };
        let answer = client.predict(request).await.expect(way).into_inner();
        let numbers = answer.outputs["probabilities"].float_val.concat();
        ways.row(way, numbers.as_chunks::<4>().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes))));
    }
    let file = Feature { kind: Some(Kind::BytesList(BytesList { value: vec![picture.file.clone()] })) };
    let ten = Feature {
        kind: Some(Kind::Int64List(resnetd::server::grpc::proto::tensorflow::Int64List {
            value: vec![vec![10].into()],
        })),
    };
    let example = |name: &str, feature: Feature| Example {
        features: Some(Features { feature: HashMap::from([(name.to_owned(), feature)]) }),
    };
    let list = resnetd::server::grpc::proto::tensorflow::serving::ExampleListWithContext {
        examples: vec![example("image", file.clone())],
        context: Some(example("k", ten)),
    };
    for (way, kind) in [
        ("TFS Classify, context", input::Kind::ExampleListWithContext(list)),
        ("TFS Classify", input::Kind::ExampleList(ExampleList { examples: vec![example("image", file)] })),
    ] {
        let request = ClassificationRequest { model_spec: spec.clone(), input: Some(Input { kind: Some(kind) }) };
        let answer = client.classify(request).await.expect(way).into_inner().result.expect("a result");
        let classes = answer.classifications[0].classes.iter().map(|class| (&*class.label, f64::from(class.score)));
        ways.classes(way, classes);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_picture_gets_the_same_probabilities_through_every_door_and_form() {
    let server = TestServer::with_a_trained_model().await;
    let labels = server.http().await.get(&format!("/v1/models/{MODEL}/labels")).await.json();
    let labels =
        labels["labels"].as_array().expect("a list").iter().map(|label| label.as_str().expect("text").to_owned());
    let mut ways = Ways { labels: labels.collect(), passed: Vec::new() };
    let picture = Picture::new();

    over_http(&server, &picture, &mut ways).await;
    over_v2(&server, &picture, &mut ways).await;
    over_grpc(&server, &picture, &mut ways).await;
    over_v2_grpc(&server, &picture, &mut ways).await;
    over_tfs_grpc(&server, &picture, &mut ways).await;

    let expected = expected();
    let first = ways.passed[0].1.clone();
    for (way, row) in &ways.passed {
        assert_eq!(row.len(), expected.len(), "{way}");
        // A list of fewer classes than there are says nothing of the others.
        for (class, ((got, wanted), same)) in row.iter().zip(&expected).zip(&first).enumerate() {
            assert!(
                got.is_nan() || (got - wanted).abs() < 2e-6,
                "{way}: class {class} has {got}, expected is {wanted}"
            );
            assert!(got.is_nan() || (got - same).abs() < 1e-6, "{way}: class {class} has {got}, not {same}");
        }
        let given: Vec<usize> = (0..row.len()).filter(|class| !row[*class].is_nan()).collect();
        assert!(given.len() >= 5, "{way}: {row:?}");
        let best = given.into_iter().max_by(|one, other| row[*one].total_cmp(&row[*other]));
        assert_eq!(best.map(|best| &*ways.labels[best]), Some(CLASS), "{way}: {row:?}");
    }
    assert!(ways.passed.len() >= 40, "{} ways", ways.passed.len());
}
