//! API keys at the doors: who is let in, for what, how often, and until when.

use std::{fs, os::unix::fs::PermissionsExt as _};

use resnetd::{
    auth::{Caller, KeyEntry, Right},
    runtime::scripted::ScriptedExecutor,
    server::{
        DoorOptions,
        grpc::proto::{
            ClassifyStreamRequest, ListModelsRequest,
            classify_stream_response::Result as Item,
            inference::{RepositoryModelLoadRequest, ServerLiveRequest},
        },
    },
    tls::Look,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request};
use tracing::level_filters::LevelFilter;

use crate::{
    grpc_classify::request,
    support::{
        eventually,
        http::{Answer, HttpClient},
        images,
        kept_log::KeptLog,
        keys::{Keys, entry, wanting, with_rights},
        managed::Managed,
        server::{TestServer, logits},
    },
};

const CLASSIFY: &str = "/v1/models/pets:classify";

async fn get(http: &mut HttpClient, path: &str, key: &str) -> Answer {
    http.request("GET", path, &[("x-api-key", key)], b"").await
}

async fn classify(http: &mut HttpClient, key: &str) -> Answer {
    http.request("POST", CLASSIFY, &[("content-type", "image/png"), ("x-api-key", key)], &images::png()).await
}

/// A message with a key.
fn keyed<T>(message: T, key: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
    request
}

#[tokio::test]
async fn without_a_key_only_what_is_public_is_answered_and_no_body_is_read() {
    let keys = Keys::new();
    let server = keys.server().0.start().await;
    let mut http = server.http().await;
    for path in
        ["/livez", "/readyz", "/v2/health/live", "/v2/health/ready", "/", "/openapi.json", "/page/app.js", "/docs"]
    {
        assert_eq!(http.get(path).await.status, 200, "{path}");
    }
    for path in ["/metrics", "/v1/models", "/v1/models/pets/metadata", "/v2", "/v1/stats", "/no/such/route"] {
        let answer = http.get(path).await;
        let message = answer.refusal(401, "UNAUTHENTICATED");
        assert!(message.contains("authorization: Bearer KEY") && answer.header("www-authenticate").is_some(), "{path}");
    }
    // Of a body of a megabyte nothing has come, and the answer does not wait for it.
    let head =
        format!("POST {CLASSIFY} HTTP/1.1\r\nhost: test\r\ncontent-type: image/png\r\ncontent-length: 1000000\r\n\r\n");
    let mut waiting = server.http().await;
    waiting.send_raw(head.as_bytes()).await;
    waiting.answer("POST").await.refusal(401, "UNAUTHENTICATED");

    let refused = server.grpc().await.classify(request()).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.metadata().get("x-error-code").unwrap().to_str().unwrap()),
        (Code::Unauthenticated, "UNAUTHENTICATED")
    );
    let mut client = Managed::client(server.grpc_address).await;
    assert!(client.server_live(ServerLiveRequest {}).await.unwrap().get_ref().live);
}

#[tokio::test]
async fn a_right_key_is_let_in_by_either_header_at_every_door_and_a_wrong_one_is_not() {
    let keys = Keys::new();
    let key = keys.add(entry("front"));
    let server = keys.server().0.start().await;
    let mut http = server.http().await;
    let bearer = format!("Bearer {key}");
    for (name, value) in [("x-api-key", &*key), ("authorization", &bearer)] {
        let headers = [("content-type", "image/png"), (name, value)];
        let answer = http.request("POST", CLASSIFY, &headers, &images::png()).await;
        assert_eq!(answer.json()["predictions"][0]["classes"][0]["label"], "tabby", "{name}");
    }
    let (cut, longer, upper) = (&key[..key.len() - 1], format!("{key}0"), key.to_uppercase());
    for wrong in ["k", cut, &longer, &upper, &"a".repeat(4_096)] {
        classify(&mut http, wrong).await.refusal(401, "UNAUTHENTICATED");
    }
    for malformed in
        [&[("authorization", "Basic dTpw")][..], &[("x-api-key", &key), ("x-api-key", &key)], &[("x-api-key", "")]]
    {
        http.request("GET", "/v1/models", malformed, b"").await.refusal(401, "UNAUTHENTICATED");
    }

    for address in [server.grpc_address, server.http_address] {
        let mut client = resnetd::server::grpc::proto::classifier_client::ClassifierClient::new(
            crate::support::server::channel(address).await,
        );
        client.classify(keyed(request(), &key)).await.unwrap();
        assert_eq!(client.classify(keyed(request(), cut)).await.unwrap_err().code(), Code::Unauthenticated);
    }
}

#[tokio::test]
async fn a_key_may_what_its_rights_say() {
    let keys = Keys::new();
    let [asks, looks, manages] =
        [Right::Classify, Right::Read, Right::Manage].map(|right| keys.add(with_rights(right.name(), &[right])));
    let server = keys.server().0.start().await;
    let mut http = server.http().await;
    let mut status = async |key: &str, method: &str, path: &str| {
        let headers = [("content-type", "image/png"), ("x-api-key", key)];
        http.request(method, path, &headers, b"").await.status
    };
    let paths = [("GET", "/v1/models"), ("GET", "/metrics"), ("POST", CLASSIFY), ("POST", "/v1/models/pets:load")];
    for (key, expected) in
        [(&asks, [403, 403, 400, 403]), (&looks, [200, 200, 403, 403]), (&manages, [200, 200, 403, 404])]
    {
        for ((method, path), expected) in paths.iter().zip(expected) {
            assert_eq!(status(key, method, path).await, expected, "{key} {path}");
        }
    }
    let mut grpc = server.grpc().await;
    grpc.classify(keyed(request(), &asks)).await.unwrap();
    grpc.list_models(keyed(ListModelsRequest {}, &looks)).await.unwrap();
    let refused = grpc.list_models(keyed(ListModelsRequest {}, &asks)).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    assert!(refused.message().contains("key `classify` may classify, and this needs `read`"), "{refused:?}");
    assert_eq!(grpc.classify(keyed(request(), &looks)).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_path_that_is_written_otherwise_gives_no_further_right() {
    let keys = Keys::new();
    let asks = keys.add(with_rights("asks", &[Right::Classify]));
    let managed =
        Managed::start_with(DoorOptions { auth: Some(wanting(&keys.ring())), ..DoorOptions::default() }).await;
    let mut http = HttpClient::connect(managed.management).await;
    for path in
        ["/v1/models/pets%3Aunload", "/v1/models/pets:unload", "/v1/models/pets:%75nload", "/v1/models/pets:unload/"]
    {
        let answer = http.request("POST", path, &[("x-api-key", &asks)], b"").await;
        assert!([403, 404].contains(&answer.status), "{path}: {}", answer.json());
    }
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);
}

#[tokio::test]
async fn a_key_is_for_its_models_on_every_way_to_them() {
    let keys = Keys::new();
    let models = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let others = keys.add(KeyEntry { models: models(&["birds"]), rights: Right::ALL.to_vec(), ..entry("others") });
    let own = keys.add(KeyEntry { models: models(&["pets", "birds"]), ..entry("own") });
    let server = keys.server().0.start().await;
    let mut http = server.http().await;
    assert_eq!(classify(&mut http, &own).await.status, 200);
    let refused = classify(&mut http, &others).await.refusal(403, "PERMISSION_DENIED");
    assert!(refused.contains("key `others` is not for model `pets`"), "{refused}");
    for path in [
        "/v1/models/pets",
        "/v1/models/pets/metadata",
        "/v2/models/pets",
        "/v2/models/pets/config",
        "/v2/models/pets/stats",
    ] {
        assert_eq!(get(&mut http, path, &own).await.status, 200, "{path}");
        get(&mut http, path, &others).await.refusal(403, "PERMISSION_DENIED");
    }
    for path in ["/v1/models/birds,pets:classify", "/v1/models/birds,pets@3:classify", "/v2/models/pets/infer"] {
        http.request("POST", path, &[("x-api-key", &others)], b"").await.refusal(403, "PERMISSION_DENIED");
    }
    let mut grpc = server.grpc().await;
    grpc.classify(keyed(request(), &own)).await.unwrap();
    assert_eq!(grpc.classify(keyed(request(), &others)).await.unwrap_err().code(), Code::PermissionDenied);
    let named = resnetd::server::grpc::proto::GetModelRequest { name: "pets".to_owned(), ..Default::default() };
    assert_eq!(grpc.get_model(keyed(named, &others)).await.unwrap_err().code(), Code::PermissionDenied);
}

#[tokio::test]
async fn what_is_used_up_is_429_with_the_time_to_come_again() {
    let keys = Keys::new();
    // One in a thousand seconds: how long this test takes does not count.
    let seldom = keys.add(KeyEntry { requests_per_second: 0.001, ..entry("seldom") });
    let few = keys.add(KeyEntry { images_per_second: 0.001, ..entry("few") });
    let server = keys.server().0.start().await;
    let mut http = server.http().await;
    for (key, limit) in [(&seldom, "requests_per_second"), (&few, "images_per_second")] {
        assert_eq!(classify(&mut http, key).await.status, 200, "{limit}");
        let answer = classify(&mut http, key).await;
        let message = answer.refusal(429, "RESOURCE_EXHAUSTED");
        assert!(message.contains(limit), "{message}");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((900..=1_000).contains(&seconds), "{limit}: {seconds}");
    }
    // What looks at no image costs none.
    assert_eq!(get(&mut http, "/v1/models", &few).await.status, 200);
    let refused = server.grpc().await.classify(keyed(request(), &seldom)).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.metadata().get("x-error-code").unwrap().to_str().unwrap()),
        (Code::ResourceExhausted, "RESOURCE_EXHAUSTED")
    );
    assert!(refused.metadata().contains_key("grpc-retry-pushback-ms"));
}

#[tokio::test]
async fn requests_at_a_time_are_counted_until_they_are_answered_or_left() {
    let keys = Keys::new();
    let key = keys.add(KeyEntry { max_in_flight: 1, ..entry("one") });
    let network = ScriptedExecutor::blocked(&logits());
    let server = keys.server_of(network.clone()).0.start().await;
    let headers = [("content-type", "image/png"), ("x-api-key", &*key)];
    let mut waiting = server.http().await;
    waiting.send("POST", CLASSIFY, &headers, &images::png()).await;
    eventually("one is in work", || server.in_flight() == 1).await;
    let mut http = server.http().await;
    let answer = classify(&mut http, &key).await;
    let message = answer.refusal(429, "RESOURCE_EXHAUSTED");
    assert!(message.contains("max_in_flight, 1"), "{message}");
    drop(waiting);
    eventually("it was left", || server.in_flight() == 0).await;
    network.release();
    assert_eq!(classify(&mut http, &key).await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_is_refused_on_connections_and_streams_that_are_open() {
    let keys = Keys::new();
    let key = keys.add(entry("front"));
    let (builder, ring) = keys.server();
    let server = builder.start().await;
    let mut http = server.http().await;
    let mut grpc = server.grpc().await;
    let (requests, receiver) = mpsc::channel(8);
    assert_eq!(classify(&mut http, &key).await.status, 200);
    grpc.classify(keyed(request(), &key)).await.unwrap();
    let mut answers = grpc.classify_stream(keyed(ReceiverStream::new(receiver), &key)).await.unwrap().into_inner();
    let item = || ClassifyStreamRequest { id: "a".to_owned(), request: Some(request()), timeout_ms: 0 };
    requests.send(item()).await.unwrap();
    assert!(matches!(answers.message().await.unwrap().unwrap().result, Some(Item::Response(_))));

    keys.revoke("front");
    assert_eq!((ring.look(), ring.look()), (Look::Settling, Look::Taken));

    classify(&mut http, &key).await.refusal(401, "UNAUTHENTICATED");
    assert_eq!(grpc.classify(keyed(request(), &key)).await.unwrap_err().code(), Code::Unauthenticated);
    requests.send(item()).await.unwrap();
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert!(ended.message().contains("key `front` was revoked"), "{ended:?}");
}

#[tokio::test]
async fn requests_of_a_stream_count_one_by_one() {
    let keys = Keys::new();
    let key = keys.add(KeyEntry { requests_per_second: 0.001, ..entry("front") });
    let server = keys.server().0.start().await;
    let (requests, receiver) = mpsc::channel(8);
    let mut grpc = server.grpc().await;
    let mut answers = grpc.classify_stream(keyed(ReceiverStream::new(receiver), &key)).await.unwrap().into_inner();
    for is_answered in [true, false] {
        requests
            .send(ClassifyStreamRequest { id: "a".to_owned(), request: Some(request()), timeout_ms: 0 })
            .await
            .unwrap();
        match answers.message().await.unwrap().unwrap().result.unwrap() {
            Item::Response(_) => assert!(is_answered),
            Item::Error(error) => {
                assert!(!is_answered && error.message.contains("requests_per_second"), "{error:?}");
                assert!(error.retry_after_ms > 900_000, "{error:?}");
            }
        }
    }
}

#[tokio::test]
async fn operators_need_the_right_to_manage() {
    let keys = Keys::new();
    let [front, ops] = [entry("front"), with_rights("ops", &[Right::Manage])].map(|entry| keys.add(entry));
    let only = keys.add(KeyEntry { models: vec!["pets".to_owned()], ..with_rights("only", &[Right::Manage]) });
    let options = DoorOptions { auth: Some(wanting(&keys.ring())), ..DoorOptions::default() };
    let managed = Managed::start_with(options).await;
    let mut http = HttpClient::connect(managed.management).await;
    let mut ask = async |path: &str, key: &str| http.request("POST", path, &[("x-api-key", key)], b"").await;
    for path in ["/v1/models/birds:load", "/v2/repository/models/birds/load"] {
        ask(path, "").await.refusal(401, "UNAUTHENTICATED");
        ask(path, &front).await.refusal(403, "PERMISSION_DENIED");
        ask(path, &only).await.refusal(403, "PERMISSION_DENIED");
    }
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);
    assert_eq!(ask("/v1/models/birds:load", &ops).await.status, 200);
    let mut client = Managed::client(managed.management).await;
    let load = || RepositoryModelLoadRequest { model_name: "birds".to_owned(), ..Default::default() };
    for (key, code) in
        [("k", Code::Unauthenticated), (&*front, Code::PermissionDenied), (&*only, Code::PermissionDenied)]
    {
        assert_eq!(client.repository_model_load(keyed(load(), key)).await.unwrap_err().code(), code, "{key}");
    }
    client.repository_model_load(keyed(load(), &ops)).await.unwrap();
}

/// On one thread, so that its log is the server's as well.
#[tokio::test]
async fn the_log_has_the_names_of_keys_and_a_line_for_each_change_and_no_key() {
    let kept = KeptLog::up_to(LevelFilter::DEBUG);
    let text = || kept.text();
    let keys = Keys::new();
    let [front, ops] = [entry("front"), with_rights("ops", &[Right::Manage])].map(|entry| keys.add(entry));
    let ring = keys.ring();
    let options = DoorOptions { auth: Some(wanting(&ring)), ..DoorOptions::default() };
    let managed = Managed::start_with(options).await;
    let mut http = HttpClient::connect(managed.management).await;
    assert_eq!(get(&mut http, "/v1/models", &front).await.status, 200);
    assert_eq!(http.request("POST", "/v1/models/birds:load", &[("x-api-key", &ops)], b"").await.status, 200);
    http.request("POST", "/v1/models/fish:unload", &[("x-api-key", &ops)], b"").await.refusal(404, "NOT_FOUND");
    keys.revoke("front");
    let late = keys.add(entry("late"));
    assert_eq!(ring.look_at_once(), Look::Taken);
    get(&mut http, "/v1/models", &front).await.refusal(401, "UNAUTHENTICATED");

    let lines = |parts: &[&str]| text().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
    assert_eq!(lines(&["request=GET /v1/models", "key=\"front\""]), 1, "{}", text());
    assert_eq!(
        lines(&[" audit: ", "change=\"load\" model=\"birds\"", "outcome=\"done\" key=\"ops\"", " address=127.0.0.1:"]),
        1,
        "{}",
        text()
    );
    assert_eq!(
        lines(&[" audit: ", "change=\"unload\" model=\"fish\"", "outcome=\"refused\" key=\"ops\""]),
        1,
        "{}",
        text()
    );
    assert_eq!(lines(&[" audit: ", "a key was revoked", "key=front"]), 1, "{}", text());
    assert_eq!(lines(&[" audit: ", "a key was added", "key=late"]), 1, "{}", text());
    for key in [&front, &ops, &late] {
        assert!(!text().contains(&key[8..]));
    }
}

/// On one thread, so that its log is the server's as well.
#[tokio::test]
async fn a_file_that_others_can_write_by_now_leaves_the_old_keys_and_is_told_of_once() {
    let kept = KeptLog::up_to(LevelFilter::INFO);
    let keys = Keys::new();
    let key = keys.add(entry("front"));
    let (builder, ring) = keys.server();
    let server = builder.start().await;
    let mut http = server.http().await;
    let path = keys.path();
    let change_mode = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    let told = |level: &str| {
        let is_told = |line: &String| line.contains(level) && line.contains(&*path.to_string_lossy());
        kept.lines().into_iter().filter(is_told).collect::<Vec<_>>()
    };

    change_mode(0o666);
    assert_eq!((ring.look(), ring.look(), ring.look()), (Look::Settling, Look::Refused, Look::Refused));
    assert_eq!(classify(&mut http, &key).await.status, 200);
    let errors = told(" ERROR ");
    assert!(errors.len() == 1 && errors[0].contains("(mode 666); chmod go-w"), "{errors:#?}");
    assert!(errors[0].ends_with("until then the keys from before count"), "{errors:#?}");

    // What everybody can only read is taken, and warned of.
    change_mode(0o644);
    assert_eq!((ring.look(), ring.look()), (Look::Settling, Look::Taken));
    let warnings = told(" WARN ");
    assert!(warnings.len() == 1 && warnings[0].contains("(mode 644); chmod o-r"), "{warnings:#?}");
    assert_eq!(told(" ERROR ").len(), 1);
    assert_eq!(classify(&mut http, &key).await.status, 200);
}

#[tokio::test]
async fn the_metrics_count_by_the_names_of_keys() {
    let keys = Keys::new();
    let key = keys.add(KeyEntry { requests_per_second: 0.001, ..entry("front") });
    // Counted among the server's own, so it is there first.
    let plain = TestServer::start().await;
    let ring = keys.ring_of(&plain.service);
    let caller = Caller::Key(ring.find(key.as_bytes()).unwrap());
    let in_use = caller.begin().unwrap();
    caller.begin().unwrap_err();
    caller.images(3).unwrap();
    assert!(ring.find(b"k").is_none());
    ring.note_refused("unknown");
    let text = String::from_utf8(plain.http().await.get("/metrics").await.body).unwrap();
    for line in [
        "resnetd_auth_keys 2",
        "resnetd_auth_requests_total{key=\"front\",outcome=\"admitted\"} 1",
        "resnetd_auth_requests_total{key=\"front\",outcome=\"limited\"} 1",
        "resnetd_auth_images_total{key=\"front\"} 3",
        "resnetd_auth_in_flight_requests{key=\"front\"} 1",
        "resnetd_auth_refused_total{reason=\"unknown\"} 1",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}: {text}");
    }
    drop(in_use);
    keys.revoke("front");
    assert_eq!(ring.look_at_once(), Look::Taken);
    let text = String::from_utf8(plain.http().await.get("/metrics").await.body).unwrap();
    assert!(!text.contains("front") && text.contains("resnetd_auth_reloads_total{outcome=\"taken\"} 1\n"), "{text}");
}

#[tokio::test]
async fn a_page_of_another_origin_may_read_why_it_was_refused() {
    let keys = Keys::new();
    let (builder, _) = keys.server();
    let server = builder.options(|options| options.cors_origins = vec!["https://example.com".to_owned()]).start().await;
    let mut http = server.http().await;
    let origin = ("origin", "https://example.com");
    let answer = http.request("GET", "/v1/models", &[origin], b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (401, Some("https://example.com")));
    let asked = [origin, ("access-control-request-method", "POST"), ("access-control-request-headers", "x-api-key")];
    http.send("OPTIONS", CLASSIFY, &asked, b"").await;
    assert_eq!(http.answer("OPTIONS").await.status, 200);
}
