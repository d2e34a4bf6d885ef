//! An issuer that changes its keys, and one that does not answer, or not well.

use std::{fs, process::Stdio, sync::Arc, time::Duration};

use resnetd::{
    auth::{OidcOptions, TokenIssuer},
    runtime::scripted::ScriptedExecutor,
    server::{AuthOptions, OpenToAll, grpc::proto::ClassifyStreamRequest},
    telemetry::KeyMetrics,
};
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::{
    grpc_classify::request,
    oidc::{classify, shown},
    support::{
        http::HttpClient,
        issuer::{AUDIENCE, Issuer, Manner, Signer, server},
        keys::{Keys, entry},
        program::{ServerProcess, resnetd},
        server::{TestServer, logits},
    },
};

const HOUR: Duration = Duration::from_secs(3_600);

/// Nobody knows a look is over but whoever asked for it: what it changes is waited for.
async fn status_becomes(http: &mut HttpClient, token: &str, status: u16) {
    let changed = async { while classify(http, token).await.status != status {} };
    let patience = crate::support::PATIENCE;
    assert!(tokio::time::timeout(patience, changed).await.is_ok(), "never {status}");
}

#[tokio::test]
async fn the_first_token_of_a_new_key_is_let_in_and_those_of_a_withdrawn_one_are_not() {
    let (old, new) = (Signer::p256("old"), Signer::ed25519("new"));
    let issuer = Issuer::with(&old).await;
    let server = server(&issuer.options()).0.start().await;
    let (mut http, mut grpc) = (server.http().await, server.grpc().await);
    let [by_old, by_new] = [&old, &new].map(|signer| signer.token(&issuer.claims()));
    let (requests, receiver) = mpsc::channel(8);
    let item = || ClassifyStreamRequest { id: "a".to_owned(), request: Some(request()), timeout_ms: 0 };
    let mut answers = grpc.classify_stream(shown(ReceiverStream::new(receiver), &by_old)).await.unwrap().into_inner();
    requests.send(item()).await.unwrap();
    answers.message().await.unwrap().unwrap();
    assert_eq!(classify(&mut http, &by_old).await.status, 200);

    issuer.publish(&[&old, &new]);
    assert_eq!(classify(&mut http, &by_new).await.status, 200, "it waits for the keys");
    assert_eq!(classify(&mut http, &by_old).await.status, 200);
    issuer.publish(&[&new]);
    let unknown = Signer::p256("unknown").token(&issuer.claims());
    let refused = classify(&mut http, &unknown).await.refusal(401, "UNAUTHENTICATED");
    assert!(refused.contains("does not publish"), "{refused}");

    let refused = classify(&mut http, &by_old).await.refusal(401, "UNAUTHENTICATED");
    assert!(refused.contains("does not publish"), "{refused}");
    requests.send(item()).await.unwrap();
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert!(ended.message().contains("its issuer has withdrawn"), "{ended:?}");
    grpc.classify(shown(request(), &by_new)).await.unwrap();
}

#[tokio::test]
async fn keys_that_nobody_knows_do_not_make_us_ask_again_and_again() {
    let (signer, stranger) = (Signer::p256("p"), Signer::p256("x"));
    let issuer = Issuer::with(&signer).await;
    let server = server(&OidcOptions { min_refresh_interval: HOUR, ..issuer.options() }).0.start().await;
    let mut http = server.http().await;
    assert_eq!(classify(&mut http, &signer.token(&issuer.claims())).await.status, 200);
    for number in 0..20 {
        let token = stranger.signed(&json!({"alg": "ES256", "kid": format!("{number}")}), &issuer.claims());
        classify(&mut http, &token).await.refusal(401, "UNAUTHENTICATED");
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn while_the_issuer_answers_badly_the_keys_from_before_count() {
    let (signer, new) = (Signer::rsa("r"), Signer::ed25519("new"));
    let issuer = Issuer::with(&signer).await;
    let options = OidcOptions { fetch_timeout: Duration::from_secs(1), ..issuer.options() };
    let [by_known, by_new] = [&signer, &new].map(|signer| signer.token(&issuer.claims()));
    for manner in [
        Manner::Hangs,
        Manner::Fails,
        Manner::SendsMegabytes,
        Manner::SendsGarbage,
        Manner::HasNoKeys,
        Manner::Redirects,
    ] {
        issuer.behave(Manner::Answers);
        issuer.publish(&[&signer]);
        let (builder, tokens) = server(&options);
        let server = builder.start().await;
        let mut http = server.http().await;
        status_becomes(&mut http, &by_known, 200).await;
        issuer.behave(manner);
        issuer.publish(&[&signer, &new]);
        // It waits for a look, which brings nothing.
        let answer = classify(&mut http, &by_new).await;
        let refused = answer.refusal(503, "UNAVAILABLE");
        assert!(refused.contains("cannot be had at the moment") && answer.header("retry-after").is_some(), "{refused}");
        let called = server.grpc().await.classify(shown(request(), &by_new)).await.unwrap_err();
        assert_eq!(called.code(), Code::Unavailable, "{manner:?}");
        assert_eq!(classify(&mut http, &by_known).await.status, 200, "{manner:?}");
        issuer.behave(Manner::Answers);
        tokens.look_at_once();
        status_becomes(&mut http, &by_new, 200).await;
    }
}

#[tokio::test]
async fn without_any_keys_tokens_wait_and_keys_of_ours_count() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with(&signer).await;
    issuer.behave(Manner::Fails);
    let keys = Keys::new();
    let key = keys.add(entry("front"));
    let tokens = TokenIssuer::start(&issuer.options(), KeyMetrics::default()).unwrap();
    let auth = AuthOptions { keys: Some(keys.ring()), tokens: Some(tokens), open: OpenToAll::default() };
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let server = builder.options(|options| options.auth = Some(auth)).start().await;
    let mut http = server.http().await;
    let token = signer.token(&issuer.claims());
    classify(&mut http, &token).await.refusal(503, "UNAVAILABLE");
    assert_eq!(classify(&mut http, &key).await.status, 200);
    assert_eq!(http.get("/readyz").await.status, 200);
    issuer.behave(Manner::Answers);
    // Each token asks for a look, and sooner or later one comes back.
    status_becomes(&mut http, &token, 200).await;
}

#[tokio::test]
async fn many_requests_that_wait_for_the_first_keys_are_all_let_in() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with(&signer).await;
    let options = OidcOptions { min_refresh_interval: HOUR, ..issuer.options() };
    let server = server(&options).0.start().await;
    let token: Arc<str> = signer.token(&issuer.claims()).into();
    let ask = |_| {
        let (address, token) = (server.http_address, token.clone());
        tokio::spawn(async move { classify(&mut HttpClient::connect(address).await, &token).await.status })
    };
    let asked: Vec<_> = (0..16).map(ask).collect();
    for answered in asked {
        assert_eq!(answered.await.unwrap(), 200);
    }
    assert_eq!(issuer.asked(), 1);
}

#[tokio::test]
async fn what_is_shown_for_the_keys_is_read_each_time() {
    let (signer, new) = (Signer::ed25519("e"), Signer::ed25519("f"));
    let issuer = Issuer::with(&signer).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "first\n").unwrap();
    let options = OidcOptions { jwks_url: Some(issuer.jwks_url()), token_file: Some(file.clone()), ..issuer.options() };
    let server = server(&options).0.start().await;
    let mut http = server.http().await;
    assert_eq!(classify(&mut http, &signer.token(&issuer.claims())).await.status, 200);
    assert_eq!(issuer.authorization().as_deref(), Some("Bearer first"));
    fs::write(&file, "second\n").unwrap();
    issuer.publish(&[&new]);
    assert_eq!(classify(&mut http, &new.token(&issuer.claims())).await.status, 200);
    assert_eq!(issuer.authorization().as_deref(), Some("Bearer second"));
}

#[tokio::test]
async fn the_program_lets_tokens_in_and_counts_them_by_their_grants() {
    let signer = Signer::rsa("r");
    let issuer = Issuer::with(&signer).await;
    let grants = "[{ name = \"ops\", claim = \"groups\", value = \"ops\", rights = [\"read\"] }]";
    let settings = [
        ("RESNETD__AUTH__OIDC__ISSUER", &*issuer.url),
        ("RESNETD__AUTH__OIDC__AUDIENCES", "[\"resnetd\"]"),
        ("RESNETD__AUTH__OIDC__GRANTS", grants),
    ];
    let process = ServerProcess::start(&settings, Stdio::null()).await;
    let mut http = process.http().await;
    let ops = signer.token(&issuer.claims_with(&json!({"groups": ["ops"], "sub": "carol"})));
    let mut ask = async |token: &str, path: &str| {
        http.request("GET", path, &[("authorization", &*format!("Bearer {token}"))], b"").await
    };
    assert_eq!(ask(&ops, "/v1/models").await.status, 200);
    assert_eq!(ask(&signer.token(&issuer.claims()), "/v1/models").await.status, 200);
    ask(&signer.token(&issuer.claims_with(&json!({"aud": "x"}))), "/v1/models").await.refusal(401, "UNAUTHENTICATED");
    let metrics = String::from_utf8(ask(&ops, "/metrics").await.body).unwrap();
    for line in [
        "resnetd_auth_requests_total{key=\"oidc:ops\",outcome=\"admitted\"} 2",
        "resnetd_auth_requests_total{key=\"oidc\",outcome=\"admitted\"} 1",
        "resnetd_auth_refused_total{reason=\"wrong_audience\"} 1",
        "resnetd_auth_oidc_looks_total{outcome=\"taken\"} 1",
        "resnetd_auth_oidc_signing_keys 1",
    ] {
        assert!(metrics.lines().any(|it| it == line), "{line}: {metrics}");
    }
    assert!(!metrics.contains("carol") && !metrics.contains("alice"), "{metrics}");
}

#[test]
fn an_issuer_that_anybody_could_be_or_without_audience_is_refused_at_the_start() {
    for (name, value, words) in [
        ("ISSUER", "http://id.example", "auth.oidc.issuer"),
        ("ISSUER", "https://id.example", "auth.oidc.audiences"),
        ("AUDIENCES", &*format!("[{AUDIENCE:?}]"), "auth.oidc.issuer"),
    ] {
        let output = resnetd(&["check-config"]).env(format!("RESNETD__AUTH__OIDC__{name}"), value).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(words), "{output:?}");
    }
}
