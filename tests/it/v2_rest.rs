//! The Open Inference Protocol over HTTP: what is told of server and models, every form of an input, every form of an output.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use resnetd::{runtime::scripted::ScriptedExecutor, service::RequestLimits};
use serde_json::{Value, json};

use crate::support::{
    eventually, images,
    server::{TestServer, logits},
    v2::{INFER, SHAPE, VALUES, elements, floats, parts, pictures, post_binary, post_json, to_bytes, with_input},
};

/// What the scripted network says, after softmax.
const PROBABILITIES: [f32; 4] = [0.1, 0.4, 0.3, 0.2];

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let close = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-6);
    assert!(close, "{what}: {found:?} and {expected:?}");
}

/// The numbers of an output in JSON.
fn data(output: &Value) -> Vec<f32> {
    output["data"].as_array().expect("a list").iter().map(|it| it.as_f64().expect("a number") as f32).collect()
}

#[tokio::test]
async fn the_server_and_its_models_are_described_in_the_protocols_shapes() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for path in ["/v2", "/v2/"] {
        let metadata = http.get(path).await.json();
        assert_eq!((&metadata["name"], metadata["version"].is_string()), (&json!("resnetd"), true));
        assert_eq!(
            metadata["extensions"],
            json!(["binary_tensor_data", "classification", "schedule_policy", "model_configuration", "statistics"])
        );
    }
    assert_eq!(http.get("/v2/health/live").await.json(), json!({ "live": true }));
    assert_eq!(http.get("/v2/health/ready").await.json(), json!({ "ready": true }));
    for path in ["/v2/models/pets", "/v2/models/pets/versions/3"] {
        let metadata = http.get(path).await.json();
        assert_eq!(metadata["name"], "pets");
        assert_eq!(metadata["versions"], json!(["3"]));
        assert_eq!(metadata["platform"], "onnxruntime_onnx");
        assert_eq!(metadata["inputs"], json!([{ "name": "input", "datatype": "FP32", "shape": [-1, 3, 8, 8] }]));
        let outputs =
            ["logits", "probabilities"].map(|name| json!({ "name": name, "datatype": "FP32", "shape": [-1, 4] }));
        assert_eq!(metadata["outputs"], json!(outputs));
        let pictures = metadata["properties"]["encoded_pictures"].as_str().expect("a text");
        assert!(pictures.contains("BYTES") && pictures.contains("base64"), "{pictures}");
        assert_eq!(http.get(&format!("{path}/ready")).await.json(), json!({ "name": "pets", "ready": true }));
        let config = http.get(&format!("{path}/config")).await.json();
        assert_eq!(config["max_batch_size"], 1);
        assert_eq!(
            config["input"],
            json!([{ "name": "input", "data_type": "TYPE_FP32", "format": "FORMAT_NCHW", "dims": [3, 8, 8] }])
        );
        assert_eq!(config["output"][0], json!({ "name": "logits", "data_type": "TYPE_FP32", "dims": [4] }));
        assert_eq!(config["instance_group"], json!([{ "kind": "KIND_CPU", "count": 1 }]));
    }
}

#[tokio::test]
async fn the_repository_lists_what_is_served_and_what_is_not_with_the_reason() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let pets = json!({ "name": "pets", "version": "3", "state": "READY", "reason": "" });
    let broken = json!({
        "name": "broken", "version": "1", "state": "UNAVAILABLE", "reason": "model.toml: no such key `crop`"
    });
    for body in ["", "{}", r#"{"ready": false}"#] {
        let index = http.post("/v2/repository/index", "application/json", body.as_bytes()).await.json();
        assert_eq!(index, json!([broken, pets]), "{body}");
    }
    let ready = http.post("/v2/repository/index", "application/json", br#"{"ready": true}"#).await.json();
    assert_eq!(ready, json!([pets]));
}

#[tokio::test]
async fn what_is_not_ready_says_so() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    http.get("/v2/models/broken/ready").await.refusal(404, "NOT_FOUND");
    http.get("/v2/models/plants/ready").await.refusal(404, "NOT_FOUND");
    http.get("/v2/models/pets/versions/2/ready").await.refusal(404, "NOT_FOUND");
    server.service.start_draining();
    for path in ["/v2/health/ready", "/v2/models/pets/ready"] {
        http.get(path).await.refusal(503, "UNAVAILABLE");
    }
    assert_eq!(http.get("/v2/health/live").await.status, 200);
    let loading = TestServer::builder(ScriptedExecutor::answering(&logits())).still_loading().start().await;
    let mut http = loading.http().await;
    for path in ["/v2/health/ready", "/v2/models/pets/ready", "/v2/models/pets"] {
        http.get(path).await.refusal(503, "UNAVAILABLE");
    }
    let index = http.post("/v2/repository/index", "application/json", b"").await.json();
    assert_eq!(index, json!([{ "name": "pets", "version": "3", "state": "LOADING", "reason": "" }]));
}

#[tokio::test]
async fn pictures_are_taken_in_every_form_of_bytes() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let png = images::png();
    let text = BASE64_STANDARD.encode(&png);
    let listed = |shape: Value, data: Value| {
        with_input(json!({ "name": "input", "shape": shape, "datatype": "BYTES", "data": data }))
    };
    for document in [
        listed(json!([2]), json!([text, text])),
        listed(json!([2, 1]), json!([text, text])),
        listed(json!([2, 1]), json!([[text], [text]])),
        listed(json!([2]), json!([{ "b64": text }, { "b64": text }])),
    ] {
        let answer = post_json(&mut http, INFER, &document).await;
        let document = answer.json();
        assert_eq!(answer.status, 200, "{document}");
        assert_eq!((&document["model_name"], &document["model_version"]), (&json!("pets"), &json!("3")));
        assert_eq!(document.get("id"), None);
        assert_eq!(document["outputs"][0]["shape"], json!([2, 4]));
        assert_close(&data(&document["outputs"][0]), &logits().repeat(2), "logits");
        assert_close(&data(&document["outputs"][1]), &PROBABILITIES.repeat(2), "probabilities");
        assert!(answer.header("server-timing").is_some());
    }
    let section = elements(&[&png, &png]);
    for shape in [json!([2]), json!([2, 1])] {
        let mut input = pictures(2, &section);
        input["shape"] = shape;
        let answer = post_binary(&mut http, INFER, &with_input(input), &section).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        assert_close(&data(&answer.json()["outputs"][1]), &PROBABILITIES.repeat(2), "binary");
    }
    let answer = http.request("POST", INFER, &[("inference-header-content-length", "0")], &png).await;
    let (document, section) = parts(&answer);
    assert_eq!(document["outputs"][0]["parameters"], json!({ "binary_data_size": 16 }));
    assert_close(&floats(&section[..16]), &logits(), "the body alone");
    assert_close(&floats(&section[16..]), &PROBABILITIES, "the body alone");
}

#[tokio::test]
async fn tensors_are_taken_in_every_form_and_datatype() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let nested = json!([vec![vec![vec![0.5; 8]; 8]; 3]]);
    for (datatype, data) in [("FP32", json!(vec![0.5; VALUES])), ("FP32", nested), ("UINT8", json!(vec![255; VALUES]))]
    {
        let input = json!({ "name": "input", "shape": SHAPE, "datatype": datatype, "data": data });
        let answer = post_json(&mut http, INFER, &with_input(input)).await;
        assert_eq!(answer.status, 200, "{datatype}: {}", answer.json());
    }
    for (datatype, size) in [("FP32", 4), ("FP16", 2), ("BF16", 2), ("UINT8", 1)] {
        let section = vec![0; 2 * VALUES * size];
        let mut shape = SHAPE;
        shape[0] = 2;
        let parameters = json!({ "binary_data_size": section.len() });
        let input = json!({ "name": "input", "shape": shape, "datatype": datatype, "parameters": parameters });
        let answer = post_binary(&mut http, INFER, &with_input(input), &section).await;
        assert_eq!(answer.status, 200, "{datatype}: {}", answer.json());
        assert_eq!(answer.json()["outputs"][0]["shape"], json!([2, 4]));
    }
    let raw = http.request("POST", INFER, &[("inference-header-content-length", "0")], &to_bytes(&[0.5; VALUES])).await;
    assert_close(&floats(parts(&raw).1)[..4], &logits(), "the body alone");
}

#[tokio::test]
async fn outputs_come_in_the_order_and_form_that_was_asked_for() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let section = elements(&[&images::png()]);
    let mut request = with_input(pictures(1, &section));
    request["id"] = json!("42");
    request["parameters"] = json!({ "binary_data_output": true, "my_own": { "what": ["ever"] } });
    request["outputs"] = json!([
        { "name": "probabilities", "parameters": { "binary_data": false } },
        { "name": "logits" },
    ]);
    let answer = post_binary(&mut http, INFER, &request, &section).await;
    let (document, behind) = parts(&answer);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(document["id"], "42");
    assert_close(&data(&document["outputs"][0]), &PROBABILITIES, "JSON");
    assert_eq!(
        document["outputs"][1],
        json!({ "name": "logits", "datatype": "FP32", "shape": [1, 4], "parameters": { "binary_data_size": 16 } })
    );
    assert_close(&floats(behind), &logits(), "binary");

    request["parameters"] = json!({});
    request["outputs"] = json!([{ "name": "logits", "parameters": { "binary_data": true } }]);
    let answer = post_binary(&mut http, INFER, &request, &section).await;
    assert_close(&floats(parts(&answer).1), &logits(), "one output binary");
}

#[tokio::test]
async fn classes_are_value_index_and_label() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let section = elements(&[&images::png(), &images::png()]);
    let mut request = with_input(pictures(2, &section));
    for (classes, wanted) in [(2, 2), (4, 4), (1000, 4)] {
        request["outputs"] = json!([{ "name": "probabilities", "parameters": { "classification": classes } }]);
        let document = post_binary(&mut http, INFER, &request, &section).await.json();
        let output = &document["outputs"][0];
        assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([2, wanted])));
        let rows: Vec<&str> = output["data"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
        assert_eq!(rows.len(), 2 * wanted);
        let [value, index, label] = rows[0].split(':').collect::<Vec<_>>()[..] else { panic!("{}", rows[0]) };
        assert!((value.parse::<f32>().unwrap() - 0.4).abs() < 1e-6, "{value}");
        assert_eq!((index, label), ("1", "tabby"));
        assert!(rows[wanted - 1 + wanted].ends_with(if wanted == 2 { ":2:parrot" } else { ":0:beagle" }), "{rows:?}");
    }
    request["outputs"] = json!([{ "name": "logits", "parameters": { "classification": 1, "binary_data": true } }]);
    let answer = post_binary(&mut http, INFER, &request, &section).await;
    let (_, behind) = parts(&answer);
    let text = format!("{}:1:tabby", 4.0_f32.ln());
    assert_eq!(behind, elements(&[text.as_bytes(), text.as_bytes()]), "the values are the output's own");
}

#[tokio::test]
async fn a_packed_request_is_read_and_its_header_counts_unpacked_bytes() {
    let server = TestServer::start().await;
    let section = elements(&[&images::png()]);
    let json = with_input(pictures(1, &section)).to_string();
    let body = [json.as_bytes(), &section].concat();
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(6));
    std::io::Write::write_all(&mut packer, &body).unwrap();
    let length = json.len().to_string();
    let headers = [("inference-header-content-length", &*length), ("content-encoding", "gzip")];
    let answer = server.http().await.request("POST", INFER, &headers, &packer.finish().unwrap()).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}

#[tokio::test]
async fn the_timeout_of_a_request_is_its_deadline() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut http = server.http().await;
    let section = elements(&[&images::png()]);
    let mut request = with_input(pictures(1, &section));
    request["parameters"] = json!({ "timeout": 1000, "priority": 1 });
    let answer = post_binary(&mut http, INFER, &request, &section).await;
    answer.refusal(504, "DEADLINE_EXCEEDED");
    network.release();
    request["parameters"] = json!({ "timeout": 0, "priority": 0 });
    assert_eq!(post_binary(&mut http, INFER, &request, &section).await.status, 200);
}

#[tokio::test]
async fn a_request_of_priority_1_overtakes_those_that_wait() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let section = elements(&[&images::png()]);
    let send = async |priority: u32| {
        let mut http = server.http().await;
        let mut request = with_input(pictures(1, &section));
        request["parameters"] = json!({ "priority": priority });
        let json = request.to_string();
        let length = json.len().to_string();
        let body = [json.as_bytes(), &section].concat();
        http.send("POST", INFER, &[("inference-header-content-length", &length)], &body).await;
        http
    };
    let depth = || server.service.target("pets", None).unwrap().model().batcher.depth();
    let mut first = send(0).await;
    let entered = tokio::task::spawn_blocking({
        let network = network.clone();
        move || network.wait_for_batches(1)
    });
    entered.await.expect("the first runs");
    let mut second = send(0).await;
    eventually("the second waits", || depth() == 1).await;
    let mut third = send(1).await;
    eventually("the third waits", || depth() == 2).await;
    network.release();
    let mut queue_times = Vec::new();
    for http in [&mut first, &mut second, &mut third] {
        let answer = http.answer("POST").await;
        assert_eq!(answer.status, 200, "{}", answer.json());
        let timing = answer.header("server-timing").unwrap().to_owned();
        let queue = timing.split("queue;dur=").nth(1).unwrap().split(',').next().unwrap();
        queue_times.push(queue.parse::<f64>().unwrap());
    }
    assert!(queue_times[2] <= queue_times[1], "the third came later and waited no longer: {queue_times:?}");
}

#[tokio::test]
async fn the_limits_of_a_request_hold_here_as_well() {
    let limits = RequestLimits { max_images_per_request: 2, max_body_bytes: 4096, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let mut http = server.http().await;
    let section = elements(&[&images::png(); 3]);
    let answer = post_binary(&mut http, INFER, &with_input(pictures(3, &section)), &section).await;
    assert!(answer.refusal(413, "TOO_LARGE").contains("3 images in one request, the limit is 2"));
    let answer = server.http().await.request("POST", INFER, &[], &[b' '; 4097]).await;
    answer.refusal(413, "TOO_LARGE");
}

#[tokio::test]
async fn requests_are_counted_as_those_of_our_own_route_are() {
    let network = ScriptedExecutor::answering(&logits());
    let server = TestServer::builder(network).count_predictions().start().await;
    let mut http = server.http().await;
    let section = elements(&[&images::png()]);
    assert_eq!(post_binary(&mut http, INFER, &with_input(pictures(1, &section)), &section).await.status, 200);
    post_json(&mut http, INFER, &json!({})).await.refusal(400, "INVALID_ARGUMENT");
    post_json(&mut http, "/v2/models/plants/infer", &json!({})).await.refusal(404, "NOT_FOUND");
    let text = server.service.metrics_text();
    for line in [
        r#"resnetd_requests_total{model="pets",version="3",protocol="http",code="OK"} 1"#,
        r#"resnetd_requests_total{model="pets",version="3",protocol="http",code="INVALID_ARGUMENT"} 1"#,
        r#"resnetd_requests_total{model="",version="",protocol="http",code="NOT_FOUND"} 1"#,
        r#"resnetd_predictions_total{model="pets",label="tabby"} 1"#,
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert_eq!(server.service.in_flight_bytes(), 0, "everything was given back");
}

#[tokio::test]
async fn statistics_are_sums_of_requests_images_and_runs() {
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).max_batch_size(4).start().await;
    let mut http = server.http().await;
    let none = http.get("/v2/models/pets/stats").await.json();
    assert_eq!(none["model_stats"][0]["last_inference"], 0);
    let png = images::png();
    for count in [1, 3, 3] {
        let section = elements(&vec![&png[..]; count]);
        let answer = post_binary(&mut http, INFER, &with_input(pictures(count, &section)), &section).await;
        assert_eq!(answer.status, 200, "{}", answer.json());
    }
    post_json(&mut http, INFER, &json!({})).await.refusal(400, "INVALID_ARGUMENT");
    for path in ["/v2/models/stats", "/v2/models/pets/stats", "/v2/models/pets/versions/3/stats"] {
        let document = http.get(path).await.json();
        let [stats] = &document["model_stats"].as_array().unwrap()[..] else { panic!("{document}") };
        assert_eq!((&stats["name"], &stats["version"]), (&json!("pets"), &json!("3")));
        assert_eq!(stats["inference_count"], 7);
        assert!(stats["last_inference"].as_u64().unwrap() > 1_700_000_000_000, "{stats}");
        let count = |value: &Value| value["count"].as_u64().unwrap();
        let inference = &stats["inference_stats"];
        assert_eq!((count(&inference["success"]), count(&inference["fail"])), (3, 1));
        for phase in ["queue", "compute_input", "compute_infer", "compute_output"] {
            assert_eq!(count(&inference[phase]), 3, "{phase}");
        }
        let batches = stats["batch_stats"].as_array().unwrap();
        let runs: u64 = batches.iter().map(|batch| count(&batch["compute_infer"])).sum();
        let images: u64 =
            batches.iter().map(|it| it["batch_size"].as_u64().unwrap() * count(&it["compute_infer"])).sum();
        assert_eq!((&stats["execution_count"], images), (&json!(runs), 7));
    }
    http.get("/v2/models/plants/stats").await.refusal(404, "NOT_FOUND");
    http.get("/v2/models/pets/versions/2/stats").await.refusal(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_tensor_that_is_looked_at_on_another_thread_is_answered() {
    let limits = RequestLimits { max_images_per_request: 128, ..RequestLimits::default() };
    let network = ScriptedExecutor::answering(&logits());
    let server = TestServer::builder(network).limits(limits).capacity(128).start().await;
    // Numbers of 32 bits of a hundred images are more than 64 KiB.
    let images = 100;
    let section = to_bytes(&vec![0.5; images * VALUES]);
    let mut shape = SHAPE;
    shape[0] = images;
    let parameters = json!({ "binary_data_size": section.len() });
    let input = json!({ "name": "input", "shape": shape, "datatype": "FP32", "parameters": parameters });
    let answer = post_binary(&mut server.http().await, INFER, &with_input(input), &section).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}
