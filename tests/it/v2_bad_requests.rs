//! Bad input in the Open Inference Protocol over HTTP: each gets its status, its code, and a message that says what to do.

use resnetd::{runtime::scripted::ScriptedExecutor, service::RequestLimits};
use serde_json::{Value, json};

use crate::support::{
    images,
    server::{TestServer, logits},
    v2::{INFER, SHAPE, VALUES, elements, pictures, post_binary, post_json, to_bytes, with_input},
};

fn tensor(shape: Value, datatype: &str, data: Value) -> Value {
    with_input(json!({ "name": "input", "shape": shape, "datatype": datatype, "data": data }))
}

#[tokio::test]
async fn an_input_that_the_model_does_not_take_is_refused_with_what_it_takes() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let values = || json!(vec![0.5; VALUES]);
    let mut misnamed = tensor(json!(SHAPE), "FP32", values());
    misnamed["inputs"][0]["name"] = json!("image");
    let mut two = tensor(json!(SHAPE), "FP32", values());
    let input = two["inputs"][0].clone();
    two["inputs"].as_array_mut().unwrap().push(input);
    let mut nested = vec![vec![vec![0.5; 8]; 8]; 3];
    nested[2][7].pop();
    for (document, part) in [
        (json!({}), "the request has 0 inputs"),
        (json!({ "inputs": [] }), "the request has 0 inputs"),
        (json!({ "inputs": null }), "the request has 0 inputs"),
        (two, "the request has 2 inputs"),
        (misnamed, "no input `image`; it has `input`"),
        (tensor(json!(SHAPE), "FP64", values()), "datatype `FP64` is not read"),
        (tensor(json!(SHAPE), "fp32", values()), "datatype `fp32` is not read"),
        (tensor(json!(SHAPE), "FP16", values()), "binary tensor only"),
        (tensor(json!(SHAPE), "INT8", json!(vec![1; VALUES])), "8 bits with a sign"),
        (tensor(json!([1, 8, 8, 3]), "FP32", values()), "takes [N, 3, 8, 8]"),
        (tensor(json!([3, 8, 8]), "FP32", values()), "takes [N, 3, 8, 8]"),
        (tensor(json!([1, 3, 8, 8, 1]), "FP32", values()), "takes [N, 3, 8, 8]"),
        (tensor(json!([-1, 3, 8, 8]), "FP32", values()), "takes [N, 3, 8, 8]"),
        (tensor(json!([]), "FP32", values()), "takes [N, 3, 8, 8]"),
        (tensor(json!(vec![1; 10_000]), "FP32", values()), "10000 dimensions"),
        (tensor(json!([0, 3, 8, 8]), "FP32", json!([])), "no image"),
        (tensor(json!([0]), "BYTES", json!([])), "no image"),
        (tensor(json!([2, 2]), "BYTES", json!(["AQID"])), "takes [N] or [N, 1]"),
        (tensor(json!(SHAPE), "FP32", json!(vec![0.5; VALUES - 1])), "191 entries came"),
        (tensor(json!(SHAPE), "FP32", json!(vec![0.5; VALUES + 1])), "193 entries came"),
        (tensor(json!(SHAPE), "FP32", json!([])), "0 entries came"),
        (tensor(json!(SHAPE), "FP32", json!([nested])), "side by side"),
        (tensor(json!(SHAPE), "FP32", json!([vec![0.5; VALUES]])), "nested as [1, 192]"),
        (tensor(json!(SHAPE), "FP32", json!(["AQID"])), "texts came"),
        (tensor(json!(SHAPE), "FP32", json!({ "a": 1 })), "`a` in a list"),
        (tensor(json!(SHAPE), "FP32", json!([null])), "null"),
        (tensor(json!(SHAPE), "FP32", json!(vec![true; VALUES])), "boolean"),
        (tensor(json!(SHAPE), "FP32", json!(vec![1e39; VALUES])), "beyond those of 32 bits"),
        (tensor(json!(SHAPE), "UINT8", json!(vec![256; VALUES])), "number 0 is 256"),
        (tensor(json!(SHAPE), "UINT8", json!(vec![0.5; VALUES])), "number 0 is 0.5"),
        (tensor(json!([1]), "BYTES", json!([0.5])), "numbers came"),
        (tensor(json!([2]), "BYTES", json!(["AQID"])), "1 entries came"),
        (tensor(json!([1]), "BYTES", json!(["AQID", "AQID"])), "2 entries came"),
        (tensor(json!([1]), "BYTES", json!([["AQID"]])), "nested as [1, 1]"),
        (tensor(json!([1]), "BYTES", json!(["?"])), "element 0 is not base64"),
        (with_input(json!({ "name": "input", "shape": SHAPE, "datatype": "FP32" })), "no data"),
        (with_input(json!({ "name": "input", "shape": SHAPE })), "missing field `datatype`"),
        (with_input(json!([1, 2, 3])), "expected an object"),
        (json!([["input"]]), "expected an object"),
    ] {
        let answer = post_json(&mut http, INFER, &document).await;
        let message = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part) && message.len() < 1000, "{part}: {message}");
    }
    let answer = post_json(&mut http, INFER, &tensor(json!([1]), "BYTES", json!(["AQID"]))).await;
    answer.refusal(415, "UNSUPPORTED_FORMAT");
}

#[tokio::test]
async fn numbers_that_are_not_finite_are_refused_before_they_reach_the_network() {
    let network = ScriptedExecutor::answering(&logits());
    let server = TestServer::builder(network.clone()).start().await;
    let mut http = server.http().await;
    for token in ["NaN", "Infinity", "-Infinity", "1e999"] {
        let values = vec![token; VALUES].join(",");
        let body = format!(
            r#"{{"inputs": [{{"name": "input", "shape": [1, 3, 8, 8], "datatype": "FP32", "data": [{values}]}}]}}"#
        );
        http.post(INFER, "application/json", body.as_bytes()).await.refusal(400, "INVALID_ARGUMENT");
    }
    for odd in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut values = vec![0.5; 2 * VALUES];
        values[VALUES + 7] = odd;
        let section = to_bytes(&values);
        let mut shape = SHAPE;
        shape[0] = 2;
        let parameters = json!({ "binary_data_size": section.len() });
        let input = json!({ "name": "input", "shape": shape, "datatype": "FP32", "parameters": parameters });
        let answer = post_binary(&mut http, INFER, &with_input(input), &section).await;
        assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("number 7 of image 1"));
    }
    assert!(network.batch_sizes().is_empty());
}

#[tokio::test]
async fn sizes_of_binary_data_that_do_not_fit_are_refused() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let png = images::png();
    let section = elements(&[&png]);
    let size = section.len();
    let with_size = |value: Value| {
        let mut input = pictures(1, &section);
        input["parameters"]["binary_data_size"] = value;
        with_input(input)
    };
    let mut both = pictures(1, &section);
    both["data"] = json!(["AQID"]);
    for (document, part) in [
        (with_size(json!(size - 1)), "bytes came behind the JSON"),
        (with_size(json!(size + 1)), "bytes came behind the JSON"),
        (with_size(json!(0)), "bytes came behind the JSON"),
        (with_size(json!(-1)), "`binary_data_size` is `-1`"),
        (with_size(json!(1.5)), "`binary_data_size` is `1.5`"),
        (with_size(json!("7")), "`binary_data_size` is `\"7\"`"),
        (with_size(json!(u64::MAX)), "bytes came behind the JSON"),
        (with_size(json!([1])), "`binary_data_size` is `[…]`"),
        (with_input(both), "both `data` and `binary_data_size`"),
        (tensor(json!([1]), "BYTES", json!(["AQID"])), "no input has `binary_data_size`"),
        (with_input(pictures(2, &section)), "element 1 of 2 has no length"),
        (
            with_input(json!({
                "name": "input", "shape": SHAPE, "datatype": "FP32", "parameters": { "binary_data_size": size }
            })),
            "have 768 bytes each",
        ),
        (
            with_input(json!({
                "name": "input", "shape": [1], "datatype": "BYTES", "parameters": { "shared_memory_region": "a" }
            })),
            "shared memory",
        ),
    ] {
        let answer = post_binary(&mut http, INFER, &document, &section).await;
        let message = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part), "{part}: {message}");
    }
    let mut wrong = section.clone();
    for length in [0, png.len() as u32 - 1, png.len() as u32 + 1, u32::MAX] {
        wrong[..4].copy_from_slice(&length.to_le_bytes());
        let answer = post_binary(&mut http, INFER, &with_input(pictures(1, &wrong)), &wrong).await;
        answer.refusal(400, "INVALID_ARGUMENT");
    }
}

#[tokio::test]
async fn a_length_of_the_json_that_is_none_is_refused() {
    let server = TestServer::start().await;
    let section = elements(&[&images::png()]);
    let json = with_input(pictures(1, &section)).to_string();
    let body = [json.as_bytes(), &section].concat();
    for (length, part) in [
        ("-1", "must be the length of the JSON"),
        ("many", "must be the length of the JSON"),
        ("", "must be the length of the JSON"),
        ("99999999999999999999999", "must be the length of the JSON"),
        ("18446744073709551615", "and the body has"),
        (&(body.len() + 1).to_string(), "and the body has"),
        (&(json.len() - 1).to_string(), "cannot be read"),
        (&(json.len() + 1).to_string(), "cannot be read"),
    ] {
        let mut http = server.http().await;
        let answer = http.request("POST", INFER, &[("inference-header-content-length", length)], &body).await;
        let message = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part), "{length}: {message}");
    }
    let mut http = server.http().await;
    let twice = [("inference-header-content-length", "0"); 2];
    http.request("POST", INFER, &twice, &body).await.refusal(400, "INVALID_ARGUMENT");
    let empty = http.request("POST", INFER, &twice[..1], b"").await;
    assert!(empty.refusal(400, "INVALID_ARGUMENT").contains("the body is empty"));
    http.request("POST", INFER, &twice[..1], b"no picture").await.refusal(415, "UNSUPPORTED_FORMAT");
    let answer = http.request("POST", INFER, &[], b"").await;
    assert!(answer.refusal(400, "INVALID_ARGUMENT").contains("inference-header-content-length"));
}

#[tokio::test]
async fn outputs_and_parameters_that_cannot_be_meant_are_refused() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let section = elements(&[&images::png()]);
    let output = |parameters: Value| json!([{ "name": "logits", "parameters": parameters }]);
    for (key, value, part) in [
        ("outputs", json!([{ "name": "features" }]), "has no layers; it has `logits`, `probabilities`"),
        ("outputs", json!([{ "name": "logits" }, { "name": "logits" }]), "asked for twice"),
        ("outputs", json!(vec![json!({ "name": "logits" }); 10_000]), "asked for twice"),
        (
            "outputs",
            (0..10_000).map(|index| json!({ "name": index.to_string() })).collect(),
            "10000 outputs are asked for",
        ),
        ("outputs", json!("logits"), "expected a list"),
        ("outputs", json!(["logits"]), "expected an object"),
        ("outputs", output(json!({ "classification": -1 })), "`classification` is `-1`"),
        ("outputs", output(json!({ "classification": "5" })), "`classification` is"),
        ("outputs", output(json!({ "binary_data": 1 })), "`binary_data` is `1`"),
        ("outputs", output(json!({ "shared_memory_region": "a" })), "shared memory"),
        ("parameters", json!({ "binary_data_output": "yes" }), "`binary_data_output` is"),
        ("parameters", json!({ "timeout": -1 }), "`timeout` is `-1`"),
        ("parameters", json!({ "timeout": "1000" }), "`timeout` is"),
        ("parameters", json!({ "timeout": u64::MAX }), "at most an hour"),
        ("parameters", json!({ "priority": 1.5 }), "`priority` is `1.5`"),
        ("parameters", json!([1]), "expected an object"),
        ("id", json!("x".repeat(5000)), "`id` has 5000 bytes"),
        ("id", json!(42), "expected a string"),
    ] {
        let mut request = with_input(pictures(1, &section));
        request[key] = value;
        let answer = post_binary(&mut http, INFER, &request, &section).await;
        let message = answer.refusal(400, "INVALID_ARGUMENT");
        assert!(message.contains(part) && message.len() < 1000, "{part}: {message}");
    }
}

#[tokio::test]
async fn names_and_versions_that_lead_nowhere_are_refused() {
    let server = TestServer::start().await;
    for (path, status, code) in [
        ("/v2/models/plants/infer", 404, "NOT_FOUND"),
        ("/v2/models/../infer", 404, "NOT_FOUND"),
        ("/v2/models/%2e%2e/infer", 404, "NOT_FOUND"),
        ("/v2/models/%2e%2e%2fpets/infer", 404, "NOT_FOUND"),
        ("/v2/models/pets%00/infer", 404, "NOT_FOUND"),
        ("/v2/models/%ff/infer", 400, "INVALID_ARGUMENT"),
        ("/v2/models/pets/versions/2/infer", 404, "NOT_FOUND"),
        ("/v2/models/pets/versions/0/infer", 400, "INVALID_ARGUMENT"),
        ("/v2/models/pets/versions/-1/infer", 400, "INVALID_ARGUMENT"),
        ("/v2/models/pets/versions/latest/infer", 400, "INVALID_ARGUMENT"),
        ("/v2/models/pets/versions/%ff/infer", 400, "INVALID_ARGUMENT"),
        ("/v2/models/pets/versions/99999999999999999999/infer", 400, "INVALID_ARGUMENT"),
        ("/v2/models/broken/infer", 404, "NOT_FOUND"),
        ("/v2/models/pets/infers", 404, "NOT_FOUND"),
    ] {
        let answer = post_json(&mut server.http().await, path, &json!({})).await;
        assert!(!answer.refusal(status, code).is_empty(), "{path}");
    }
    let mut http = server.http().await;
    http.get(INFER).await.refusal(405, "METHOD_NOT_ALLOWED");
    http.get("/v2/repository/index").await.refusal(405, "METHOD_NOT_ALLOWED");
    post_json(&mut http, "/v2/models/pets", &json!({})).await.refusal(405, "METHOD_NOT_ALLOWED");
    for body in [&b"[]"[..], b"{", br#"{"ready": "yes"}"#] {
        http.post("/v2/repository/index", "application/json", body).await.refusal(400, "INVALID_ARGUMENT");
    }
}

/// A body may come after its head, and whoever waits for a model asks again on the same connection.
#[tokio::test]
async fn a_refusal_leaves_the_connection_open() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    for (path, header, status) in
        [("/v2/models/plants/infer", "x-nothing: 1", 404), (INFER, "inference-header-content-length: -1", 400)]
    {
        let head = format!("POST {path} HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n{header}\r\n\r\n");
        http.send_raw(head.as_bytes()).await;
        // The server has the head when it answers the probe of another connection, most likely; either way it waits for the body.
        assert_eq!(server.http().await.get("/v2/health/live").await.status, 200);
        http.send_raw(b"{}").await;
        assert_eq!(http.answer("POST").await.status, status);
    }
    assert_eq!(http.get("/v2/health/live").await.status, 200);
}

#[tokio::test]
async fn a_bad_request_does_not_touch_those_that_share_its_batch() {
    let network = ScriptedExecutor::blocked(&logits());
    let server = TestServer::builder(network.clone()).max_batch_size(8).start().await;
    let good = elements(&[&images::png()]);
    let json = with_input(pictures(1, &good)).to_string();
    let length = json.len().to_string();
    let body = [json.as_bytes(), &good].concat();
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut http = server.http().await;
        http.send("POST", INFER, &[("inference-header-content-length", &length)], &body).await;
        clients.push(http);
    }
    let bad = elements(&[&images::png()[..40]]);
    let answer = post_binary(&mut server.http().await, INFER, &with_input(pictures(1, &bad)), &bad).await;
    answer.refusal(400, "INVALID_ARGUMENT");
    network.release();
    for mut http in clients {
        assert_eq!(http.answer("POST").await.status, 200);
    }
}

#[tokio::test]
async fn a_list_that_does_not_fit_into_the_memory_of_requests_is_refused() {
    let limits = RequestLimits { max_in_flight_bytes: 70 << 10, ..RequestLimits::default() };
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).limits(limits).start().await;
    let request = tensor(json!([32, 3, 8, 8]), "FP32", json!(vec![0; 32 * VALUES]));
    let answer = post_json(&mut server.http().await, INFER, &request).await;
    answer.refusal(429, "OVERLOADED");
    assert_eq!(server.service.in_flight_bytes(), 0);
}
