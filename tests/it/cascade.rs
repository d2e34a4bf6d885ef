//! A cascade: the smaller model answers where it is sure, else the one that was asked for.

use resnetd::{
    lifecycle::{Source, WantedModel},
    model::{CascadeSection, LoadedModel, Manifest, RESNET20_CIFAR10},
    preprocess::Spec,
    runtime::{Executor, RunError, scripted::ScriptedExecutor},
    server::grpc::proto::ClassifyRequest,
    tensor::{Batch, Logits},
};
use serde_json::{Value, json};

use crate::support::{
    eventually,
    images::{gray, photo, png},
    server::{MODEL, ReleaseWhenDropped, TestServer, logits, scripted_model},
};

const CLASSIFY: &str = "/v1/models/pets:classify";

/// The smaller model says `goldfish` with 17/20.
fn small_row() -> [f32; 4] {
    [0.0, 0.0, 0.0, 17.0_f32.ln()]
}

fn small(network: impl Executor) -> LoadedModel {
    let mut loaded = scripted_model(1, network, 64, 1);
    loaded.model.name = "small".into();
    loaded
}

/// `pets` with a cascade, and `small` beside it.
fn wanted(threshold: f32) -> Vec<WantedModel> {
    let cascade = CascadeSection { first: Some("small".to_owned()), threshold };
    let of = |name: &str, version, manifest: Manifest| WantedModel {
        name: name.into(),
        version,
        source: Source::BuiltIn(&RESNET20_CIFAR10, Box::new(manifest)),
    };
    vec![of(MODEL, 3, Manifest { cascade, ..Manifest::default() }), of("small", 1, Manifest::default())]
}

/// A server of `pets`, which asks `network` first, as `small`.
async fn with_cascade(threshold: f32, network: &ScriptedExecutor) -> TestServer {
    over(ScriptedExecutor::answering(&logits()), threshold, small(network.clone())).await
}

async fn over(large: ScriptedExecutor, threshold: f32, first: LoadedModel) -> TestServer {
    let server = TestServer::builder(large).start().await;
    server.lifecycle.serve(first).await;
    server.lifecycle.apply(wanted(threshold)).await;
    server
}

fn metric(server: &TestServer, series: &str) -> u64 {
    let text = server.service.metrics_text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a count"))
}

/// The images that were answered for a reason.
fn answered(server: &TestServer, by: &str, reason: &str) -> u64 {
    let labels = format!("{{model=\"pets\",answered_by=\"{by}\",reason=\"{reason}\"}}");
    metric(server, &format!("resnetd_cascade_images_total{labels}"))
}

fn decoded(server: &TestServer) -> u64 {
    let of = |model| metric(server, &format!("resnetd_preprocess_duration_seconds_count{{model=\"{model}\"}}"));
    of("pets") + of("small")
}

/// Who answered each picture, and its first class.
fn told(document: &Value) -> Vec<(&str, &str)> {
    let images = document["predictions"].as_array().expect("predictions").iter();
    let text = |value: &'_ Value| -> Option<&'static str> { Some(value.as_str()?.to_owned().leak()) };
    images
        .map(|image| {
            let by = text(&image["answered_by"]).unwrap_or("nobody says");
            (by, text(&image["classes"][0]["label"]).expect("a label"))
        })
        .collect()
}

#[tokio::test]
async fn the_smaller_model_answers_where_it_is_sure_over_every_protocol() {
    let network = ScriptedExecutor::answering(&small_row());
    let server = with_cascade(0.8, &network).await;
    let mut http = server.http().await;

    let document = http.post(CLASSIFY, "image/png", &png()).await.json();
    assert_eq!(told(&document), [("small", "goldfish")]);
    assert_eq!((&document["model"], &document["version"]), (&json!("pets"), &json!(3)), "as it was asked");
    let listed = http.get("/v1/models").await.json()["cascades"].clone();
    assert_eq!(listed, json!([{ "first": "small", "model": "pets", "threshold": 0.8 }]));
    let probability = document["predictions"][0]["classes"][0]["probability"].as_f64().expect("a number");
    assert!((probability - 0.85).abs() < 1e-6, "{probability}");

    let request = ClassifyRequest { model: MODEL.to_owned(), images: vec![png()], ..ClassifyRequest::default() };
    let message = server.grpc().await.classify(request).await.expect("an answer").into_inner();
    assert_eq!(
        (&*message.predictions[0].answered_by, &*message.predictions[0].classes[0].label),
        ("small", "goldfish")
    );

    let b64 = {
        use base64::{Engine as _, prelude::BASE64_STANDARD};
        BASE64_STANDARD.encode(png())
    };
    let body = json!({
        "inputs": [{ "name": "input", "shape": [1], "datatype": "BYTES", "data": [b64] }],
        "outputs": [{ "name": "probabilities", "parameters": { "classification": 1 } }],
    });
    let infer = http.post("/v2/models/pets/infer", "application/json", body.to_string().as_bytes()).await.json();
    assert!(infer["outputs"][0]["data"][0].as_str().expect("a class").ends_with(":3:goldfish"), "{infer}");
    let body = json!({ "instances": [{ "b64": b64 }] }).to_string();
    let predicted = http.post("/v1/models/pets:predict", "application/json", body.as_bytes()).await.json();
    assert!((predicted["predictions"][0][3].as_f64().expect("a number") - 0.85).abs() < 1e-6, "{predicted}");

    assert_eq!((answered(&server, "small", "sure"), answered(&server, "pets", "unsure")), (4, 0));
    assert_eq!(network.batch_sizes().len(), 4);
    let images = |model| metric(&server, &format!("resnetd_queue_duration_seconds_count{{model=\"{model}\"}}"));
    assert_eq!((images("small"), images("pets")), (4, 0), "nothing was run by the other one");
}

#[tokio::test]
async fn the_model_that_was_asked_answers_where_the_smaller_one_is_not_sure_and_the_picture_is_decoded_once() {
    let network = ScriptedExecutor::answering(&small_row());
    let server = with_cascade(0.9, &network).await;
    let mut http = server.http().await;
    let document = http.post(CLASSIFY, "image/png", &png()).await.json();
    assert_eq!(told(&document), [("pets", "tabby")]);
    assert_eq!((answered(&server, "pets", "unsure"), answered(&server, "small", "sure")), (1, 0));
    assert_eq!(decoded(&server), 1);
    assert_eq!(network.batch_sizes(), [1]);

    // Both together: what a call of several models has from one is what it answers alone.
    let both = http.post("/v1/models/small,pets:classify", "image/png", &png()).await.json();
    assert_eq!(told(&both["models"][1]), [("pets", "tabby")]);
    assert_eq!(told(&both["models"][0]), [("nobody says", "goldfish")]);
    assert_eq!(decoded(&server), 2);
}

#[tokio::test]
async fn a_picture_that_both_prepare_in_their_own_way_is_decoded_for_each() {
    let mut first = small(ScriptedExecutor::answering(&small_row()));
    first.model.spec = Spec { resize_size: Some(8), crop_size: Some(8), ..Spec::default() };
    let server = over(ScriptedExecutor::answering(&logits()), 0.9, first).await;
    let answer = server.http().await.post(CLASSIFY, "image/jpeg", &photo()).await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("500x375, model `pets` takes 8x8"));
    let answer = server.http().await.post(CLASSIFY, "image/png", &png()).await;
    assert_eq!(told(&answer.json()), [("pets", "tabby")]);
}

#[tokio::test]
async fn what_is_asked_of_one_network_does_not_follow_the_cascade() {
    let network = ScriptedExecutor::answering(&small_row());
    let server = with_cascade(0.5, &network).await;
    let mut http = server.http().await;
    for path in [format!("/v1/models/{MODEL}/versions/3:classify"), format!("{CLASSIFY}?outputs=logits")] {
        let document = http.post(&path, "image/png", &png()).await.json();
        assert_eq!(told(&document), [("nobody says", "tabby")], "{path}");
    }
    let numbers = json!({ "inputs": [{ "name": "input", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": vec![0.0; 192] }],
        "outputs": [{ "name": "probabilities" }] });
    let infer = http.post("/v2/models/pets/infer", "application/json", numbers.to_string().as_bytes()).await.json();
    assert!((infer["outputs"][0]["data"][1].as_f64().expect("a number") - 0.4).abs() < 1e-6, "{infer}");
    assert_eq!(network.batch_sizes(), [0; 0]);
    let probabilities = http.post(&format!("{CLASSIFY}?outputs=probabilities"), "image/png", &png()).await.json();
    assert_eq!(told(&probabilities), [("small", "goldfish")]);
    let row = probabilities["predictions"][0]["outputs"]["probabilities"].as_array().expect("a row");
    assert!((row[3].as_f64().expect("a number") - 0.85).abs() < 1e-6, "{row:?}");
}

/// A network that is sure of bright images.
struct Bright;

impl Executor for Bright {
    fn run(&mut self, batch: &Batch, logits: &mut Logits) -> Result<(), RunError> {
        let row = |image: &[f32]| if image[0] > 0.5 { small_row() } else { [0.0; 4] };
        // Scaled by 1, as the scripted model is: 0 to 255.
        let rows: Vec<f32> =
            batch.data().chunks(batch.image_len()).flat_map(|image| row(&[image[0] / 255.0])).collect();
        logits.fill(4, &rows);
        Ok(())
    }
}

#[tokio::test]
async fn of_several_pictures_each_goes_its_own_way() {
    let large = ScriptedExecutor::answering(&logits());
    let server = over(large.clone(), 0.8, small(Bright)).await;
    let images = vec![gray(250), gray(5), gray(240), gray(1)];
    let request = ClassifyRequest { model: MODEL.to_owned(), images, ..ClassifyRequest::default() };
    let message = server.grpc().await.classify(request).await.expect("an answer").into_inner();
    let told: Vec<_> = message.predictions.iter().map(|it| (&*it.answered_by, &*it.classes[0].label)).collect();
    assert_eq!(told, [("small", "goldfish"), ("pets", "tabby"), ("small", "goldfish"), ("pets", "tabby")]);
    assert_eq!((answered(&server, "small", "sure"), answered(&server, "pets", "unsure")), (2, 2));
    assert_eq!(large.batch_sizes(), [1, 1]);
    assert_eq!(decoded(&server), 4);
}

#[tokio::test]
async fn where_the_smaller_model_fails_or_is_missing_or_tells_other_classes_apart_the_other_one_answers() {
    let network = ScriptedExecutor::answering(&small_row());
    let server = with_cascade(0.8, &network).await;
    let mut http = server.http().await;
    network.fail("the script says so");
    assert_eq!(told(&http.post(CLASSIFY, "image/png", &png()).await.json()), [("pets", "tabby")]);
    assert_eq!(answered(&server, "pets", "first_failed"), 1);
    network.recover();
    server.lifecycle.serve(small(ScriptedExecutor::answering(&[f32::NAN; 4]))).await;
    assert_eq!(told(&http.post(CLASSIFY, "image/png", &png()).await.json()), [("pets", "tabby")]);
    assert_eq!(answered(&server, "pets", "first_failed"), 2);

    let mut other = small(network.clone());
    let mut info = (*other.model.info).clone();
    info.labels = ["beagle", "tabby", "parrot", "shark"].map(Into::into).into();
    other.model.info = info.into();
    server.lifecycle.serve(other).await;
    assert_eq!(told(&http.post(CLASSIFY, "image/png", &png()).await.json()), [("pets", "tabby")]);
    assert_eq!(answered(&server, "pets", "other_labels"), 1);

    server.lifecycle.apply(wanted(0.8).into_iter().take(1).collect()).await;
    assert!(server.service.target("small", None).is_err(), "it is retired");
    assert_eq!(told(&http.post(CLASSIFY, "image/png", &png()).await.json()), [("pets", "tabby")]);
    assert_eq!(answered(&server, "pets", "first_missing"), 1);

    server.lifecycle.serve(small(network.clone())).await;
    assert_eq!(told(&http.post(CLASSIFY, "image/png", &png()).await.json()), [("small", "goldfish")]);
}

#[tokio::test]
async fn what_is_wrong_with_the_request_or_too_much_is_not_tried_again_by_the_larger_model() {
    let (large, network) = (ScriptedExecutor::answering(&logits()), ScriptedExecutor::blocked(&small_row()));
    let mut first = scripted_model(1, network.clone(), 1, 1);
    first.model.name = "small".into();
    let server = over(large.clone(), 0.8, first).await;
    let _release = ReleaseWhenDropped(network.clone());
    let mut http = server.http().await;
    let mut busy = server.http().await;
    busy.send("POST", CLASSIFY, &[], &png()).await;
    let free = || server.service.target("small", None).expect("it is served").model().permits.available_permits();
    eventually("its one place is taken", || free() == 0).await;

    let message = http.post(CLASSIFY, "image/png", &png()).await.refusal(429, "OVERLOADED");
    assert!(message.contains("model `small` has 1 images in work"), "{message}");
    network.release();
    assert_eq!(told(&busy.answer("POST").await.json()), [("small", "goldfish")]);
    http.post(CLASSIFY, "image/png", b"no picture").await.refusal(415, "UNSUPPORTED_FORMAT");
    network.block();
    eventually("its place is free", || free() == 1).await;
    http.post(&format!("{CLASSIFY}?timeout_ms=50"), "image/png", &png()).await.refusal(504, "DEADLINE_EXCEEDED");
    assert_eq!(large.batch_sizes(), [0; 0]);
}

#[tokio::test]
async fn a_client_that_leaves_gives_up_its_places_at_both() {
    let (large, network) = (ScriptedExecutor::blocked(&logits()), ScriptedExecutor::answering(&small_row()));
    let server = over(large.clone(), 0.9, small(network.clone())).await;
    let mut http = server.http().await;
    http.send("POST", CLASSIFY, &[], &png()).await;
    eventually("the first is at the larger model", || server.in_flight() == 1).await;
    let mut leaving = server.http().await;
    leaving.send("POST", CLASSIFY, &[], &png()).await;
    eventually("the second is in work", || server.in_flight() == 2).await;
    drop(leaving);
    eventually("its place is free", || server.in_flight() == 1).await;
    large.release();
    assert_eq!(told(&http.answer("POST").await.json()), [("pets", "tabby")]);
}
