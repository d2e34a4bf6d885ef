//! What browsers are told of every answer, and which pages may ask.

use resnetd::{
    runtime::scripted::ScriptedExecutor,
    server::{
        DoorOptions,
        grpc::proto::inference::{RepositoryModelLoadRequest, ServerReadyRequest},
    },
};
use tonic::{Code, Request};

use crate::support::{
    http::HttpClient,
    images,
    managed::Managed,
    server::{TestServer, logits},
};

const PAGE: &str = "https://example.com";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_what_its_type_says_and_pages_of_other_places_may_not_read_it() {
    let server = TestServer::with_a_trained_model().await;
    let mut http = server.http().await;
    for (path, status) in [
        ("/livez", 200),
        ("/metrics", 200),
        ("/", 200),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/v1/models", 200),
        ("/v1/models/resnet20-cifar10/architecture.svg", 200),
        ("/v1/models/fish", 404),
        ("/nowhere", 404),
    ] {
        let answer = http.request("GET", path, &[("origin", PAGE), ("accept", "text/html, */*")], b"").await;
        assert_eq!((answer.status, answer.header("x-content-type-options")), (status, Some("nosniff")), "{path}");
        let shared: Vec<_> =
            answer.headers.iter().filter(|(name, _)| name.starts_with("access-control-")).cloned().collect();
        assert!(shared.is_empty(), "{path}: {shared:?}");
        let media = answer.header("content-type").unwrap_or_default();
        let policy = answer.header("content-security-policy").unwrap_or_default();
        let runs = media.starts_with("text/html") || media.starts_with("image/svg");
        assert_eq!(
            policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
            runs,
            "{path}: {policy}"
        );
    }
    // A browser asks before it sends JSON for a page, and is told nothing that lets it.
    let asks = [
        ("origin", PAGE),
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "content-type"),
    ];
    let answer = http.request("OPTIONS", "/v1/models/resnet20-cifar10:classify", &asks, b"").await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (405, None));
    let (route, headers) = ("/v1/models/resnet20-cifar10:classify", [("origin", PAGE), ("content-type", "image/png")]);
    let answer = http.request("POST", route, &headers, &images::png()).await;
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_page_that_is_let_in_may_send_what_programs_send_and_read_what_they_read() {
    let every = |options: &mut DoorOptions| options.cors_origins = vec!["*".to_owned()];
    let named = |options: &mut DoorOptions| options.cors_origins = vec![PAGE.to_owned()];
    let route = "/v1/models/pets:classify";
    // The last ones are of `[limits] fair_by` and of gRPC-Web's metadata. `*` does not stand for `authorization`: a browser that is answered
    // with it, and keeps to the Fetch standard, sends no key.
    for wanted in [
        "authorization, content-type",
        "content-encoding,x-api-key,x-priority,x-request-id",
        "traceparent,x-tenant,x-grpc-web",
    ] {
        for (set, allowed) in [(&every as &dyn Fn(&mut DoorOptions), "*"), (&named, PAGE)] {
            let server = TestServer::builder(ScriptedExecutor::answering(&logits())).options(set).start().await;
            let mut http = server.http().await;
            let asks = [
                ("origin", PAGE),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", wanted),
            ];
            let told = http.request("OPTIONS", route, &asks, b"").await;
            assert_eq!((told.status, told.header("access-control-allow-origin")), (200, Some(allowed)));
            let may = told.header("access-control-allow-headers").unwrap_or_default();
            let named = |name: &str| may.split(',').any(|may| may.trim().eq_ignore_ascii_case(name.trim()));
            assert!(wanted.split(',').all(named), "{wanted}: {may}");
            assert_eq!(told.header("access-control-allow-methods"), Some("*"));
            // Cookies and certificates of the browser stay with it: nothing is asked in the name of whoever sits there.
            assert_eq!(told.header("access-control-allow-credentials"), None);
        }
    }
    let server = TestServer::builder(ScriptedExecutor::answering(&logits())).options(named).start().await;
    let mut http = server.http().await;
    let headers = [("origin", PAGE), ("content-type", "image/png")];
    // Every header of an answer may be read, since no credentials go along: retry-after, server-timing, x-request-id and what comes.
    for (path, status) in [(route, 200), ("/v1/models/fish:classify", 404), ("/nowhere", 404)] {
        let answer = http.request("POST", path, &headers, &images::png()).await;
        let (origin, exposed) = ("access-control-allow-origin", "access-control-expose-headers");
        assert_eq!(
            (answer.status, answer.header(origin), answer.header(exposed)),
            (status, Some(PAGE), Some("*")),
            "{path}"
        );
        assert!(answer.header("x-request-id").is_some() && answer.header("access-control-allow-credentials").is_none());
    }
}

#[tokio::test]
async fn a_page_loads_no_models_unless_its_origin_is_named() {
    let load = async |managed: &Managed, path: &str, origin: &str| {
        HttpClient::connect(managed.management).await.request("POST", path, &[("origin", origin)], b"").await
    };
    let managed = Managed::start().await;
    let own = format!("http://{}", managed.management);
    // That of the address itself is no better: whoever has a name can let it point there.
    for origin in [PAGE, &own, "null"] {
        for path in ["/v1/models/birds:load", "/v1/models/birds:unload", "/v2/repository/models/birds/load"] {
            let said = load(&managed, path, origin).await.refusal(400, "INVALID_ARGUMENT");
            assert!(said.contains(origin) && said.contains("[server] cors_origins"), "{said}");
        }
    }
    for address in [managed.management, managed.http] {
        let mut http = HttpClient::connect(address).await;
        assert_eq!(http.request("GET", "/v1/models", &[("origin", PAGE)], b"").await.status, 200);
    }
    let mut client = Managed::client(managed.management).await;
    let mut request = Request::new(RepositoryModelLoadRequest { model_name: "birds".to_owned(), ..Default::default() });
    request.metadata_mut().insert("origin", PAGE.parse().unwrap());
    let refusal = client.repository_model_load(request).await.unwrap_err();
    assert_eq!(refusal.code(), Code::InvalidArgument, "{refusal:?}");
    assert_eq!(managed.all.answering(), ["pets/1+stable"]);
    // Where clients ask, nothing is changed by asking.
    let mut request = Request::new(ServerReadyRequest {});
    request.metadata_mut().insert("origin", PAGE.parse().unwrap());
    Managed::client(managed.http).await.server_ready(request).await.unwrap();

    let named = DoorOptions { cors_origins: vec![PAGE.to_owned()], ..DoorOptions::default() };
    let managed = Managed::start_with(named).await;
    assert_eq!(load(&managed, "/v1/models/birds:load", PAGE).await.status, 200);
    load(&managed, "/v1/models/birds:unload", "https://example.org").await.refusal(400, "INVALID_ARGUMENT");
    assert_eq!(managed.all.answering(), ["birds/1", "pets/1+stable"]);
}
