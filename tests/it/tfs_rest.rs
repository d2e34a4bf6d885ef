//! TensorFlow Serving's API over HTTP: what its clients send, and the documents that they read.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use resnetd::runtime::scripted::ScriptedExecutor;
use serde_json::{Value, json};

use crate::support::{
    eventually,
    images::{self, SIDE},
    server::{TestServer, logits},
};

const PREDICT: &str = "/v1/models/pets:predict";

/// A picture as bytes of TensorFlow Serving.
fn b64() -> Value {
    json!({ "b64": BASE64_STANDARD.encode(images::png()) })
}

/// One image as nested lists, `[3, SIDE, SIDE]`.
fn tensor() -> Value {
    json!(vec![vec![vec![0.5; SIDE as usize]; SIDE as usize]; 3])
}

/// What the scripted network says, after softmax.
fn is_the_row(row: &Value) -> bool {
    let row: Vec<f64> = row.as_array().expect("a row").iter().map(|value| value.as_f64().expect("a number")).collect();
    row.len() == 4 && row.iter().zip([0.1, 0.4, 0.3, 0.2]).all(|(got, wanted)| (got - wanted).abs() < 1e-6)
}

async fn predict(server: &TestServer, body: &Value) -> Value {
    let answer = server.http().await.post(PREDICT, "application/json", body.to_string().as_bytes()).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.json());
    assert!(answer.header("server-timing").is_some_and(|timing| timing.starts_with("preprocess")));
    answer.json()
}

#[tokio::test]
async fn instances_in_every_form_get_a_row_each() {
    let server = TestServer::start().await;
    let flat = vec![0.5; 3 * (SIDE * SIDE) as usize];
    for instance in [
        b64(),
        json!({ "image": b64() }),
        json!({ "image_bytes": b64() }),
        json!({ "input": b64() }),
        json!(BASE64_STANDARD.encode(images::png())),
        tensor(),
        json!({ "input": tensor() }),
        json!(flat),
        json!([b64()]),
    ] {
        for count in [1, 3] {
            let instances = vec![&instance; count];
            let answer =
                predict(&server, &json!({ "signature_name": "serving_default", "instances": instances })).await;
            let rows = answer["predictions"].as_array().expect("rows");
            assert_eq!(answer.as_object().expect("an object").len(), 1, "{answer}");
            assert!(rows.len() == count && rows.iter().all(is_the_row), "{instance}: {answer}");
        }
    }
}

#[tokio::test]
async fn inputs_in_every_form_get_their_outputs() {
    let server = TestServer::start().await;
    for (inputs, count) in [
        (json!([b64(), b64()]), 2),
        (json!({ "image_bytes": [b64(), b64()] }), 2),
        (json!({ "input": b64() }), 1),
        (b64(), 1),
        (json!([tensor(), tensor()]), 2),
        (json!({ "input": [tensor()] }), 1),
    ] {
        let answer = predict(&server, &json!({ "inputs": inputs, "of_later_versions": { "a": [1] } })).await;
        let rows = answer["outputs"].as_array().expect("rows");
        assert!(rows.len() == count && rows.iter().all(is_the_row), "{inputs}: {answer}");
    }
}

#[tokio::test]
async fn files_and_forms_are_predicted_as_they_are_classified() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let form = [
        &b"--x\r\ncontent-disposition: form-data; name=\"data\"; filename=\"a.png\"\r\n\r\n"[..],
        &images::png(),
        b"\r\n--x--\r\n",
    ]
    .concat();
    for (content_type, body) in [
        ("image/png", &*images::png()),
        ("application/octet-stream", &*images::png()),
        ("application/x-www-form-urlencoded", &*images::png()),
        ("multipart/form-data; boundary=x", &form),
    ] {
        let answer = http.post("/v1/models/pets/versions/3:predict?timeout_ms=20000", content_type, body).await.json();
        let rows = answer["predictions"].as_array().unwrap_or_else(|| panic!("{content_type}: {answer}"));
        assert!(rows.len() == 1 && is_the_row(&rows[0]), "{content_type}: {answer}");
    }
}

#[tokio::test]
async fn the_raw_signature_gives_what_the_graph_gives() {
    let server = TestServer::start().await;
    let answer = predict(&server, &json!({ "instances": [b64()], "signature_name": "raw" })).await;
    let row = answer["predictions"][0].as_array().expect("a row");
    assert!((row[1].as_f64().expect("a number") - 4.0_f64.ln()).abs() < 1e-6, "{answer}");
}

#[tokio::test]
async fn bad_requests_to_predict_say_what_is_wrong() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let one = b64().to_string();
    let wide = json!([vec![vec![0.5; 9]; 8]]).to_string();
    let body = |instance: &str| format!(r#"{{"instances": [{instance}]}}"#);
    for (sent, status, code, part) in [
        ("{}".to_owned(), 400, "INVALID_ARGUMENT", "neither `instances` nor `inputs`"),
        ("[]".to_owned(), 400, "INVALID_ARGUMENT", "expected an object such as"),
        ("{\"instances\": [".to_owned(), 400, "INVALID_ARGUMENT", "line 1 column"),
        (r#"{"instances": []}"#.to_owned(), 400, "INVALID_ARGUMENT", "no image"),
        (r#"{"instances": null}"#.to_owned(), 400, "INVALID_ARGUMENT", "null"),
        (format!(r#"{{"instances": [{one}], "inputs": [{one}]}}"#), 400, "INVALID_ARGUMENT", "exclude each other"),
        (format!(r#"{{"instances": [{one}]}} []"#), 400, "INVALID_ARGUMENT", "trailing characters"),
        (
            format!(r#"{{"instances": [{one}], "signature_name": "predict_images"}}"#),
            400,
            "INVALID_ARGUMENT",
            "`serving_default`",
        ),
        (format!(r#"{{"instances": [{one}], "signature_name": "classify"}}"#), 400, "INVALID_ARGUMENT", "predict has"),
        (format!(r#"{{"instances": [{one}], "signature_name": 3}}"#), 400, "INVALID_ARGUMENT", "expected a string"),
        (body("NaN"), 400, "INVALID_ARGUMENT", "expected value"),
        (body("[[[Infinity]]]"), 400, "INVALID_ARGUMENT", "expected value"),
        (body("[[[1e39]]]"), 400, "INVALID_ARGUMENT", "beyond those of 32 bits"),
        (body("[[[1e400]]]"), 400, "INVALID_ARGUMENT", "out of range"),
        (body("[0.5, 1.0]"), 400, "INVALID_ARGUMENT", "[N, 3, 8, 8], or [N, 192]"),
        (body(&wide), 400, "INVALID_ARGUMENT", "nested as [1, 1, 8, 9]"),
        (body("[[0.5], [0.5, 1]]"), 400, "INVALID_ARGUMENT", "side by side"),
        (body(&format!("[[[0.5]]], {one}")), 400, "INVALID_ARGUMENT", "numbers and texts"),
        (body(r#"{"pixels": [[[0.5]]]}"#), 400, "INVALID_ARGUMENT", "no input `pixels`; it has `input`"),
        (body(&format!(r#"{{"image": {one}, "size": 3}}"#)), 400, "INVALID_ARGUMENT", "`size` beside `image`"),
        (body("{}"), 400, "INVALID_ARGUMENT", "b64"),
        (body("true"), 400, "INVALID_ARGUMENT", "boolean"),
        (body(r#"{"b64": "?"}"#), 400, "INVALID_ARGUMENT", "image 0: not base64"),
        (body(r#"{"b64": 3}"#), 400, "INVALID_ARGUMENT", "expected a"),
        (body(&format!("[[{one}]]")), 400, "INVALID_ARGUMENT", "nested as [1, 1, 1]"),
        (body(r#"{"b64": "aGVsbG8="}"#), 415, "UNSUPPORTED_FORMAT", ""),
        (body(&vec![one.clone(); 65].join(",")), 413, "TOO_LARGE", "65 images"),
        (body(&vec!["[0]"; 1000].join(",")), 400, "INVALID_ARGUMENT", "nested as [1000, 1]"),
    ] {
        let answer = http.post(PREDICT, "application/json", sent.as_bytes()).await;
        let message = answer.refusal(status, code);
        assert!(message.contains(part), "{sent:.300}: {message}");
    }
    let mut answer = http.post(PREDICT, "application/json", b"").await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("JSON"));
    answer = http.post(PREDICT, "image/png", b"").await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("empty"));
    answer = http.post("/v1/models/pets:predict?top_k=1", "image/png", &images::png()).await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains(":classify"));
    http.post("/v1/models/pets/versions/4:predict", "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    http.post("/v1/models/pets/versions/x:predict", "image/png", &images::png()).await.refusal(400, "INVALID_ARGUMENT");
    http.post("/v1/models/pets/labels/gold:predict", "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    http.post("/v1/models/..%2fpets:predict", "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    http.post("/v1/models/pets%00:predict", "image/png", &images::png()).await.refusal(404, "NOT_FOUND");
    http.post("/v1/models/%ff:predict", "image/png", &images::png()).await.refusal(400, "INVALID_ARGUMENT");
    http.get(PREDICT).await.refusal(405, "METHOD_NOT_ALLOWED");
}

#[tokio::test]
async fn a_bad_request_leaves_the_others_of_its_batch_alone() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).max_batch_size(8).start().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(server.http().await);
    }
    let good = json!({ "instances": [b64(), { "input": b64() }] }).to_string();
    for client in &mut clients {
        client.send("POST", PREDICT, &[("content-type", "application/json")], good.as_bytes()).await;
    }
    eventually("all wait for the network", || server.in_flight() == 8).await;
    let mut http = server.http().await;
    for bad in [
        json!({ "instances": [b64(), { "b64": "aGVsbG8=" }] }),
        json!({ "instances": [b64(), tensor()] }),
        json!({ "inputs": { "input": [[[[0.5]]]] } }),
    ] {
        let refused = http.post(PREDICT, "application/json", bad.to_string().as_bytes()).await;
        assert!(matches!(refused.status, 400 | 415), "{bad:.100}: {}", refused.json());
    }
    network.release();
    for client in &mut clients {
        let answer = client.answer("POST").await.json();
        let rows = answer["predictions"].as_array().unwrap_or_else(|| panic!("{answer}"));
        assert!(rows.len() == 2 && rows.iter().all(is_the_row), "{answer}");
    }
}

#[tokio::test]
async fn numbers_that_overflow_the_network_are_the_clients_affair_and_pictures_are_ours() {
    let network = ScriptedExecutor::answering(&[0.0, f32::NAN, 0.0, 0.0]);
    let server = TestServer::builder(network).start().await;
    let mut http = server.http().await;
    let body = json!({ "instances": [tensor()] }).to_string();
    let answer = http.post(PREDICT, "application/json", body.as_bytes()).await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("not finite"));
    http.post(PREDICT, "image/png", &images::png()).await.refusal(500, "INTERNAL");
}

#[tokio::test]
async fn what_the_model_cannot_do_is_said() {
    let server = TestServer::start().await;
    let body = json!({ "examples": [{ "x": 1.0 }] }).to_string();
    let answer = server.http().await.post("/v1/models/pets:regress", "application/json", body.as_bytes()).await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("no regression"));
}

#[tokio::test]
async fn examples_are_classified_with_their_context_at_every_route() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for example in [
        json!({ "image": b64() }),
        json!({ "image/encoded": b64(), "image/format": "png", "image/height": 8, "image/colors": ["RGB"] }),
        json!({ "image/height": 8, "image_bytes": b64() }),
        json!({ "anything": b64() }),
        b64(),
    ] {
        let body = json!({ "signature_name": "serving_default", "context": { "k": 2 }, "examples": [example] });
        for route in ["/v1/models/pets:classify", "/v1/models/pets/versions/3:classify"] {
            let answer = http.post(route, "application/json", body.to_string().as_bytes()).await.json();
            let classes = &answer["results"][0];
            assert_eq!(
                (&classes[0][0], &classes[1][0], &classes[2]),
                (&json!("tabby"), &json!("parrot"), &Value::Null)
            );
            assert!((classes[0][1].as_f64().expect("a score") - 0.4).abs() < 1e-6, "{answer}");
        }
    }
    for (body, part) in [
        (json!({ "examples": [{ "height": 8, "width": 8 }] }), "`height`, `width`"),
        (json!({ "examples": [{ "image": 8 }] }), "image"),
        (json!({ "examples": [b64()], "signature_name": "raw" }), "classify has"),
        (json!({ "examples": [b64()], "signature_name": "other" }), "no signature `other`"),
        (json!({ "examples": [b64()], "context": { "k": 9 } }), "1 to 4"),
    ] {
        let answer = http.post("/v1/models/pets:classify", "application/json", body.to_string().as_bytes()).await;
        let message = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part), "{body:.100}: {message}");
    }
}

#[tokio::test]
async fn metadata_has_the_signatures_of_tensorflow_serving() {
    let server = TestServer::start().await;
    let document = server.http().await.get("/v1/models/pets/versions/3/metadata").await.json();
    assert_eq!(document["model_spec"], json!({ "name": "pets", "signature_name": "", "version": "3" }));
    let signatures = &document["metadata"]["signature_def"]["signature_def"];
    let tensor = |name: &str, dtype: &str, dims: &[&str]| {
        let dim: Vec<_> = dims.iter().map(|size| json!({ "size": size, "name": "" })).collect();
        json!({ "dtype": dtype, "name": name, "tensor_shape": { "dim": dim, "unknown_rank": false } })
    };
    assert_eq!(
        signatures["serving_default"],
        json!({
            "inputs": { "input": tensor("input", "DT_FLOAT", &["-1", "3", "8", "8"]) },
            "outputs": { "probabilities": tensor("probabilities", "DT_FLOAT", &["-1", "4"]) },
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        })
    );
    assert_eq!(signatures["raw"]["outputs"], json!({ "logits": tensor("logits", "DT_FLOAT", &["-1", "4"]) }));
    assert_eq!(signatures["classify"]["method_name"], "tensorflow/serving/classify");
    assert_eq!(document["classes"], 4, "our own keys beside it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_leads_to_its_version_at_every_route() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    let model = "/v1/models/resnet20-cifar10/labels/stable";
    assert_eq!(http.get(model).await.json()["model_version_status"][0]["version"], "1");
    assert_eq!(http.get(&format!("{model}/metadata")).await.json()["model_spec"]["version"], "1");
    let cat = images::cifar("cat");
    let answer = http.post(&format!("{model}:predict"), "image/jpeg", &cat).await.json();
    assert_eq!(answer["predictions"][0].as_array().expect("a row").len(), 10);
    let example = json!({ "examples": [{ "image": { "b64": BASE64_STANDARD.encode(&cat) } }] }).to_string();
    let answer = http.post(&format!("{model}:classify"), "application/json", example.as_bytes()).await.json();
    assert_eq!(answer["results"][0][0][0], "cat");
}
