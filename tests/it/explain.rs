//! Which places of a picture speak for a class: maps as numbers and as drawings, and who is refused.
//!
//! What is expected is `maps.tsv`, which Pillow, NumPy and ONNX Runtime gave in Python.

use std::{collections::BTreeMap, fs, path::Path};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use image::RgbImage;
use resnetd::server::grpc::proto::ExplainRequest;
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    http::HttpClient,
    images,
    program::resnetd,
    server::{MODEL, TestServer},
};

const EXPLAIN: &str = "/v1/models/resnet20-cifar10:explain";

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)).unwrap()
}

/// One class of one picture, by other software.
struct Expected {
    picture: Vec<u8>,
    class: u64,
    logit: f64,
    bias: f64,
    probability: f64,
    map: Vec<f64>,
}

fn expected() -> Vec<Expected> {
    let table = String::from_utf8(fixture("explain/maps.tsv")).unwrap();
    let of = |line: &str| {
        let mut fields = line.split('\t');
        let picture = fixture(&format!("cifar10/{}.jpg", fields.next().unwrap()));
        let class = fields.next().unwrap().parse().unwrap();
        let mut numbers = fields.map(|number| number.parse().unwrap());
        let mut next = || numbers.next().unwrap();
        let (logit, bias, probability) = (next(), next(), next());
        Expected { picture, class, logit, bias, probability, map: numbers.collect() }
    };
    table.lines().map(of).collect()
}

fn map(class: &Value) -> Vec<f64> {
    let rows = class["map"].as_array().unwrap_or_else(|| panic!("{class}"));
    rows.iter().flat_map(|row| row.as_array().unwrap()).map(|value| value.as_f64().unwrap()).collect()
}

#[track_caller]
fn assert_near(got: f64, wanted: f64, what: &str) {
    assert!((got - wanted).abs() < 1e-4, "{what}: {got}, not {wanted}");
}

/// Draws `picture` as `accept` says.
async fn drawing(http: &mut HttpClient, path: &str, accept: &str, picture: &[u8]) -> Vec<u8> {
    let headers = [("content-type", "image/jpeg"), ("accept", accept)];
    let answer = http.request("POST", path, &headers, picture).await;
    assert_eq!(
        (answer.status, answer.header("content-type")),
        (200, Some(accept)),
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    answer.body
}

#[tokio::test(flavor = "multi_thread")]
async fn maps_are_those_of_other_software_and_sum_to_the_logit() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    for expected in expected() {
        let path = format!("{EXPLAIN}?class={}", expected.class);
        let document = http.post(&path, "image/jpeg", &expected.picture).await.json();
        assert_eq!((&document["model"], &document["version"]), (&json!("resnet20-cifar10"), &json!(1)));
        let explanation = &document["explanations"][0];
        let class = &explanation["classes"][0];
        assert_eq!(class["index"], expected.class, "{document}");
        let number = |name: &str| class[name].as_f64().unwrap();
        assert_near(number("logit"), expected.logit, "logit");
        assert_near(number("bias"), expected.bias, "bias");
        assert_near(number("probability"), expected.probability, "probability");
        let places = map(class);
        assert_eq!(places.len(), 64);
        places.iter().zip(&expected.map).for_each(|(got, wanted)| assert_near(*got, *wanted, "map"));
        assert_near(places.iter().sum::<f64>() + number("bias"), number("logit"), "the sum");
        assert_eq!(explanation["crop"], json!({ "x": 0.0, "y": 0.0, "width": 32.0, "height": 32.0 }));
        assert_eq!(explanation["picture"], json!({ "width": 32, "height": 32 }));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_class_is_the_most_probable_one_unless_others_are_named() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let cat = fixture("cifar10/cat.jpg");
    let mut labels = async |query: &str| {
        let document = http.post(&format!("{EXPLAIN}?{query}"), "image/jpeg", &cat).await.json();
        let classes = document["explanations"][0]["classes"].as_array().unwrap_or_else(|| panic!("{document}")).clone();
        classes.iter().map(|class| class["label"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let two = labels("top_k=2").await;
    assert_eq!((two.len(), &*two[0]), (2, "cat"));
    assert_eq!(labels("").await, ["cat"]);
    assert_eq!(labels("class=truck").await, ["truck"]);
    assert_eq!(labels("class=9,cat").await, ["truck", "cat"]);
    assert_eq!(labels("class=cat&class=9&class=3").await, ["cat", "truck"], "each once");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_a_body_and_every_path_gets_the_same_maps() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let cat = fixture("cifar10/cat.jpg");
    let wanted = http.post(&format!("{EXPLAIN}?class=dog"), "image/jpeg", &cat).await.json()["explanations"].clone();
    assert_eq!(wanted[0]["classes"][0]["label"], "dog");
    let part = |head: &str| format!("--cut\r\ncontent-disposition: form-data; {head}\r\n\r\n").into_bytes();
    let form = [
        part("name=\"class\""),
        b"dog\r\n".to_vec(),
        part("name=\"image\"; filename=\"cat.jpg\""),
        cat.clone(),
        b"\r\n--cut--\r\n".to_vec(),
    ]
    .concat();
    let picture = json!({ "b64": BASE64_STANDARD.encode(&cat) });
    let labelled = json!({ "instances": [picture], "class": "dog" }).to_string();
    let indexed = json!({ "instances": [{ "image": picture }], "class": [5] }).to_string();
    for (path, content_type, body) in [
        (EXPLAIN, "multipart/form-data; boundary=cut", form),
        (EXPLAIN, "application/json", labelled.clone().into_bytes()),
        ("/v1/models/resnet20-cifar10/versions/1:explain", "application/json", indexed.into_bytes()),
        ("/v1/models/resnet20-cifar10/labels/stable:explain", "application/json", labelled.into_bytes()),
    ] {
        assert_eq!(http.post(path, content_type, &body).await.json()["explanations"], wanted, "{path} {content_type}");
    }
    let two = json!({ "instances": [picture, picture], "class": 5 }).to_string();
    let both = http.post(EXPLAIN, "application/json", two.as_bytes()).await.json();
    assert_eq!(both["explanations"], json!([wanted[0], wanted[0]]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drawing_is_the_picture_that_was_seen_or_the_whole_with_that_marked() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let cat = fixture("cifar10/cat.jpg");
    let read = |file: &[u8]| -> RgbImage { image::load_from_memory(file).unwrap().into_rgb8() };
    let seen = read(&drawing(&mut http, EXPLAIN, "image/png", &cat).await);
    assert_eq!(seen.dimensions(), (224, 224), "32 pixels are enlarged");
    let several = read(&drawing(&mut http, &format!("{EXPLAIN}?class=cat,dog,truck"), "image/png", &cat).await);
    assert_eq!(several.dimensions(), (3 * 224 + 2 * 4, 224));

    let photo = images::photo();
    let whole = read(&drawing(&mut http, &format!("{EXPLAIN}?view=original"), "image/png", &photo).await);
    assert_eq!(whole.dimensions(), (500, 375));
    let document = http.post(EXPLAIN, "image/jpeg", &photo).await.json();
    let explanation = &document["explanations"][0];
    assert_eq!(explanation["picture"], json!({ "width": 500, "height": 375 }));

    let webp = drawing(&mut http, EXPLAIN, "image/webp", &cat).await;
    assert!(webp.starts_with(b"RIFF") && webp[8..12] == *b"WEBP");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_svg_has_the_labels_as_text_and_runs_nothing() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let headers = [("content-type", "image/jpeg"), ("accept", "image/svg+xml")];
    let path = format!("{EXPLAIN}?class=cat,dog");
    let answer = http.request("POST", &path, &headers, &fixture("cifar10/cat.jpg")).await;
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("default-src 'none'") && !policy.contains("script-src"), "{policy}");
    let text = String::from_utf8_lossy(&answer.body);
    assert!(text.starts_with("<svg ") && text.contains(">cat<") && text.contains(">dog<"), "{text:.300}");
    assert_eq!(text.matches("data:image/png;base64,").count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_explained_is_refused_with_the_remedy() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let cat = fixture("cifar10/cat.jpg");
    for (query, parts) in [
        ("class=tabby", &["class is `tabby`", "no class of this model", "from 0 to 9"][..]),
        ("class=10", &["class is `10`", "beyond the last class, 9"]),
        ("class=cat,,dog", &["class is ``"]),
        ("class=-1", &["class is `-1`"]),
        ("top_k=0", &["top_k is `0`"]),
        ("top_k=11", &["top_k is 11", "1 to 10"]),
        ("view=all", &["view is `all`", "`crop` or `original`"]),
        ("min_probability=0.5", &["no option `min_probability`", "`class`"]),
        ("outputs=logits", &["no option `outputs`"]),
    ] {
        let answer = http.post(&format!("{EXPLAIN}?{query}"), "image/jpeg", &cat).await;
        let refusal = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(parts.iter().all(|part| refusal.contains(part)), "{query}: {refusal}");
    }
    let many = (0..40).map(|_| "class=3").collect::<Vec<_>>().join("&");
    let refusal = http.post(&format!("{EXPLAIN}?{many}"), "image/jpeg", &cat).await;
    assert!(refusal.refusal(400, "INVALID_ARGUMENT").contains("more than 32 classes"));

    http.post(EXPLAIN, "image/jpeg", b"no picture").await.refusal(415, "UNSUPPORTED_FORMAT");
    http.post("/v1/models/plants:explain", "image/jpeg", &cat).await.refusal(404, "NOT_FOUND");
    let picture = json!({ "b64": BASE64_STANDARD.encode(&cat) });
    let two = json!({ "instances": [picture, picture] }).to_string();
    let headers = [("content-type", "application/json"), ("accept", "image/png")];
    let refusal = http.request("POST", EXPLAIN, &headers, two.as_bytes()).await.refusal(400, "INVALID_ARGUMENT");
    assert!(refusal.contains("image/png holds one picture and 2 came"), "{refusal}");
    let asked = json!({ "instances": [picture], "outputs": ["logits"] }).to_string();
    http.post(EXPLAIN, "application/json", asked.as_bytes()).await.refusal(400, "INVALID_ARGUMENT");
    let classified = json!({ "instances": [picture], "class": 3 }).to_string();
    let classify = "/v1/models/resnet20-cifar10:classify";
    http.post(classify, "application/json", classified.as_bytes()).await.refusal(400, "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_network_without_that_ending_is_refused_with_the_reason_and_classifies_all_the_same() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let path = format!("/v1/models/{MODEL}:explain");
    let refusal = http.post(&path, "image/png", &images::png()).await.refusal(400, "INVALID_ARGUMENT");
    assert!(refusal.contains("cannot be explained: a scripted network has no layers"), "{refusal}");
    let classify = format!("/v1/models/{MODEL}:classify");
    assert_eq!(http.post(&classify, "image/png", &images::png()).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_counts_as_a_request_and_takes_one_run() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    for _ in 0..3 {
        assert_eq!(http.post(EXPLAIN, "image/jpeg", &fixture("cifar10/cat.jpg")).await.status, 200);
    }
    http.post(&format!("{EXPLAIN}?class=none"), "image/jpeg", &fixture("cifar10/cat.jpg")).await;
    let metrics = http.get("/metrics").await.body;
    let text = String::from_utf8_lossy(&metrics);
    let counts: BTreeMap<_, _> = text
        .lines()
        .filter(|line| line.starts_with("resnetd_requests_total") && line.contains("resnet20-cifar10"))
        .filter_map(|line| line.rsplit_once(' '))
        .collect();
    let of = |code: &str| {
        let matching = counts.iter().filter(|(name, _)| name.contains(code));
        matching.map(|(_, count)| count.parse::<f64>().unwrap()).sum::<f64>()
    };
    assert_eq!((of("\"OK\""), of("INVALID_ARGUMENT")), (3.0, 1.0), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_gives_the_same_maps_and_names_the_field_that_was_wrong() {
    let server = TestServer::with_a_trained_model().await;
    let cat = fixture("cifar10/cat.jpg");
    let over_http = server.http().await.post(&format!("{EXPLAIN}?class=dog"), "image/jpeg", &cat).await.json();
    let over_http = &over_http["explanations"][0];
    let mut grpc = server.grpc().await;
    let request = |classes: &[&str]| ExplainRequest {
        model: "resnet20-cifar10".to_owned(),
        images: vec![cat.clone().into(); 2],
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
        ..ExplainRequest::default()
    };
    let answer = grpc.explain(request(&["dog"])).await.unwrap().into_inner();
    assert_eq!((&*answer.model, answer.version, answer.explanations.len()), ("resnet20-cifar10", 1, 2));
    let explanation = &answer.explanations[1];
    let (got, wanted) = (&explanation.classes[0], &over_http["classes"][0]);
    assert_eq!((u64::from(got.index), &*got.label), (5, "dog"));
    assert_eq!((got.map_width, got.map_height), (8, 8));
    assert_eq!(got.map.len(), map(wanted).len());
    got.map.iter().zip(map(wanted)).for_each(|(got, wanted)| assert_near(f64::from(*got), wanted, "map"));
    assert_near(f64::from(got.logit), wanted["logit"].as_f64().unwrap(), "logit");
    let crop = explanation.crop.unwrap();
    assert_eq!((crop.x, crop.y, crop.width, crop.height), (0.0, 0.0, 32.0, 32.0));
    assert_eq!((explanation.width, explanation.height), (32, 32));
    assert_eq!(grpc.explain(request(&[])).await.unwrap().into_inner().explanations[0].classes[0].label, "cat");

    let refusal = grpc.explain(request(&["tabby"])).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal}");
    assert!(refusal.message().contains("class is `tabby`"), "{refusal}");
    let details = refusal.get_error_details();
    assert_eq!(details.bad_request().unwrap().field_violations[0].field, "classes");
    let nobody = ExplainRequest { model: "plants".to_owned(), ..request(&[]) };
    assert_eq!(grpc.explain(nobody).await.unwrap_err().code(), Code::NotFound);
    let empty = ExplainRequest { images: Vec::new(), ..request(&[]) };
    assert_eq!(grpc.explain(empty).await.unwrap_err().code(), Code::InvalidArgument);
}

#[test]
fn the_command_writes_a_drawing_and_a_document_of_each_picture() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("photos/more")).unwrap();
    fs::create_dir(at("models")).unwrap();
    for (file, class) in [("photos/pet.jpg", "cat"), ("photos/more/pet.jpg", "dog"), ("photos/broken.jpg", "cat")] {
        fs::write(at(file), images::cifar(class)).unwrap();
    }
    let mut command =
        resnetd(&["explain", "photos", "--models", "models", "--class", "cat", "--class", "5", "--output", "why"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut made: Vec<_> =
        fs::read_dir(at("why")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    made.sort();
    assert_eq!(made, ["broken.json", "broken.png", "pet-2.json", "pet-2.png", "pet.json", "pet.png"]);
    let document: Value = serde_json::from_slice(&fs::read(at("why/pet.json")).unwrap()).unwrap();
    let classes = document["explanations"][0]["classes"].as_array().unwrap();
    assert_eq!(classes.iter().map(|class| class["label"].as_str().unwrap()).collect::<Vec<_>>(), ["cat", "dog"]);
    let drawing = image::load_from_memory(&fs::read(at("why/pet.png")).unwrap()).unwrap();
    assert_eq!((drawing.width(), drawing.height()), (2 * 224 + 4, 224));

    fs::write(at("photos/broken.jpg"), "no picture").unwrap();
    let mut command = resnetd(&["explain", "photos", "--models", "models", "--view", "original", "--output", "again"]);
    let output = command.current_dir(folder.path()).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && complaint.contains("broken.jpg"), "{complaint}");
    assert!(complaint.contains("1 of 3 files could not be explained"), "{complaint}");
    assert!(at("again/pet.png").exists() && !at("again/broken.png").exists());
}
