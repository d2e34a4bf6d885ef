//! TensorFlow Serving's API over gRPC.

use std::collections::HashMap;

use bytes::Bytes;
use prost::Message as _;
use resnetd::server::grpc::proto::tensorflow::{
    BytesList, DataType, Example, Feature, Features, FloatList, Int64List, TensorProto, TensorShapeProto,
    feature::Kind,
    serving::{
        ClassificationRequest, ExampleList, ExampleListWithContext, GetModelMetadataRequest, GetModelStatusRequest,
        Input, ModelSpec, PredictRequest, SignatureDefMap, input, model_service_client::ModelServiceClient,
        model_spec::VersionChoice, model_version_status::State, prediction_service_client::PredictionServiceClient,
    },
    tensor_shape_proto::Dim,
};
use tonic::{Code, Status, transport::Channel};

use crate::support::{
    grpc::bare_call,
    images::{self, SIDE},
    server::TestServer,
};

async fn client(server: &TestServer) -> PredictionServiceClient<Channel> {
    PredictionServiceClient::new(server.channel().await)
}

fn spec() -> ModelSpec {
    ModelSpec { name: "pets".to_owned(), ..ModelSpec::default() }
}

fn shape(dims: &[i64]) -> Option<TensorShapeProto> {
    let dim = dims.iter().map(|size| Dim { size: *size, name: String::new() }).collect();
    Some(TensorShapeProto { dim, unknown_rank: false })
}

fn tensor(dtype: DataType, dims: &[i64]) -> TensorProto {
    TensorProto { dtype: dtype.into(), tensor_shape: shape(dims), ..TensorProto::default() }
}

fn pictures(dims: &[i64], count: usize) -> TensorProto {
    TensorProto { string_val: vec![images::png(); count], ..tensor(DataType::DtString, dims) }
}

const LEN: usize = (3 * SIDE * SIDE) as usize;

fn floats(dims: &[i64], count: usize) -> TensorProto {
    let bytes: Bytes = [0.5_f32; 1].iter().cycle().take(count).flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { float_val: vec![bytes], ..tensor(DataType::DtFloat, dims) }
}

fn request(name: &str, tensor: TensorProto) -> PredictRequest {
    let inputs = HashMap::from([(name.to_owned(), tensor)]);
    PredictRequest { model_spec: Some(spec()), inputs, output_filter: Vec::new() }
}

fn rows(tensor: &TensorProto) -> Vec<f32> {
    tensor.float_val.concat().as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn code(status: &Status) -> &str {
    status.metadata().get("x-error-code").map_or("none", |code| code.to_str().expect("ASCII"))
}

#[tokio::test]
async fn tensors_in_every_form_get_a_row_an_image() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let side = i64::from(SIDE);
    let (two, one) = ([2, 3, side, side], [1, 3, side, side]);
    let varints = |value: u8, count: usize| vec![Bytes::from(vec![value; count])];
    for (name, tensor, images) in [
        ("any", pictures(&[], 1), 1),
        ("image_bytes", pictures(&[2], 2), 2),
        ("image_bytes", pictures(&[2, 1], 2), 2),
        ("any", TensorProto { tensor_shape: None, ..pictures(&[], 1) }, 1),
        ("input", floats(&two, 2 * LEN), 2),
        ("input", floats(&two, 1), 2),
        ("input", TensorProto { tensor_content: vec![0; LEN * 4].into(), ..tensor(DataType::DtFloat, &one) }, 1),
        ("input", TensorProto { tensor_content: vec![0; LEN * 2].into(), ..tensor(DataType::DtHalf, &one) }, 1),
        ("input", TensorProto { half_val: varints(7, LEN), ..tensor(DataType::DtBfloat16, &one) }, 1),
        ("input", TensorProto { tensor_content: vec![9; LEN].into(), ..tensor(DataType::DtUint8, &one) }, 1),
        ("input", TensorProto { int_val: varints(7, LEN), ..tensor(DataType::DtUint8, &one) }, 1),
    ] {
        let told = format!("{name} {:?}", tensor.dtype());
        let answer = client.predict(request(name, tensor)).await.expect(&told).into_inner();
        let probabilities = &answer.outputs["probabilities"];
        assert_eq!(probabilities.tensor_shape, shape(&[images, 4]), "{told}");
        let row = rows(probabilities);
        assert!((row[1] - 0.4).abs() < 1e-6 && row.len() == 4 * images as usize, "{told}: {row:?}");
        assert!((rows(&answer.outputs["logits"])[1] - 4.0_f32.ln()).abs() < 1e-6, "{told}");
        let answered = answer.model_spec.expect("who answered");
        assert_eq!(answered.version_choice, Some(VersionChoice::Version(3)));
        assert_eq!(answered.signature_name, "serving_default");
    }
    let filtered = PredictRequest { output_filter: vec!["logits".to_owned()], ..request("input", pictures(&[1], 1)) };
    let answer = client.predict(filtered).await.expect("an answer").into_inner();
    assert_eq!(answer.outputs.keys().collect::<Vec<_>>(), ["logits"]);
}

#[tokio::test]
async fn bad_predictions_say_what_is_wrong() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let side = i64::from(SIDE);
    let one = [1, 3, side, side];
    let of = |name: &str, version: Option<VersionChoice>, signature: &str| PredictRequest {
        model_spec: Some(ModelSpec {
            name: name.to_owned(),
            version_choice: version,
            signature_name: signature.to_owned(),
        }),
        ..request("input", pictures(&[1], 1))
    };
    let invalid = (Code::InvalidArgument, "INVALID_ARGUMENT");
    let missing = (Code::NotFound, "NOT_FOUND");
    let large = (Code::ResourceExhausted, "TOO_LARGE");
    let infinite = [f32::INFINITY.to_le_bytes(); LEN].concat();
    let unknown = TensorShapeProto { dim: Vec::new(), unknown_rank: true };
    for (request, (grpc, name), part) in [
        (PredictRequest::default(), missing, "no model"),
        (of("plants", None, ""), missing, "served are"),
        (of("../pets", None, ""), missing, "served are"),
        (of("pets", Some(VersionChoice::Version(9)), ""), missing, "3"),
        (of("pets", Some(VersionChoice::Version(0)), ""), invalid, "positive"),
        (of("pets", Some(VersionChoice::Version(-3)), ""), invalid, "positive"),
        (of("pets", Some(VersionChoice::VersionLabel("gold".to_owned())), ""), missing, "gold"),
        (of("pets", None, "predict_images"), invalid, "serving_default"),
        (of("pets", None, "classify"), invalid, "predict has"),
        (
            PredictRequest { inputs: HashMap::new(), ..request("input", pictures(&[1], 1)) },
            invalid,
            "no input or several",
        ),
        (
            PredictRequest {
                inputs: HashMap::from(["a", "b"].map(|name| (name.to_owned(), pictures(&[1], 1)))),
                ..request("input", pictures(&[1], 1))
            },
            invalid,
            "no input or several",
        ),
        (request("input", pictures(&[2], 1)), invalid, "1 files came"),
        (request("input", pictures(&[], 2)), invalid, "2 files came"),
        (request("input", pictures(&[0], 0)), invalid, "no image"),
        (request("input", pictures(&[-1], 1)), invalid, "[-1]"),
        (request("input", pictures(&[1, 2], 2)), invalid, "[1, 2]"),
        (request("input", pictures(&[65], 65)), large, "65"),
        (
            request("input", TensorProto { tensor_content: images::png(), ..tensor(DataType::DtString, &[1]) }),
            invalid,
            "string_val",
        ),
        (
            request("input", TensorProto { string_val: vec!["text".into()], ..tensor(DataType::DtString, &[1]) }),
            (Code::InvalidArgument, "UNSUPPORTED_FORMAT"),
            "",
        ),
        (request("pixels", floats(&one, LEN)), invalid, "no input `pixels`; it has `input`"),
        (request("input", floats(&[3, side, side], LEN)), invalid, "[N, 3, 8, 8]"),
        (request("input", floats(&[1, 3, side, side + 1], LEN)), invalid, "[1, 3, 8, 9]"),
        (request("input", floats(&[i64::MAX, 3, side, side], LEN)), large, "limit"),
        (request("input", floats(&one, LEN + 1)), invalid, "bytes"),
        (request("input", floats(&one, 0)), invalid, "no data"),
        (request("input", tensor(DataType::DtFloat, &one)), invalid, "no data"),
        (request("input", TensorProto { tensor_content: vec![0; 4].into(), ..floats(&one, LEN) }), invalid, "both"),
        (
            request(
                "input",
                TensorProto { tensor_content: vec![0; LEN * 4 - 1].into(), ..tensor(DataType::DtFloat, &one) },
            ),
            invalid,
            "bytes",
        ),
        (
            request("input", TensorProto { float_val: vec![vec![0; 7].into()], ..tensor(DataType::DtFloat, &one) }),
            invalid,
            "bytes",
        ),
        (
            request("input", TensorProto { tensor_content: infinite.into(), ..tensor(DataType::DtFloat, &one) }),
            invalid,
            "infinite",
        ),
        (
            request("input", TensorProto { int_val: vec![vec![0xac, 2].into()], ..tensor(DataType::DtUint8, &one) }),
            invalid,
            "300",
        ),
        (
            request("input", TensorProto { int_val: vec![vec![0x80].into()], ..tensor(DataType::DtUint8, &one) }),
            invalid,
            "cut off",
        ),
        (
            request("input", TensorProto { tensor_content: vec![0; LEN].into(), ..tensor(DataType::DtInt8, &one) }),
            invalid,
            "with a sign",
        ),
        (
            request(
                "input",
                TensorProto { tensor_content: vec![0; LEN * 8].into(), ..tensor(DataType::DtDouble, &one) },
            ),
            invalid,
            "DT_DOUBLE",
        ),
        (request("input", TensorProto { dtype: 4711, ..floats(&one, LEN) }), invalid, "4711"),
        (request("input", TensorProto { tensor_shape: Some(unknown), ..floats(&one, LEN) }), invalid, "rank"),
        (
            PredictRequest { output_filter: vec!["classes".to_owned()], ..request("input", pictures(&[1], 1)) },
            invalid,
            "no output `classes`",
        ),
        (
            PredictRequest { output_filter: vec!["logits".to_owned(); 10_000], ..request("input", pictures(&[1], 1)) },
            invalid,
            "asked for twice",
        ),
    ] {
        let status = client.predict(request).await.expect_err(part);
        assert_eq!((status.code(), code(&status)), (grpc, name), "{status}");
        assert!(status.message().contains(part), "{part}: {status}");
    }
}

fn bytes(file: Bytes) -> Feature {
    Feature { kind: Some(Kind::BytesList(BytesList { value: vec![file] })) }
}

fn number(value: u8) -> Feature {
    Feature { kind: Some(Kind::Int64List(Int64List { value: vec![vec![value].into()] })) }
}

fn example<const N: usize>(features: [(&str, Feature); N]) -> Example {
    let feature = features.into_iter().map(|(name, feature)| (name.to_owned(), feature)).collect();
    Example { features: Some(Features { feature }) }
}

fn classify(examples: Vec<Example>, context: Option<Example>) -> ClassificationRequest {
    let kind = match context {
        None => input::Kind::ExampleList(ExampleList { examples }),
        context => input::Kind::ExampleListWithContext(ExampleListWithContext { examples, context }),
    };
    ClassificationRequest { model_spec: Some(spec()), input: Some(Input { kind: Some(kind) }) }
}

#[tokio::test]
async fn examples_get_their_classes() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let png = images::png;
    let full =
        example([("image/encoded", bytes(png())), ("image/format", bytes("png".into())), ("image/height", number(8))]);
    for (request, images, classes) in [
        (classify(vec![example([("image", bytes(png()))])], None), 1, 4),
        (classify(vec![example([("anything", bytes(png()))]); 3], None), 3, 4),
        (classify(vec![full], Some(example([("k", number(2))]))), 1, 2),
        (classify(vec![Example::default(); 2], Some(example([("image", bytes(png())), ("top_k", number(1))]))), 2, 1),
    ] {
        let answer = client.classify(request).await.expect("an answer").into_inner();
        let result = answer.result.expect("a result").classifications;
        assert_eq!(result.len(), images);
        for image in &result {
            assert_eq!((image.classes.len(), &*image.classes[0].label), (classes, "tabby"));
            assert!((image.classes[0].score - 0.4).abs() < 1e-6);
        }
        assert_eq!(answer.model_spec.expect("who answered").name, "pets");
    }
}

#[tokio::test]
async fn bad_examples_say_what_is_wrong() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let png = images::png;
    let numbers = Feature { kind: Some(Kind::FloatList(FloatList { value: vec![vec![0; 4].into()] })) };
    let two = Feature { kind: Some(Kind::BytesList(BytesList { value: vec![png(); 2] })) };
    let picture = || example([("image", bytes(png()))]);
    let signature = ModelSpec { signature_name: "raw".to_owned(), ..spec() };
    for (request, part) in [
        (ClassificationRequest { model_spec: Some(spec()), input: None }, "no image"),
        (classify(vec![], None), "no image"),
        (
            classify(vec![picture(), example([("x", bytes(png())), ("y", bytes(png()))])], None),
            "example 1: the example has `x`, `y`",
        ),
        (classify(vec![Example::default()], None), "no feature"),
        (classify(vec![example([("image", numbers)])], None), "float_list"),
        (classify(vec![example([("image", two)])], None), "bytes_list of 2"),
        (classify(vec![example([("image", number(3))])], None), "int64_list"),
        (classify(vec![example([("image", Feature { kind: None })])], None), "nothing"),
        (classify(vec![picture()], Some(example([("k", bytes("2".into()))]))), "`k`"),
        (classify(vec![picture()], Some(example([("k", number(9))]))), "1 to 4"),
        (ClassificationRequest { model_spec: Some(signature), ..classify(vec![picture()], None) }, "classify has"),
    ] {
        let status = client.classify(request).await.expect_err(part);
        assert_eq!((status.code(), code(&status)), (Code::InvalidArgument, "INVALID_ARGUMENT"), "{status}");
        assert!(status.message().contains(part), "{part}: {status}");
    }
    let status = client.classify(classify(vec![picture(); 65], None)).await.expect_err("too many");
    assert_eq!((status.code(), code(&status)), (Code::ResourceExhausted, "TOO_LARGE"));
}

#[tokio::test]
async fn metadata_has_the_signatures() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let ask =
        |field: &str| GetModelMetadataRequest { model_spec: Some(spec()), metadata_field: vec![field.to_owned()] };
    let answer = client.get_model_metadata(ask("signature_def")).await.expect("an answer").into_inner();
    assert_eq!(answer.model_spec.expect("who answered").version_choice, Some(VersionChoice::Version(3)));
    let any = &answer.metadata["signature_def"];
    assert_eq!(any.type_url, "type.googleapis.com/tensorflow.serving.SignatureDefMap");
    let signatures = SignatureDefMap::decode(&*any.value).expect("the map").signature_def;
    let default = &signatures["serving_default"];
    assert_eq!(default.method_name, "tensorflow/serving/predict");
    assert_eq!(default.inputs["input"].dtype(), DataType::DtFloat);
    assert_eq!(default.inputs["input"].tensor_shape, shape(&[-1, 3, 8, 8]));
    assert_eq!(default.outputs["probabilities"].tensor_shape, shape(&[-1, 4]));
    assert_eq!(signatures["raw"].outputs["logits"].dtype(), DataType::DtFloat);
    assert_eq!(signatures["classify"].outputs["classes"].dtype(), DataType::DtString);
    let refused = client.get_model_metadata(ask("graph_def")).await.expect_err("there is none");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn the_status_of_versions_is_told_in_the_standards_words() {
    let server = TestServer::start().await;
    let mut client = ModelServiceClient::new(server.channel().await);
    let ask = |name: &str, version: Option<i64>| GetModelStatusRequest {
        model_spec: Some(ModelSpec {
            name: name.to_owned(),
            version_choice: version.map(VersionChoice::Version),
            signature_name: String::new(),
        }),
    };
    for version in [None, Some(3)] {
        let answer = client.get_model_status(ask("pets", version)).await.expect("an answer").into_inner();
        let [status] = &*answer.model_version_status else { panic!("{answer:?}") };
        assert_eq!((status.version, status.state()), (3, State::Available));
        assert_eq!(status.status.as_ref().expect("a status").error_code, 0);
    }
    let broken = client.get_model_status(ask("broken", None)).await.expect("an answer").into_inner();
    assert_eq!(broken.model_version_status[0].state(), State::End);
    assert!(broken.model_version_status[0].status.as_ref().expect("a status").error_message.contains("`crop`"));
    assert_eq!(client.get_model_status(ask("plants", None)).await.expect_err("unknown").code(), Code::NotFound);
    assert_eq!(client.get_model_status(ask("pets", Some(7))).await.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test]
async fn what_a_classifier_cannot_do_is_unimplemented() {
    let server = TestServer::start().await;
    for method in [
        "/tensorflow.serving.PredictionService/Regress",
        "/tensorflow.serving.PredictionService/MultiInference",
        "/tensorflow.serving.ModelService/HandleReloadConfigRequest",
    ] {
        let headers = bare_call(&server, method, &[], &PredictRequest::default()).await;
        assert_eq!(headers.get("grpc-status").expect("a status"), "12", "{method}");
    }
}

#[tokio::test]
async fn a_message_of_many_small_fields_is_refused_and_a_large_tensor_is_one_step() {
    let server = TestServer::start().await;
    let mut client = client(&server).await;
    let empty = TensorProto { string_val: vec![Bytes::new(); 200_000], ..tensor(DataType::DtString, &[200_000]) };
    let status = client.predict(request("input", empty)).await.expect_err("too many");
    assert_eq!((status.code(), code(&status)), (Code::ResourceExhausted, "TOO_LARGE"));
    let side = i64::from(SIDE);
    let answer = client.predict(request("input", floats(&[64, 3, side, side], 64 * LEN))).await.expect("an answer");
    assert_eq!(answer.into_inner().outputs["probabilities"].tensor_shape, shape(&[64, 4]));
}
