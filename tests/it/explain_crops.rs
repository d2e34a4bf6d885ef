//! A picture that is looked at ten times: one map of all of it, and the mean of what the network says of each crop.
//!
//! What is expected is `ten_crops.tsv`, which Pillow, NumPy and ONNX Runtime gave in Python.

use std::{fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use resnetd::server::grpc::proto::ExplainRequest;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{images, program::resnetd, server::TestServer};

const EXPLAIN: &str = "/v1/models/resnet20-cifar10:explain";

/// One class of one picture, by other software.
struct Expected {
    picture: Vec<u8>,
    class: u64,
    logit: f64,
    bias: f64,
    probability: f64,
    width: usize,
    crop_logits: Vec<f64>,
    map: Vec<f64>,
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

fn expected() -> Vec<Expected> {
    let table = String::from_utf8(fixture("explain/ten_crops.tsv")).unwrap();
    let of = |line: &str| {
        let (picture, numbers) = line.split_once('\t').unwrap();
        let numbers: Vec<f64> = numbers.split('\t').map(|number| number.parse().unwrap()).collect();
        let [class, logit, bias, probability, width] = numbers[..5] else { panic!("{line}") };
        let (crop_logits, map) = numbers[5..].split_at(10);
        Expected {
            picture: fixture(picture),
            class: class as u64,
            logit,
            bias,
            probability,
            width: width as usize,
            crop_logits: crop_logits.to_vec(),
            map: map.to_vec(),
        }
    };
    table.lines().map(of).collect()
}

fn numbers(list: &Value) -> Vec<f64> {
    list.as_array().unwrap_or_else(|| panic!("{list}")).iter().map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_near(got: &[f64], wanted: &[f64], what: &str) {
    assert_eq!(got.len(), wanted.len(), "{what}");
    let off = got.iter().zip(wanted).map(|(got, wanted)| (got - wanted).abs()).fold(0.0, f64::max);
    assert!(off < 1e-4, "{what} is off by {off}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_crops_are_one_map_that_sums_to_the_mean_of_their_logits() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    for expected in expected() {
        let path = format!("{EXPLAIN}?crops=10&class={}", expected.class);
        let document = http.post(&path, "image/jpeg", &expected.picture).await.json();
        let class = &document["explanations"][0]["classes"][0];
        assert_eq!(class["index"], expected.class, "{document}");
        let number = |name: &str| class[name].as_f64().unwrap();
        let said = [number("logit"), number("bias"), number("probability")];
        assert_near(&said, &[expected.logit, expected.bias, expected.probability], "logit, bias, probability");
        assert_near(&numbers(&class["crop_logits"]), &expected.crop_logits, "each crop");
        let rows: Vec<_> = class["map"].as_array().unwrap().iter().map(numbers).collect();
        assert!(rows.iter().all(|row| row.len() == expected.width), "{class}");
        let places = rows.concat();
        assert_near(&places, &expected.map, "the map");
        let mean = numbers(&class["crop_logits"]).iter().sum::<f64>() / 10.0;
        assert_near(
            &[places.iter().sum::<f64>() + number("bias"), mean],
            &[number("logit"); 2],
            "the sum, and the mean",
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_where_each_crop_was_and_one_crop_says_nothing_of_it() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let photo = images::photo();
    let ten = http.post(&format!("{EXPLAIN}?crops=10"), "image/jpeg", &photo).await.json();
    let explanation = &ten["explanations"][0];
    assert_eq!(explanation["crop"], json!({ "x": 0.0, "y": 0.0, "width": 500.0, "height": 375.0 }));
    let crops = explanation["crops"].as_array().unwrap();
    let of = |name: &str| crops.iter().map(|crop| crop[name].as_f64().unwrap()).collect::<Vec<_>>();
    // 500x375 becomes 42x32, where a crop of 32 is at 0, 10 or 5; torchvision cuts the mirrored picture.
    let lefts = [0.0, 10.0, 0.0, 10.0, 5.0, 10.0, 0.0, 10.0, 0.0, 5.0].map(|left| left * 500.0 / 42.0);
    assert_near(&of("x"), &lefts, "x");
    assert_near(&of("y"), &[0.0; 10], "y");
    assert_near(&of("width"), &[32.0 * 500.0 / 42.0; 10], "width");
    assert_near(&of("height"), &[375.0; 10], "height");
    let mirrored: Vec<_> = crops.iter().map(|crop| crop["mirrored"].as_bool().unwrap()).collect();
    assert_eq!(mirrored, [[false; 5], [true; 5]].concat());

    let once = http.post(&format!("{EXPLAIN}?crops=1"), "image/jpeg", &photo).await.json();
    let plain = http.post(EXPLAIN, "image/jpeg", &photo).await.json();
    assert_eq!(once["explanations"], plain["explanations"]);
    let explanation = &plain["explanations"][0];
    assert!(explanation.get("crops").is_none() && explanation["classes"][0].get("crop_logits").is_none(), "{plain}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_takes_the_number_of_crops_and_the_drawing_is_of_the_whole() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let photo = images::photo();
    let wanted = http.post(&format!("{EXPLAIN}?crops=10&class=9"), "image/jpeg", &photo).await.json();
    let wanted = &wanted["explanations"];
    let picture = json!({ "b64": BASE64_STANDARD.encode(&photo) });
    let asked = json!({ "instances": [picture, picture], "crops": 10, "class": 9 }).to_string();
    let answer = http.post(EXPLAIN, "application/json", asked.as_bytes()).await.json();
    assert_eq!(answer["explanations"], json!([wanted[0], wanted[0]]), "KServe's form");

    let request = |crops| ExplainRequest {
        model: "resnet20-cifar10".to_owned(),
        images: vec![photo.to_vec().into()],
        classes: vec!["9".to_owned()],
        crops,
        ..ExplainRequest::default()
    };
    let mut grpc = server.grpc().await;
    let answer = grpc.explain(request(10)).await.unwrap().into_inner();
    let (explanation, class) = (&answer.explanations[0], &answer.explanations[0].classes[0]);
    assert_eq!((class.map_width, class.map_height), (10, 8));
    let floats = |values: &[f32]| values.iter().map(|value| f64::from(*value)).collect::<Vec<_>>();
    assert_near(&floats(&class.crop_logits), &numbers(&wanted[0]["classes"][0]["crop_logits"]), "over gRPC");
    let sum = floats(&class.map).iter().sum::<f64>() + f64::from(class.bias);
    assert_near(&[sum], &[f64::from(class.logit)], "the sum");
    assert!(explanation.crops.len() == 10 && explanation.crops[9].mirrored && !explanation.crops[4].mirrored);
    for once in [0, 1] {
        assert!(grpc.explain(request(once)).await.unwrap().into_inner().explanations[0].crops.is_empty());
    }
    let refusal = grpc.explain(request(5)).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument);
    assert_eq!(refusal.get_error_details().bad_request().unwrap().field_violations[0].field, "crops");

    for view in ["crop", "original"] {
        let headers = [("content-type", "image/jpeg"), ("accept", "image/png")];
        let path = format!("{EXPLAIN}?crops=10&view={view}");
        let answer = http.request("POST", &path, &headers, &photo).await;
        let drawing = image::load_from_memory(&answer.body).unwrap();
        assert_eq!((drawing.width(), drawing.height()), (500, 375), "{view}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_looked_at_ten_times_is_refused_with_the_remedy() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let cat = images::cifar("cat");
    for number in ["3", "0", "ten", "-10"] {
        let answer = http.post(&format!("{EXPLAIN}?crops={number}"), "image/jpeg", &cat).await;
        let refusal = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(refusal.contains(&format!("crops is `{number}`")) && refusal.contains("1 or 10"), "{refusal}");
    }
    let classify = http.post("/v1/models/resnet20-cifar10:classify?crops=10", "image/jpeg", &cat).await;
    assert!(classify.refusal(400, "INVALID_ARGUMENT").contains("no option `crops`"));

    // Of several pictures the one that is broken is named, not its crop.
    let picture = |bytes: &[u8]| json!({ "b64": BASE64_STANDARD.encode(bytes) });
    let asked = json!({ "instances": [picture(&cat), picture(b"no picture")], "crops": 10 }).to_string();
    let refusal = http.post(EXPLAIN, "application/json", asked.as_bytes()).await.refusal(415, "UNSUPPORTED_FORMAT");
    assert!(refusal.contains("image 1:"), "{refusal}");
    let alone = http.post(&format!("{EXPLAIN}?crops=10"), "image/jpeg", b"no picture").await;
    assert!(alone.refusal(415, "UNSUPPORTED_FORMAT").starts_with("not an image format"));
}

#[test]
fn the_command_looks_ten_times_where_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("models")).unwrap();
    fs::write(at("pet.jpg"), images::cifar("cat")).unwrap();
    let run = |crops: &str| {
        let arguments = ["explain", "pet.jpg", "--models", "models", "--crops", crops, "--output", "why"];
        resnetd(&arguments).current_dir(folder.path()).output().unwrap()
    };
    let output = run("10");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let document: Value = serde_json::from_slice(&fs::read(at("why/pet.json")).unwrap()).unwrap();
    assert_eq!(numbers(&document["explanations"][0]["classes"][0]["crop_logits"]).len(), 10);
    let refused = run("7");
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("it must be 1 or 10"));
}
