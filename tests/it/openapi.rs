//! The description of the API is of this server: every route is in it, and what is in it is served.

use std::collections::BTreeSet;

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::{self, Platforms},
};
use serde_json::{Value, json};

use crate::support::{
    description::{Description, Schemas},
    images,
    program::resnetd,
    server::{MODEL, TestServer, logits},
};

/// A server with every dialect whose routes are documented.
async fn with_every_dialect() -> TestServer {
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let platforms = Platforms { sagemaker: true, torchserve: true, ..Platforms::default() };
    builder.options(|options| options.platforms = platforms).start().await
}

/// What a client author would put into the path.
fn filled(path: &str) -> String {
    path.replace("{model}", MODEL)
        .replace("{version}", "3")
        .replace("{label}", "stable")
        .replace("{other}", "broken")
        .replace("/page/{asset}", "/page/app.js")
        .replace("{asset}", "start.js")
}

#[tokio::test]
async fn every_documented_route_is_served() {
    let server = with_every_dialect().await;
    let mut http = server.http().await;
    let operations = Description::get().operations();
    assert!(operations.len() >= 40, "{}", operations.len());
    for (path, method, _) in operations {
        let answer = http.request(&method, &filled(&path), &[], b"").await;
        assert_ne!(answer.status, 405, "{method} {path}");
        if answer.status == 404 {
            let message = answer.json()["error"].to_string();
            assert!(!message.contains("there is nothing at"), "{method} {path}: {message}");
        }
        // The same with a slash at its end, as long as there is no verb.
        if !path.ends_with('/') && !path.contains(':') {
            let with_slash = http.request(&method, &format!("{}/", filled(&path)), &[], b"").await;
            assert_eq!(with_slash.status, answer.status, "{method} {path}/");
        }
    }
}

#[tokio::test]
async fn every_method_that_is_not_documented_is_refused_with_those_that_are() {
    let server = with_every_dialect().await;
    let mut http = server.http().await;
    let operations = Description::get().operations();
    let paths: BTreeSet<_> = operations.iter().map(|(path, ..)| path.clone()).collect();
    for path in paths {
        let has = |method: &str| operations.iter().any(|(known, its, _)| *known == path && its == method);
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY"] {
            if has(method) || (method == "HEAD" && has("GET")) {
                continue;
            }
            let answer = http.request(method, &filled(&path), &[], b"").await;
            assert_eq!(answer.status, 405, "{method} {path}");
            let allowed = match (has("GET"), has("PUT")) {
                (true, _) => "GET, HEAD",
                (false, true) => "POST, PUT",
                (false, false) => "POST",
            };
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
}

/// The routes that are not documented cannot be listed from outside; but every part of this server registers through the table, and these
/// are the paths that people know.
#[test]
fn the_routes_that_users_are_told_of_are_documented() {
    let readme = include_str!("../../README.md");
    let protocols = include_str!("../../docs/protocols.md");
    let description = Description::get();
    let mut seen = 0;
    for text in [readme, protocols] {
        for found in text.split('`').skip(1).step_by(2) {
            let Some((method, path)) = found.split_once(' ') else { continue };
            if !matches!(method, "GET" | "POST") || !path.starts_with('/') {
                continue;
            }
            let path =
                path.split(['?', ' ']).next().expect("a path").replace("{m}", "{model}").replace("{name}", "{model}");
            assert!(description.find(method, &filled(&path)).is_some(), "{method} {path}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen}");
}

#[tokio::test]
async fn the_server_and_the_command_give_the_same_bytes() {
    let server = TestServer::start().await;
    let served = server.http().await.get("/openapi.json").await;
    assert_eq!((served.status, served.header("content-type")), (200, Some("application/json")));
    let printed = resnetd(&["openapi"]).env("ORT_DYLIB_PATH", "/nowhere").output().expect("it runs");
    assert!(printed.status.success(), "{printed:?}");
    assert!(printed.stdout == served.body && server::openapi() == served.body, "they differ");
    let document: Value = serde_json::from_slice(&served.body).expect("JSON");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn every_operation_says_what_a_client_author_needs() {
    let document: Value = serde_json::from_slice(&server::openapi()).expect("JSON");
    let tags: BTreeSet<_> =
        document["tags"].as_array().expect("tags").iter().map(|tag| tag["name"].clone().to_string()).collect();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in Description::get().operations() {
        let at = format!("{method} {path}");
        for key in ["summary", "description", "operationId"] {
            assert!(operation[key].as_str().is_some_and(|text| !text.is_empty()), "{at}: {key}");
        }
        assert!(ids.insert(operation["operationId"].to_string()), "{at}: another one has its id");
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{at}");
        assert!(tags.contains(&operation["tags"][0].to_string()), "{at}");
        let named: BTreeSet<_> = path.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
        let parameters = operation["parameters"].as_array().expect("parameters");
        let in_path: BTreeSet<_> =
            parameters.iter().filter(|it| it["in"] == "path").filter_map(|it| it["name"].as_str()).collect();
        assert_eq!(named, in_path, "{at}");
        for status in ["400", "500", "503"] {
            assert!(operation["responses"].get(status).is_some(), "{at}: {status}");
        }
        if method == "POST" && !path.ends_with(":regress") {
            for status in ["408", "413", "415", "429"] {
                assert!(operation["responses"].get(status).is_some(), "{at}: {status}");
            }
        }
    }
}

#[test]
fn every_example_is_of_its_schema() {
    let document: Value = serde_json::from_slice(&server::openapi()).expect("JSON");
    let schemas = Schemas::of(&document);
    let mut seen = 0;
    fn walk(value: &Value, at: &str, schemas: &Schemas<'_>, seen: &mut usize) {
        match value {
            Value::Object(fields) => {
                if let Some(schema) = fields.get("schema") {
                    let one = fields.get("example").into_iter();
                    let named =
                        fields.get("examples").and_then(Value::as_object).into_iter().flat_map(|it| it.values());
                    for example in one.chain(named.map(|example| &example["value"])) {
                        schemas.check(schema, example).unwrap_or_else(|wrong| panic!("{at}: {wrong}"));
                        *seen += 1;
                    }
                }
                fields.iter().for_each(|(key, value)| walk(value, &format!("{at}/{key}"), schemas, seen));
            }
            Value::Array(entries) => entries.iter().for_each(|value| walk(value, at, schemas, seen)),
            _ => {}
        }
    }
    walk(&document, "", &schemas, &mut seen);
    assert!(seen > 100, "{seen}");
}

#[tokio::test]
async fn an_answer_that_is_not_documented_would_be_noticed() {
    let description = Description::get();
    let server = TestServer::start().await;
    let mut answer = server.http().await.post("/v1/models/pets:classify", "image/png", &images::png()).await;
    description.check("POST", "/v1/models/pets:classify", &answer).expect("documented");
    let mut document = answer.json();
    for (change, what) in [
        (json!({ "predictions": 3 }), "predictions"),
        (json!({ "another": true }), "another"),
        (json!({ "version": "3" }), "version"),
        (json!({ "model": null }), "model"),
    ] {
        let whole = document.clone();
        change.as_object().expect("an object").iter().for_each(|(key, value)| document[key] = value.clone());
        answer.body = document.to_string().into_bytes();
        let wrong = description.check("POST", "/v1/models/pets:classify", &answer).expect_err(what);
        assert!(wrong.contains("instances") || wrong.contains(what) || wrong.contains("shapes"), "{wrong}");
        document = whole;
    }
    answer.status = 418;
    description.check("POST", "/v1/models/pets:classify", &answer).expect_err("a status that is not documented");
}

#[tokio::test]
async fn the_page_for_people_comes_with_everything_and_loads_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let mut http = server.http().await;
    let page = http.get("/docs").await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'none'; script-src 'self';") && !policy.contains("http"), "{policy}");
    let html = String::from_utf8(page.body).expect("text");
    let named: Vec<_> = html.split(['"']).filter(|part| part.starts_with("/docs/")).collect();
    assert_eq!(named.len(), 3, "{named:?}");
    for file in named {
        let plain = http.get(file).await;
        assert_eq!((plain.status, plain.header("content-encoding")), (200, None), "{file}");
        let packed = http.request("GET", file, &[("accept-encoding", "br, gzip")], b"").await;
        assert_eq!((packed.status, packed.header("content-type")), (200, plain.header("content-type")), "{file}");
        assert!(packed.body.len() <= plain.body.len(), "{file}");
    }
    http.get("/docs/nothing.js").await.refusal(404, "NOT_FOUND");
}

#[tokio::test]
async fn without_the_page_the_description_is_still_there() {
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let server = builder.options(|options| options.docs = false).start().await;
    let mut http = server.http().await;
    for path in ["/docs", "/docs/start.js"] {
        assert!(http.get(path).await.refusal(404, "NOT_FOUND").contains("there is nothing at"), "{path}");
    }
    assert_eq!(http.get("/openapi.json").await.status, 200);
}
