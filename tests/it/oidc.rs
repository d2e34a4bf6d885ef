//! Tokens of an issuer at the doors: who is let in, for what, and until when.

use std::time::Duration;

use resnetd::{
    auth::{Limits, OidcOptions, Right, TokenGrant, all_models},
    runtime::scripted::ScriptedExecutor,
    server::{
        AuthOptions, OpenToAll,
        grpc::proto::{
            ClassifyStreamRequest, ListModelsRequest, classifier_client::ClassifierClient,
            classify_stream_response::Result as Item,
        },
    },
};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Request, Status, transport::Channel};
use tracing::level_filters::LevelFilter;

use crate::{
    grpc_classify::request,
    support::{
        http::{Answer, HttpClient},
        images,
        issuer::{AUDIENCE, Issuer, Signer, encoded, forged_with, now, server},
        kept_log::KeptLog,
        keys::{Keys, entry},
        server::{TestServer, logits},
    },
};

const CLASSIFY: &str = "/v1/models/pets:classify";

pub(crate) async fn classify(http: &mut HttpClient, token: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let headers = [("content-type", "image/png"), ("authorization", &*bearer)];
    http.request("POST", CLASSIFY, &headers, &images::png()).await
}

async fn get(http: &mut HttpClient, path: &str, token: &str) -> Answer {
    http.request("GET", path, &[("authorization", &*format!("Bearer {token}"))], b"").await
}

/// A message with a token.
pub(crate) fn shown<T>(message: T, token: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

async fn call(grpc: &mut ClassifierClient<Channel>, token: &str) -> Result<(), Box<Status>> {
    grpc.classify(shown(request(), token)).await.map(drop).map_err(Box::new)
}

fn grant(name: &str, claim: &str, value: &str, rights: &[Right]) -> TokenGrant {
    TokenGrant {
        name: name.to_owned(),
        claim: claim.to_owned(),
        value: value.to_owned(),
        rights: rights.to_vec(),
        models: all_models(),
        limits: Limits::default(),
    }
}

#[tokio::test]
async fn a_token_of_the_issuer_is_let_in_at_both_doors_whatever_it_is_signed_with() {
    let signers = [Signer::rsa("r"), Signer::p256("p"), Signer::p384("q"), Signer::ed25519("e")];
    let issuer = Issuer::start().await;
    issuer.publish(&signers.each_ref());
    let options = OidcOptions { min_refresh_interval: Duration::from_secs(3_600), ..issuer.options() };
    let server = server(&options).0.start().await;
    let (mut http, mut grpc) = (server.http().await, server.grpc().await);
    let by = |signer: &Signer| signer.token(&issuer.claims());
    let mut tokens: Vec<_> = signers.iter().map(by).collect();
    for algorithm in ["RS384", "RS512", "PS256", "PS384", "PS512"] {
        tokens.push(signers[0].token_by(algorithm, &issuer.claims()));
    }
    tokens.push(signers[1].token(&issuer.claims_with(&json!({"aud": ["other", AUDIENCE], "nbf": now() - 1.0}))));
    // The one key that is for this algorithm, though it is not named.
    tokens.push(signers[3].signed(&json!({"alg": "EdDSA"}), &issuer.claims()));
    for token in &tokens {
        assert_eq!(classify(&mut http, token).await.status, 200, "{token}");
        call(&mut grpc, token).await.unwrap();
    }
    assert_eq!(issuer.asked(), 1);
    let by_key_header = http.request("GET", "/v1/models", &[("x-api-key", &*tokens[0])], b"").await;
    assert_eq!(by_key_header.status, 200);
    let none = http.request("GET", "/v1/models", &[], b"").await;
    let message = none.refusal(401, "UNAUTHENTICATED");
    assert!(message.contains("a token is wanted: send `authorization: Bearer TOKEN`"), "{message}");
    let no_token = get(&mut http, "/v1/models", "resnetd_k").await.refusal(401, "UNAUTHENTICATED");
    assert!(no_token.contains("no token"), "{no_token}");
    assert_eq!(http.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_token_with_anything_wrong_is_refused_with_what_it_is() {
    let (signer, stranger) = (Signer::rsa("r"), Signer::ed25519("r"));
    let issuer = Issuer::with(&signer).await;
    let server = server(&issuer.options()).0.start().await;
    let (mut http, mut grpc) = (server.http().await, server.grpc().await);
    let saying = |others: Value| signer.token(&issuer.claims_with(&others));
    let good = signer.token(&issuer.claims());
    let [header, claims, signature] = <[&str; 3]>::try_from(good.split('.').collect::<Vec<_>>()).unwrap();
    let root = encoded(issuer.claims_with(&json!({"sub": "root"})).to_string());
    let unsigned = |algorithm: &str| format!("{}.{claims}.", encoded(json!({"alg": algorithm}).to_string()));
    let (hmac, jwk) = (json!({"alg": "HS256", "kid": "r"}), signer.jwk());
    let modulus = jwk["n"].as_str().unwrap().to_owned();
    let own_key = json!({"alg": "EdDSA", "jwk": stranger.jwk()});
    for (token, words) in [
        (saying(json!({"aud": "other"})), "(`aud`)"),
        (saying(json!({"aud": null})), "(`aud`)"),
        (saying(json!({"iss": "https://evil.example"})), "(`iss`)"),
        (saying(json!({"iss": format!("{}/", issuer.url)})), "(`iss`)"),
        (saying(json!({"exp": now() - 1.0})), "expired"),
        (saying(json!({"exp": null})), "no `exp`"),
        (saying(json!({"exp": "4000000000"})), "no number"),
        (saying(json!({"nbf": now() + 60.0})), "not valid yet"),
        (saying(json!({"iat": now() + 60.0})), "not valid yet"),
        (saying(json!({"sub": null})), "whose it is"),
        (unsigned("none"), "signed in a way"),
        (unsigned("NONE"), "signed in a way"),
        (format!("{header}.{claims}."), "does not fit"),
        (forged_with(modulus.as_bytes(), &hmac, &issuer.claims()), "signed in a way"),
        (forged_with(jwk.to_string().as_bytes(), &hmac, &issuer.claims()), "signed in a way"),
        (forged_with(modulus.as_bytes(), &json!({"alg": "RS256", "kid": "r"}), &issuer.claims()), "does not fit"),
        (format!("{header}.{root}.{signature}"), "does not fit"),
        (stranger.token(&issuer.claims()), "does not fit"),
        (stranger.token_by("RS256", &issuer.claims()), "does not fit"),
        (stranger.signed(&own_key, &issuer.claims()), "does not publish"),
        (signer.signed(&json!({"alg": "RS256", "kid": "r", "crit": ["exp"]}), &issuer.claims()), "`crit`"),
        (good[..good.len() - 2].to_owned(), "does not fit"),
        (good[1..].to_owned(), "no token"),
        (good.replacen('e', "e!", 1), "no token"),
        (format!("{good}.{signature}"), "no token"),
    ] {
        let refused = classify(&mut http, &token).await.refusal(401, "UNAUTHENTICATED");
        assert!(refused.contains(words), "{token}: {refused}");
        let refused = call(&mut grpc, &token).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{token}: {refused:?}");
        assert!(refused.message().contains(words), "{token}: {refused:?}");
        assert!(!refused.message().contains(&token[token.len() - 12..]), "{refused:?}");
    }
    assert_eq!(classify(&mut http, &good).await.status, 200);
}

#[tokio::test]
async fn claims_say_what_somebody_may_and_for_which_models() {
    let signer = Signer::p256("p");
    let issuer = Issuer::with(&signer).await;
    let birds = TokenGrant { models: vec!["birds".to_owned()], ..grant("birds", "groups", "birds", &Right::ALL) };
    let options = OidcOptions {
        rights: Vec::new(),
        grants: vec![
            birds,
            grant("ops", "/realm_access/roles", "ops", &[Right::Manage]),
            grant("scoped", "scope", "vision.classify", &[Right::Classify]),
            grant("alice", "sub", "alice", &[Right::Read]),
        ],
        ..issuer.options()
    };
    let server = server(&options).0.start().await;
    let (mut http, mut grpc) = (server.http().await, server.grpc().await);
    let saying = |others: Value| signer.token(&issuer.claims_with(&others));
    for (claims, classifies, lists) in [
        (json!({"groups": ["x", "birds"]}), Err("is not for model `pets`"), Ok(())),
        (json!({"realm_access": {"roles": ["ops"]}}), Err("may manage"), Ok(())),
        (json!({"scope": "openid vision.classify"}), Ok(()), Err("this needs `read`")),
        (json!({}), Err("token `oidc:alice` may read, and this needs `classify`"), Ok(())),
        (json!({"sub": "bob"}), Err("a grant"), Err("a grant")),
        (json!({"sub": "bob", "groups": "x birds"}), Err("a grant"), Err("a grant")),
    ] {
        let token = saying(claims.clone());
        let listed = get(&mut http, "/v1/models", &token).await;
        for (answer, expected) in [(classify(&mut http, &token).await, classifies), (listed, lists)] {
            match expected {
                Ok(()) => assert_eq!(answer.status, 200, "{claims}"),
                Err(words) => {
                    let message = answer.refusal(403, "PERMISSION_DENIED");
                    assert!(message.contains(words), "{claims}: {message}");
                }
            }
        }
        let listed = grpc.list_models(shown(ListModelsRequest {}, &token)).await.map(drop);
        assert_eq!(listed.map_err(|status| status.code()), lists.map_err(|_| Code::PermissionDenied), "{claims}");
        let called = call(&mut grpc, &token).await.map_err(|status| status.code());
        assert_eq!(called, classifies.map_err(|_| Code::PermissionDenied), "{claims}");
    }
}

#[tokio::test]
async fn a_grants_limits_are_those_of_all_who_come_by_it() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with(&signer).await;
    // One in a thousand seconds: how long this test takes does not count.
    let limits = Limits { requests_per_second: 0.001, ..Limits::default() };
    let seldom = TokenGrant { limits, ..grant("seldom", "groups", "seldom", &Right::ALL) };
    let server = server(&OidcOptions { grants: vec![seldom], ..issuer.options() }).0.start().await;
    let mut http = server.http().await;
    let of = |name: &str, group: &str| signer.token(&issuer.claims_with(&json!({"sub": name, "groups": [group]})));
    assert_eq!(classify(&mut http, &of("alice", "seldom")).await.status, 200);
    let refused = classify(&mut http, &of("bob", "seldom")).await.refusal(429, "RESOURCE_EXHAUSTED");
    assert!(refused.contains("token `oidc:bob` has used up its requests_per_second"), "{refused}");
    assert_eq!(classify(&mut http, &of("bob", "other")).await.status, 200);
}

#[tokio::test]
async fn a_token_that_expires_is_refused_on_connections_and_streams_that_are_open() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with(&signer).await;
    let server = server(&issuer.options()).0.start().await;
    let (mut http, mut grpc) = (server.http().await, server.grpc().await);
    // Waits for the keys, so that what follows is quick.
    let lasting = signer.token(&issuer.claims());
    assert_eq!(classify(&mut http, &lasting).await.status, 200);

    let (requests, receiver) = mpsc::channel(8);
    let expires = now() + 3.0;
    let token = signer.token(&issuer.claims_with(&json!({"exp": expires})));
    let mut answers = grpc.classify_stream(shown(ReceiverStream::new(receiver), &token)).await.unwrap().into_inner();
    let item = || ClassifyStreamRequest { id: "a".to_owned(), request: Some(request()), timeout_ms: 0 };
    requests.send(item()).await.unwrap();
    let first = answers.message().await.unwrap().unwrap();
    assert!(matches!(first.result, Some(Item::Response(_))), "{first:?}");
    let mut last = classify(&mut http, &token).await;
    assert_eq!(last.status, 200);
    while last.status == 200 {
        last = classify(&mut http, &token).await;
    }
    assert!(now() >= expires, "not before");
    assert!(last.refusal(401, "UNAUTHENTICATED").contains("expired"));
    assert_eq!(call(&mut grpc, &token).await.unwrap_err().code(), Code::Unauthenticated);
    requests.send(item()).await.unwrap();
    let ended = answers.message().await.unwrap_err();
    assert_eq!(ended.code(), Code::Unauthenticated);
    assert!(ended.message().contains("token `oidc:alice` has expired"), "{ended:?}");
    assert_eq!(classify(&mut http, &lasting).await.status, 200);
}

#[tokio::test]
async fn keys_and_tokens_are_let_in_side_by_side() {
    let signer = Signer::ed25519("e");
    let issuer = Issuer::with(&signer).await;
    let keys = Keys::new();
    let key = keys.add(entry("front"));
    let tokens = server(&issuer.options()).1;
    let auth = AuthOptions { keys: Some(keys.ring()), tokens: Some(tokens), open: OpenToAll::default() };
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    let server = builder.options(|options| options.auth = Some(auth)).start().await;
    let mut http = server.http().await;
    assert_eq!(classify(&mut http, &key).await.status, 200);
    assert_eq!(classify(&mut http, &signer.token(&issuer.claims())).await.status, 200);
    let refused = classify(&mut http, "resnetd_other").await.refusal(401, "UNAUTHENTICATED");
    assert!(refused.contains("this key is not known"), "{refused}");
    let refused = http.request("GET", "/v1/models", &[], b"").await.refusal(401, "UNAUTHENTICATED");
    assert!(refused.contains("a key or a token is wanted"), "{refused}");
    let malformed = http.request("GET", "/v1/models", &[("authorization", "Basic dTpw")], b"").await;
    let refused = malformed.refusal(401, "UNAUTHENTICATED");
    assert!(
        refused.contains("is not a key or a token: send one `authorization: Bearer KEY` or one `x-api-key"),
        "{refused}"
    );
}

/// On one thread, so that its log is the server's as well.
#[tokio::test]
async fn the_log_has_who_a_token_says_it_is_and_no_token() {
    let kept = KeptLog::up_to(LevelFilter::DEBUG);
    let signer = Signer::p256("p");
    let issuer = Issuer::with(&signer).await;
    let server = server(&issuer.options()).0.start().await;
    let mut http = server.http().await;
    let forger = "root\nkey=\"front\" \u{202e}";
    let tokens = ["alice", forger].map(|name| signer.token(&issuer.claims_with(&json!({"sub": name}))));
    for token in &tokens {
        assert_eq!(get(&mut http, "/v1/models", token).await.status, 200);
    }
    let expired = signer.token(&issuer.claims_with(&json!({"exp": now() - 1.0})));
    get(&mut http, "/v1/models", &expired).await.refusal(401, "UNAUTHENTICATED");
    let text = kept.text();
    let lines = |part: &str| text.lines().filter(|line| line.contains(part)).count();
    assert_eq!((lines("key=\"oidc:alice\""), lines("oidc:root")), (1, 1), "{text}");
    assert!(!text.contains("\nkey=") && !text.contains('\u{202e}'), "{text}");
    for token in tokens.iter().chain([&expired]) {
        let (_, signature) = token.rsplit_once('.').unwrap();
        assert!(!text.contains(signature) && !text.contains(&token[..40]), "{text}");
    }
}
