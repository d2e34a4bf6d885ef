//! `POST /v1/models/{a},{b}:classify`, and `ClassifySeveral` over gRPC: several models for the same pictures.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use resnetd::{
    model::LoadedModel,
    preprocess::Spec,
    runtime::scripted::ScriptedExecutor,
    server::grpc::proto::{
        self, ClassifyRequest, ClassifySeveralRequest, Ensemble, ModelChoice, one_of_several::Result as Said,
    },
};
use serde_json::{Value, json};
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::support::{
    eventually,
    images::{photo, png},
    server::{LABELS, MODEL, ReleaseWhenDropped, TestServer, logits, scripted_model},
};

const BOTH: &str = "/v1/models/pets,cats:classify";

/// What the other network says: 1/8, 1/8, 1/4, 1/2.
fn others() -> [f32; 4] {
    [1.0_f32.ln(), 1.0_f32.ln(), 2.0_f32.ln(), 4.0_f32.ln()]
}

/// Another scripted model, version 1.
fn named(name: &str, network: &ScriptedExecutor) -> LoadedModel {
    let mut loaded = scripted_model(1, network.clone(), 64, 1);
    loaded.model.name = name.into();
    loaded
}

/// A server of `pets`, version 3, and `cats`, version 1.
async fn pets_and_cats() -> TestServer {
    let server = TestServer::start().await;
    server.lifecycle.serve(named("cats", &ScriptedExecutor::answering(&others()))).await;
    server
}

fn metric(server: &TestServer, series: &str) -> u64 {
    let text = server.service.metrics_text();
    let value = text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.map_or(0, |value| value.parse().expect("a count"))
}

/// How many pictures were decoded for these models.
fn decoded(server: &TestServer, models: &[&str]) -> u64 {
    let of = |model: &&str| metric(server, &format!("resnetd_preprocess_duration_seconds_count{{model=\"{model}\"}}"));
    models.iter().map(of).sum()
}

fn in_work(server: &TestServer, name: &str) -> usize {
    let target = server.service.target(name, None).expect("it is served");
    target.model().capacity - target.model().permits.available_permits()
}

/// What of an answer does not depend on the clock.
fn timeless(answer: &Value) -> Value {
    let mut answer = answer.clone();
    answer.as_object_mut().expect("an object").remove("timing_ms").expect("the times");
    answer
}

#[tokio::test]
async fn every_model_answers_as_if_it_were_asked_alone_whatever_the_form() {
    let server = pets_and_cats().await;
    let mut http = server.http().await;
    let mut alone = Vec::new();
    for name in ["pets", "cats"] {
        let answer = http.post(&format!("/v1/models/{name}:classify?top_k=3"), "image/png", &png()).await;
        alone.push(timeless(&answer.json()));
    }
    let b64 = json!({ "b64": BASE64_STANDARD.encode(png()) });
    let form = [
        &b"--cut\r\ncontent-disposition: form-data; name=\"image\"; filename=\"a.png\"\r\n\r\n"[..],
        &png(),
        b"\r\n--cut\r\ncontent-disposition: form-data; name=\"top_k\"\r\n\r\n3\r\n--cut--\r\n",
    ]
    .concat();
    for (query, content_type, body) in [
        ("?top_k=3", "image/png", png().to_vec()),
        ("?top_k=3", "application/octet-stream", png().to_vec()),
        ("", "multipart/form-data; boundary=cut", form),
        ("", "application/json", json!({ "instances": [b64], "top_k": 3 }).to_string().into_bytes()),
    ] {
        let answer = http.post(&format!("{BOTH}{query}"), content_type, &body).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("server-timing").is_some_and(|times| times.starts_with("preprocess;dur=")));
        let document = answer.json();
        assert_eq!(document.as_object().map(|document| document.len()), Some(1), "no ensemble: {document}");
        let models: Vec<_> = document["models"].as_array().expect("models").iter().map(timeless).collect();
        assert_eq!(models, alone, "{content_type}");
    }
    let several = json!({ "instances": [b64, b64, b64], "top_k": 1 }).to_string();
    let document = http.post(BOTH, "application/json", several.as_bytes()).await.json();
    for (model, label) in document["models"].as_array().expect("models").iter().zip(["tabby", "goldfish"]) {
        let predictions = model["predictions"].as_array().expect("predictions");
        assert_eq!(predictions.len(), 3);
        assert!(predictions.iter().all(|image| image["classes"][0]["label"] == label), "{document}");
    }
}

#[tokio::test]
async fn the_ensemble_is_the_mean_of_the_probabilities() {
    let server = pets_and_cats().await;
    let mut http = server.http().await;
    // By class: (1/10 + 1/8)/2, (4/10 + 1/8)/2, (3/10 + 1/4)/2, (2/10 + 1/2)/2.
    let expected = [("goldfish", 0.35), ("parrot", 0.275), ("tabby", 0.2625), ("beagle", 0.1125)];
    let b64 = json!({ "b64": BASE64_STANDARD.encode(png()) });
    let json = json!({ "instances": [b64, b64], "ensemble": "mean", "top_k": 4 }).to_string();
    for (path, content_type, body, images) in [
        (format!("{BOTH}?ensemble=mean"), "image/png", png().to_vec(), 1),
        (BOTH.to_owned(), "application/json", json.into_bytes(), 2),
    ] {
        let document = http.post(&path, content_type, &body).await.json();
        assert_eq!(document["ensemble"]["method"], "mean");
        let predictions = document["ensemble"]["predictions"].as_array().expect("predictions");
        assert_eq!(predictions.len(), images);
        for image in predictions {
            let classes = image["classes"].as_array().expect("classes");
            assert_eq!(classes.len(), expected.len());
            for (class, (label, probability)) in classes.iter().zip(expected) {
                assert_eq!(class["label"], label);
                assert_eq!(class["index"], json!(LABELS.iter().position(|known| *known == label)));
                assert!((class["probability"].as_f64().expect("a number") - probability).abs() < 1e-6, "{class}");
            }
        }
        assert!(document["models"][0].get("outputs").is_none(), "nobody asked for outputs");
    }
    let narrow = http.post(&format!("{BOTH}?ensemble=mean&min_probability=0.3"), "image/png", &png()).await.json();
    assert_eq!(narrow["ensemble"]["predictions"][0]["classes"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_picture_is_decoded_once_for_all_models_that_prepare_it_alike() {
    let server = pets_and_cats().await;
    let mut http = server.http().await;
    for _ in 0..3 {
        assert_eq!(http.post(BOTH, "image/png", &png()).await.status, 200);
    }
    assert_eq!(decoded(&server, &["pets", "cats"]), 3);
    let queued = |model| metric(&server, &format!("resnetd_queue_duration_seconds_count{{model=\"{model}\"}}"));
    assert_eq!((queued("pets"), queued("cats")), (3, 3), "each has run it");

    // Large enough to be decoded on another thread; two of the three prepare it alike.
    let network = ScriptedExecutor::answering(&logits());
    for (name, resize_size) in [("a", 8), ("b", 8), ("c", 16)] {
        let mut loaded = named(name, &network);
        loaded.model.spec = Spec { resize_size: Some(resize_size), crop_size: Some(8), ..Spec::default() };
        server.lifecycle.serve(loaded).await;
    }
    let answer = http.post("/v1/models/a,b,c:classify", "image/jpeg", &photo()).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
    assert_eq!(answer.json()["models"].as_array().map(Vec::len), Some(3));
    assert_eq!((decoded(&server, &["a", "b"]), decoded(&server, &["c"])), (1, 1));
    assert_eq!(network.batch_sizes(), [1, 1, 1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_stands_behind_its_models_name_by_number_or_label() {
    let server = TestServer::with_models(&["a", "b", "m@home"], |_| ()).await;
    let mut http = server.http().await;
    let cat = crate::support::images::cifar("cat");
    let names = |document: &Value| -> Vec<(String, u64)> {
        let models = document["models"].as_array().expect("models").iter();
        let name = |model: &Value| (model["model"].as_str().expect("a name").to_owned(), model["version"].as_u64());
        models.map(name).map(|(name, version)| (name, version.expect("a version"))).collect()
    };
    let document = http.post("/v1/models/b@1,a@stable,m@home:classify", "image/jpeg", &cat).await.json();
    let expected = [("b", 1), ("a", 1), ("m@home", 1)].map(|(name, version)| (name.to_owned(), version));
    assert_eq!(names(&document), expected);
    http.send("POST", "/v1/models/b%401%2Ca%40stable:classify", &[], &cat).await;
    assert_eq!(names(&http.answer("POST").await.json()), expected[..2]);

    for (path, part) in [
        ("/v1/models/a@2,b:classify", "model `a` has no version 2"),
        ("/v1/models/a,b@canary:classify", "model `b` has no version labelled `canary`"),
        ("/v1/models/a,cats:classify", "there is no model `cats`"),
    ] {
        let message = http.post(path, "image/jpeg", &cat).await.refusal(404, "NOT_FOUND");
        assert!(message.contains(part), "{message}");
    }
    for (path, part) in [
        ("/v1/models/a,a@1:classify", "version 1 of model `a` is named twice"),
        ("/v1/models/a,b,a:classify", "model `a` is named twice"),
        ("/v1/models/a,,b:classify", "has no name"),
        ("/v1/models/a@0,b:classify", "`a@0` names no version"),
        ("/v1/models/a,b/versions/1:classify", "behind its name"),
        ("/v1/models/a,b/labels/stable:classify", "behind its name"),
        ("/v1/models/a,b,c,d,e,f,g,h,i:classify", "the limit is 8"),
    ] {
        let message = http.post(path, "image/jpeg", &cat).await.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part), "{message}");
    }
}

#[tokio::test]
async fn a_model_with_a_comma_in_its_name_is_one_model() {
    let server = pets_and_cats().await;
    server.lifecycle.serve(named("pets,cats", &ScriptedExecutor::answering(&others()))).await;
    let mut http = server.http().await;
    // The description has several models at this path.
    http.send("POST", BOTH, &[], &png()).await;
    assert_eq!(http.answer("POST").await.json()["model"], "pets,cats");
}

#[tokio::test]
async fn a_model_that_fails_has_its_error_in_its_place_and_the_others_answer() {
    let server = TestServer::start().await;
    let network = ScriptedExecutor::answering(&others());
    network.fail("the script says so");
    server.lifecycle.serve(named("cats", &network)).await;
    let mut http = server.http().await;

    let answer = http.post(&format!("{BOTH}?ensemble=mean"), "image/png", &png()).await;

    assert_eq!(answer.status, 200);
    let document = answer.json();
    assert_eq!(document["models"][0]["predictions"][0]["classes"][0]["label"], "tabby");
    let failed = document["models"][1].as_object().expect("an object");
    assert_eq!(failed.keys().collect::<Vec<_>>(), ["code", "error", "model"]);
    assert_eq!((&failed["model"], &failed["code"]), (&json!("cats"), &json!("INTERNAL")));
    assert_eq!(document["ensemble"], json!({ "error": failed["error"], "code": "INTERNAL" }));
    let requests = |model, version, code| {
        let labels = format!("{{model=\"{model}\",version=\"{version}\",protocol=\"http\",code=\"{code}\"}}");
        metric(&server, &format!("resnetd_requests_total{labels}"))
    };
    assert_eq!((requests("pets", 3, "OK"), requests("cats", 1, "INTERNAL")), (1, 1));

    // Where no model answers, the call is refused: with the first one's error, or the one that all have.
    let message = http.post(BOTH, "image/png", b"no picture").await.refusal(415, "UNSUPPORTED_FORMAT");
    assert!(message.starts_with("not an image format"), "{message}");
    let message = http.post(&format!("{BOTH}?top_k=5"), "image/png", &png()).await.refusal(400, "INVALID_ARGUMENT");
    assert!(message.contains("allowed is 1 to 4"), "{message}");
    network.recover();
    assert_eq!(http.post(BOTH, "image/png", &png()).await.json()["models"][1]["model"], "cats");
}

#[tokio::test]
async fn what_cannot_be_meant_of_several_models_is_refused() {
    let server = pets_and_cats().await;
    let mut http = server.http().await;
    let mut fewer = named("few", &ScriptedExecutor::answering(&others()));
    let mut info = (*fewer.model.info).clone();
    info.labels = ["beagle", "tabby", "hamster", "goldfish"].map(Into::into).into();
    fewer.model.info = info.into();
    server.lifecycle.serve(fewer).await;
    let refusal = |answer: crate::support::http::Answer| answer.refusal(400, "INVALID_ARGUMENT");

    let message = refusal(http.post("/v1/models/pets,few:classify?ensemble=mean", "image/png", &png()).await);
    assert!(message.contains("class 2 is `parrot` in model `pets` and `hamster` in `few`"), "{message}");
    let message = refusal(http.post("/v1/models/pets:classify?ensemble=mean", "image/png", &png()).await);
    assert!(message.contains("of several models"), "{message}");
    let message = refusal(http.post(&format!("{BOTH}?ensemble=median"), "image/png", &png()).await);
    assert_eq!(message, "ensemble is `median`: it must be `mean`");
    let examples = json!({ "examples": [{ "image": { "b64": BASE64_STANDARD.encode(png()) } }] }).to_string();
    let message = refusal(http.post(BOTH, "application/json", examples.as_bytes()).await);
    assert!(message.contains("send `instances`"), "{message}");
    let accept = [("accept", "application/x-npy")];
    let message = refusal(http.request("POST", &format!("{BOTH}?outputs=logits"), &accept, &png()).await);
    assert!(message.contains("one by one"), "{message}");
    assert_eq!(http.request("GET", BOTH, &[], b"").await.status, 405);

    let document = http.post(&format!("{BOTH}?outputs=logits"), "image/png", &png()).await.json();
    for (model, row) in [logits(), others()].iter().enumerate() {
        let its = document["models"][model]["predictions"][0]["outputs"]["logits"].as_array().expect("a row");
        assert_eq!(its.iter().map(|value| value.as_f64().expect("a number") as f32).collect::<Vec<_>>(), row);
    }
    assert_eq!(metric(&server, "resnetd_in_flight_requests"), 0);
}

#[tokio::test]
async fn all_models_have_the_calls_one_deadline_and_their_own_places() {
    let server = TestServer::start().await;
    let network = ScriptedExecutor::blocked(&others());
    let _release = ReleaseWhenDropped(network.clone());
    let mut loaded = scripted_model(1, network.clone(), 1, 1);
    loaded.model.name = "cats".into();
    server.lifecycle.serve(loaded).await;
    let mut http = server.http().await;

    let document = http.post(&format!("{BOTH}?timeout_ms=3000"), "image/png", &png()).await.json();
    assert_eq!(document["models"][0]["model"], MODEL);
    assert_eq!(document["models"][1]["code"], "DEADLINE_EXCEEDED");
    network.wait_for_batches(1);

    // The one place of `cats` is taken, and `pets` has others.
    let mut waiting = server.http().await;
    waiting.send("POST", "/v1/models/cats:classify", &[], &png()).await;
    eventually("its place is taken", || in_work(&server, "cats") == 1).await;
    let document = http.post(BOTH, "image/png", &png()).await.json();
    assert_eq!(document["models"][0]["predictions"][0]["classes"][0]["label"], "tabby");
    assert_eq!(document["models"][1]["code"], "OVERLOADED");
    let message = http.post("/v1/models/cats,broken:classify", "image/png", &png()).await.refusal(404, "NOT_FOUND");
    assert!(message.contains("broken"), "{message}");
}

#[tokio::test]
async fn a_client_that_leaves_gives_up_its_places_at_all_models() {
    let networks = [ScriptedExecutor::blocked(&logits()), ScriptedExecutor::blocked(&others())];
    let server = TestServer::builder(networks[0].clone()).start().await;
    let _release = ReleaseWhenDropped(networks[1].clone());
    server.lifecycle.serve(named("cats", &networks[1])).await;
    let mut busy = server.http().await;
    busy.send("POST", BOTH, &[], &png()).await;
    let both = |images| (in_work(&server, "pets"), in_work(&server, "cats")) == (images, images);
    eventually("the first call is in work at both", || both(1)).await;
    let mut leaving = server.http().await;
    leaving.send("POST", BOTH, &[], &png()).await;
    eventually("so is the second", || both(2)).await;

    drop(leaving);

    eventually("its places are free", || both(1)).await;
    networks.iter().for_each(ScriptedExecutor::release);
    assert_eq!(busy.answer("POST").await.status, 200);
    eventually("nothing is in work", || both(0) && server.service.in_flight_bytes() == 0).await;
    assert_eq!(networks.each_ref().map(ScriptedExecutor::batch_sizes), [vec![1], vec![1]]);
}

/// A call over gRPC for these models, of one picture.
fn over_grpc(models: &[(&str, u64, &str)]) -> ClassifySeveralRequest {
    let choice = |(model, version, label): &(&str, u64, &str)| ModelChoice {
        model: (*model).to_owned(),
        version: *version,
        version_label: (*label).to_owned(),
    };
    ClassifySeveralRequest {
        models: models.iter().map(choice).collect(),
        images: vec![png().to_vec().into()],
        ..ClassifySeveralRequest::default()
    }
}

#[tokio::test]
async fn over_grpc_every_model_answers_as_if_it_were_asked_alone_and_the_ensemble_is_their_mean() {
    let server = pets_and_cats().await;
    let mut grpc = server.grpc().await;
    let call = ClassifySeveralRequest {
        ensemble: Ensemble::Mean.into(),
        top_k: Some(4),
        outputs: vec!["logits".to_owned()],
        ..over_grpc(&[("pets", 3, ""), ("cats", 0, "")])
    };
    let answer = grpc.classify_several(call).await.expect("an answer").into_inner();
    let alone = |model: &str| ClassifyRequest {
        model: model.to_owned(),
        images: vec![png().to_vec().into()],
        top_k: Some(4),
        outputs: vec!["logits".to_owned()],
        ..ClassifyRequest::default()
    };
    for (entry, name) in answer.models.iter().zip(["pets", "cats"]) {
        let Some(Said::Response(response)) = &entry.result else { panic!("{entry:?}") };
        let expected = grpc.classify(alone(name)).await.expect("an answer").into_inner();
        assert_eq!((&*entry.model, &*response.model), (name, name));
        assert_eq!((&response.predictions, &response.outputs), (&expected.predictions, &expected.outputs));
    }
    // As over HTTP: (1/10 + 1/8)/2, (4/10 + 1/8)/2, (3/10 + 1/4)/2, (2/10 + 1/2)/2.
    let expected = [("goldfish", 0.35), ("parrot", 0.275), ("tabby", 0.2625), ("beagle", 0.1125)];
    let ensemble = answer.ensemble.expect("it was asked for");
    assert!(ensemble.error.is_none() && ensemble.predictions.len() == 1, "{ensemble:?}");
    let classes = &ensemble.predictions[0].classes;
    assert_eq!(classes.iter().map(|class| &*class.label).collect::<Vec<_>>(), expected.map(|(label, _)| label));
    for (class, (_, probability)) in classes.iter().zip(expected) {
        assert!((class.probability - probability).abs() < 1e-6, "{class:?}");
    }
    let plain = grpc.classify_several(over_grpc(&[("pets", 0, ""), ("cats", 1, "")])).await.expect("an answer");
    assert!(plain.into_inner().ensemble.is_none(), "nobody asked for it");
    assert_eq!(decoded(&server, &["pets", "cats"]), 4, "one for both models of each of two calls, and two alone");
    let requests = "resnetd_requests_total{model=\"cats\",version=\"1\",protocol=\"grpc\",code=\"OK\"}";
    assert_eq!(metric(&server, requests), 3);
}

#[tokio::test]
async fn over_grpc_a_model_that_fails_has_its_error_in_its_place_and_what_cannot_be_meant_is_refused() {
    let server = TestServer::start().await;
    let network = ScriptedExecutor::answering(&others());
    network.fail("the script says so");
    server.lifecycle.serve(named("cats", &network)).await;
    let mut grpc = server.grpc().await;
    let both = [(MODEL, 0, ""), ("cats", 0, "")];
    let call = ClassifySeveralRequest { ensemble: Ensemble::Mean.into(), ..over_grpc(&both) };
    let answer = grpc.classify_several(call).await.expect("an answer").into_inner();
    assert!(matches!(&answer.models[0].result, Some(Said::Response(response)) if response.version == 3));
    let Some(Said::Error(failed)) = &answer.models[1].result else { panic!("{answer:?}") };
    assert_eq!((&*answer.models[1].model, failed.code()), ("cats", proto::error::Code::Internal));
    assert_eq!(answer.ensemble.and_then(|ensemble| ensemble.error).as_ref(), Some(failed));

    let nine = [("a", 0, ""); 9];
    for (models, code, part, field) in [
        (&[][..], Code::InvalidArgument, "names no model", Some("models")),
        (&nine[..], Code::InvalidArgument, "9 models in one call, the limit is 8", Some("models")),
        (&[("", 0, "")][..], Code::InvalidArgument, "a model has no name", Some("models")),
        (
            &[(MODEL, 0, ""), (MODEL, 3, "")][..],
            Code::InvalidArgument,
            "version 3 of model `pets` is named twice",
            None,
        ),
        (&[(MODEL, 3, "stable")][..], Code::InvalidArgument, "exclude each other", Some("version_label")),
        (&[(MODEL, 0, ""), ("plants", 0, "")][..], Code::NotFound, "there is no model `plants`", None),
    ] {
        let refusal = grpc.classify_several(over_grpc(models)).await.expect_err(part);
        assert_eq!(refusal.code(), code, "{refusal}");
        assert!(refusal.message().contains(part), "{refusal}");
        if let Some(field) = field {
            let details = refusal.get_error_details();
            assert_eq!(details.bad_request().expect("the field").field_violations[0].field, field);
        }
    }
    let unknown = ClassifySeveralRequest { ensemble: 7, ..over_grpc(&both) };
    assert!(grpc.classify_several(unknown).await.expect_err("no such").message().contains("ensemble is 7"));
    // Where no model answers, the call is refused with what all say.
    let broken = ClassifySeveralRequest { images: vec![b"no picture".to_vec().into()], ..over_grpc(&both) };
    let refusal = grpc.classify_several(broken).await.expect_err("no picture");
    assert_eq!(refusal.metadata().get("x-error-code").and_then(|code| code.to_str().ok()), Some("UNSUPPORTED_FORMAT"));
    assert!(refusal.message().starts_with("not an image format"), "{refusal}");
    assert_eq!(metric(&server, "resnetd_in_flight_requests"), 0);
}
