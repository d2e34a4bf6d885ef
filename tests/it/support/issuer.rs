//! An issuer of tokens on port 0: it signs what a test says, with keys that it publishes or does not, and answers as well or as badly as it is told.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, header, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use resnetd::{
    auth::{OidcOptions, TokenIssuer, all_models, usual_rights},
    runtime::scripted::ScriptedExecutor,
    server::{AuthOptions, OpenToAll},
    telemetry::KeyMetrics,
};
use ring::{
    rand::SystemRandom,
    rsa::{KeyPairComponents, PublicKeyComponents},
    signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RsaKeyPair},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::server::{Builder, TestServer, logits};

/// Whom its tokens are for.
pub(crate) const AUDIENCE: &str = "resnetd";

/// What is done with a request for the keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Answers,
    Hangs,
    Fails,
    SendsMegabytes,
    SendsGarbage,
    HasNoKeys,
    Redirects,
}

/// An issuer; its server ends with the test's runtime.
pub(crate) struct Issuer {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

struct State {
    manner: Manner,
    keys: Vec<Value>,
    asked: usize,
    authorization: Option<String>,
}

impl Issuer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/realms/main", listener.local_addr().expect("an address"));
        let state = State { manner: Manner::Answers, keys: Vec::new(), asked: 0, authorization: None };
        let issuer = Self { url: url.clone(), state: Arc::new(Mutex::new(state)) };
        let state = issuer.state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (state, url) = (state.clone(), url.clone());
                let answer = service_fn(move |request| answer(request, url.clone(), state.clone()));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        issuer
    }

    /// The same with one key that it publishes.
    pub(crate) async fn with(signer: &Signer) -> Self {
        let issuer = Self::start().await;
        issuer.publish(&[signer]);
        issuer
    }

    /// What it publishes from now on.
    pub(crate) fn publish(&self, signers: &[&Signer]) {
        self.state().keys = signers.iter().map(|signer| signer.jwk()).collect();
    }

    pub(crate) fn behave(&self, manner: Manner) {
        self.state().manner = manner;
    }

    /// How often its keys were asked for.
    pub(crate) fn asked(&self) -> usize {
        self.state().asked
    }

    /// What was shown when its keys were asked for last.
    pub(crate) fn authorization(&self) -> Option<String> {
        self.state().authorization.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn jwks_url(&self) -> String {
        format!("{}/keys", self.url)
    }

    /// Whose tokens count, with no leeway, and a look for each key that nobody knows.
    pub(crate) fn options(&self) -> OidcOptions {
        OidcOptions {
            issuer: self.url.clone(),
            audiences: vec![AUDIENCE.to_owned()],
            jwks_url: None,
            ca: None,
            token_file: None,
            name_claim: "sub".to_owned(),
            rights: usual_rights(),
            models: all_models(),
            grants: Vec::new(),
            leeway: Duration::ZERO,
            refresh_interval: Duration::from_secs(3_600),
            min_refresh_interval: Duration::ZERO,
            fetch_timeout: Duration::from_secs(10),
        }
    }

    /// What a token of alice's says, for an hour.
    pub(crate) fn claims(&self) -> Value {
        json!({"iss": self.url, "aud": AUDIENCE, "sub": "alice", "iat": now() - 1.0, "exp": now() + 3_600.0})
    }

    /// The same with other claims in it; `null` takes one out.
    pub(crate) fn claims_with(&self, others: &Value) -> Value {
        let mut claims = self.claims();
        let (all, others) = (claims.as_object_mut().expect("an object"), others.as_object().expect("an object"));
        for (name, value) in others {
            match value {
                Value::Null => all.remove(name),
                value => all.insert(name.clone(), value.clone()),
            };
        }
        claims
    }
}

pub(crate) fn now() -> f64 {
    SystemTime::UNIX_EPOCH.elapsed().expect("a clock").as_secs_f64()
}

/// A server that wants a token, with the probes open.
pub(crate) fn server(options: &OidcOptions) -> (Builder, TokenIssuer) {
    let tokens = TokenIssuer::start(options, KeyMetrics::default()).expect("a thread");
    let auth = AuthOptions { keys: None, tokens: Some(tokens.clone()), open: OpenToAll::default() };
    let builder = TestServer::builder(ScriptedExecutor::answering(&logits()));
    (builder.options(|options| options.auth = Some(auth)), tokens)
}

async fn answer(
    request: Request<Incoming>,
    url: String,
    state: Arc<Mutex<State>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (manner, keys) = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if request.uri().path() == "/realms/main/keys" {
            state.asked += 1;
            let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
            state.authorization = shown.map(str::to_owned);
        }
        (state.manner, json!({"keys": state.keys}).to_string())
    };
    let answer = |status: u16, body: String| {
        Response::builder().status(status).body(Full::new(Bytes::from(body))).expect("an answer")
    };
    Ok(match (request.uri().path(), manner) {
        ("/realms/main/.well-known/openid-configuration", _) => {
            answer(200, json!({"issuer": url, "jwks_uri": format!("{url}/keys")}).to_string())
        }
        ("/realms/main/keys", Manner::Answers) | ("/realms/main/elsewhere", _) => answer(200, keys),
        (_, Manner::Hangs) => std::future::pending().await,
        (_, Manner::Fails) => answer(500, keys),
        (_, Manner::SendsMegabytes) => answer(200, format!("{}{keys}", " ".repeat(1 << 20))),
        (_, Manner::SendsGarbage) => answer(200, "<html>it works</html>".to_owned()),
        (_, Manner::HasNoKeys) => answer(200, json!({"keys": []}).to_string()),
        (_, Manner::Redirects) => {
            let mut answer = answer(302, keys);
            answer.headers_mut().insert(header::LOCATION, format!("{url}/elsewhere").parse().expect("a place"));
            answer
        }
        (_, Manner::Answers) => answer(404, String::new()),
    })
}

/// A key pair, and what its owner calls it.
pub(crate) struct Signer {
    id: String,
    key: Pair,
}

enum Pair {
    /// Of RFC 7515, A.2: no secret of anybody's, and ring makes no such keys.
    Rsa(Box<RsaKeyPair>),
    P256(Box<EcdsaKeyPair>),
    P384(Box<EcdsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

const N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const D: &str = "Eq5xpGnNCivDflJsRQBXHx1hdR1k6Ulwe2JZD50LpXyWPEAeP88vLNO97IjlA7_GQ5sLKMgvfTeXZx9SE-7YwVol2NXOoAJe46sui395IW_GO-pWJ1O0BkTGoVEn2bKVRUCgu-GjBVaYLU6f3l9kJfFNS3E0QbVdxzubSu3Mkqzjkn439X0M_V51gfpRLI9JYanrC4D4qAdGcopV_0ZHHzQlBjudU2QvXt4ehNYTCBr6XCLQUShb1juUO1ZdiYoFaFQT5Tw8bGUl_x_jTj3ccPDVZFD9pIuhLhBOneufuBiB4cS98l2SR_RQyGWSeWjnczT0QU91p1DhOVRuOopznQ";
const P: &str = "4BzEEOtIpmVdVEZNCqS7baC4crd0pqnRH_5IB3jw3bcxGn6QLvnEtfdUdiYrqBdss1l58BQ3KhooKeQTa9AB0Hw_Py5PJdTJNPY8cQn7ouZ2KKDcmnPGBY5t7yLc1QlQ5xHdwW1VhvKn-nXqhJTBgIPgtldC-KDV5z-y2XDwGUc";
const Q: &str = "uQPEfgmVtjL0Uyyx88GZFF1fOunH3-7cepKmtH4pxhtCoHqpWmT8YAmZxaewHgHAjLYsp1ZSe7zFYHj7C6ul7TjeLQeZD_YwD66t62wDmpe_HlB-TnBA-njbglfIsRLtXlnDzQkv5dTltRJ11BKBBypeeF6689rjcJIDEz9RWdc";
const D_P: &str = "BwKfV3Akq5_MFZDFZCnW-wzl-CCo83WoZvnLQwCTeDv8uzluRSnm71I3QCLdhrqE2e9YkxvuxdBfpT_PI7Yz-FOKnu1R6HsJeDCjn12Sk3vmAktV2zb34MCdy7cpdTh_YVr7tss2u6vneTwrA86rZtu5Mbr1C1XsmvkxHQAdYo0";
const D_Q: &str = "h_96-mK1R_7glhsum81dZxjTnYynPbZpHziZjeeHcXYsXaaMwkOlODsWa7I9xXDoRwbKgB719rrmI2oKr6N3Do9U0ajaHF-NKJnwgjMd2w9cjz3_-kyNlxAr2v4IKhGNpmM5iIgOS1VZnOZ68m6_pbLBSp3nssTdlqvd0tIiTHU";
const Q_INV: &str = "IYd7DHOhrWvxkwPQsRM2tOgrjbcrfvtQJipd-DlcxyVuuM9sQLdgjVk2oy26F0EmpScGLq2MowX7fhd_QJQ3ydy5cY7YIBi87w93IKLEdfnbJtoOPLUW0ITrJReOgo1cq9SbsxYawBgfp_gh6A5603k2-ZQwVK0JKSHuLFkuQ3U";

fn number(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("a number")
}

pub(crate) fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Signer {
    pub(crate) fn rsa(id: &str) -> Self {
        let public_key = PublicKeyComponents { n: number(N), e: vec![1, 0, 1] };
        let [d, p, q, d_p, d_q, q_inv] = [D, P, Q, D_P, D_Q, Q_INV].map(number);
        let pair = KeyPairComponents { public_key, d, p, q, dP: d_p, dQ: d_q, qInv: q_inv };
        Self { id: id.to_owned(), key: Pair::Rsa(Box::new(RsaKeyPair::from_components(&pair).expect("a key"))) }
    }

    pub(crate) fn p256(id: &str) -> Self {
        let (chance, algorithm) = (SystemRandom::new(), &signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let secret = EcdsaKeyPair::generate_pkcs8(algorithm, &chance).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, secret.as_ref(), &chance).expect("a key");
        Self { id: id.to_owned(), key: Pair::P256(Box::new(pair)) }
    }

    pub(crate) fn p384(id: &str) -> Self {
        let (chance, algorithm) = (SystemRandom::new(), &signature::ECDSA_P384_SHA384_FIXED_SIGNING);
        let secret = EcdsaKeyPair::generate_pkcs8(algorithm, &chance).expect("a key");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, secret.as_ref(), &chance).expect("a key");
        Self { id: id.to_owned(), key: Pair::P384(Box::new(pair)) }
    }

    pub(crate) fn ed25519(id: &str) -> Self {
        let secret = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self { id: id.to_owned(), key: Pair::Ed25519(Ed25519KeyPair::from_pkcs8(secret.as_ref()).expect("a key")) }
    }

    /// The public one, as JWKS have it.
    pub(crate) fn jwk(&self) -> Value {
        let point = |curve: &str, key: &[u8]| {
            let (x, y) = key[1..].split_at(key.len() / 2);
            json!({"kty": "EC", "crv": curve, "x": encoded(x), "y": encoded(y)})
        };
        let mut jwk = match &self.key {
            Pair::Rsa(_) => json!({"kty": "RSA", "n": N, "e": "AQAB"}),
            Pair::P256(pair) => point("P-256", pair.public_key().as_ref()),
            Pair::P384(pair) => point("P-384", pair.public_key().as_ref()),
            Pair::Ed25519(pair) => json!({"kty": "OKP", "crv": "Ed25519", "x": encoded(pair.public_key())}),
        };
        (jwk["kid"], jwk["use"]) = (json!(self.id), json!("sig"));
        jwk
    }

    /// A token with what the key is mostly used for.
    pub(crate) fn token(&self, claims: &Value) -> String {
        let algorithm = match &self.key {
            Pair::Rsa(_) => "RS256",
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        };
        self.token_by(algorithm, claims)
    }

    pub(crate) fn token_by(&self, algorithm: &str, claims: &Value) -> String {
        self.signed(&json!({"alg": algorithm, "kid": self.id, "typ": "JWT"}), claims)
    }

    /// A token with a header of the test's own; signed as its `alg` says.
    pub(crate) fn signed(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
        let (bytes, chance) = (message.as_bytes(), SystemRandom::new());
        let signature = match &self.key {
            Pair::Rsa(pair) => {
                let padding: &'static dyn signature::RsaEncoding = match header["alg"].as_str().expect("a name") {
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    "PS512" => &signature::RSA_PSS_SHA512,
                    _ => &signature::RSA_PKCS1_SHA256,
                };
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(padding, &chance, bytes, &mut signature).expect("a signature");
                signature
            }
            Pair::P256(pair) | Pair::P384(pair) => pair.sign(&chance, bytes).expect("a signature").as_ref().to_vec(),
            Pair::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(signature))
    }
}

/// What an attacker makes of a public key: a token whose HMAC has that for its secret.
pub(crate) fn forged_with(public_key: &[u8], header: &Value, claims: &Value) -> String {
    use ring::hmac;
    let message = format!("{}.{}", encoded(header.to_string()), encoded(claims.to_string()));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, public_key), message.as_bytes());
    format!("{message}.{}", encoded(tag))
}
