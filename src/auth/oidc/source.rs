//! Where an issuer's keys are read from: its own description (OpenID Connect Discovery), and the list of keys (JWKS) that this names. Bounded in
//! bytes and time; no redirect is followed, and what is shown of ours goes to the place that was configured.

use std::{
    fmt::Display,
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::Deserialize;
use ureq::{
    Agent,
    http::{Uri, header},
};

use super::{keys::KeySet, options::OidcOptions};
use crate::{
    files,
    telemetry::escaped,
    tls::{ClientTls, TlsError},
    trust,
};

/// Ten keys with their certificates have 40 KB.
const LARGEST_ANSWER: u64 = 256 << 10;

const LARGEST_TOKEN_FILE: u64 = 16 << 10;

/// Behind an issuer, where its description is.
const DESCRIPTION: &str = "/.well-known/openid-configuration";

/// Where keys are read from.
#[derive(Debug)]
pub(super) struct KeySource {
    issuer: String,
    jwks_url: Option<String>,
    ca: Option<PathBuf>,
    token_file: Option<PathBuf>,
    time_limit: Duration,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum SourceFault {
    #[error("{0}")]
    Tls(#[from] TlsError),
    #[error("[auth.oidc] token_file {file}: cannot be read ({cause}); it holds the token to ask for the keys with")]
    TokenFile { file: String, cause: String },
    #[error("{url} does not answer ({cause})")]
    Unreachable { url: String, cause: String },
    #[error(
        "{url} answers {status}; if the keys are elsewhere, set [auth.oidc] jwks_url, and token_file where it wants a token"
    )]
    Status { url: String, status: u16 },
    #[error("{url} answers with {problem}")]
    Malformed { url: String, problem: String },
    #[error("{url} is of issuer {found:?}: write [auth.oidc] issuer as it stands there, or set jwks_url")]
    OtherIssuer { url: String, found: String },
    #[error("{url} names the keys' place {jwks_uri:?}, which {problem}")]
    Unsafe { url: String, jwks_uri: String, problem: String },
}

/// What of an issuer's description is needed.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl KeySource {
    pub(super) fn new(options: &OidcOptions) -> Self {
        let OidcOptions { issuer, jwks_url, ca, token_file, fetch_timeout, .. } = options.clone();
        Self { issuer, jwks_url, ca, token_file, time_limit: fetch_timeout }
    }

    /// Waits for the network, as long as it may.
    pub(super) fn read(&self) -> Result<KeySet, SourceFault> {
        // Files are read each time: Kubernetes changes both.
        let tls = ClientTls::trusting("[auth.oidc] ca", self.ca.as_deref())?.for_ureq()?;
        let config = Agent::config_builder().tls_config(tls).http_status_as_error(false).max_redirects(0);
        let asking = Asking {
            agent: config.max_idle_connections(0).user_agent("resnetd").build().into(),
            deadline: Instant::now() + self.time_limit,
            authorization: self.authorization()?,
        };
        let (url, is_ours) = match &self.jwks_url {
            Some(url) => (url.clone(), true),
            None => {
                let place = format!("{}{DESCRIPTION}", self.issuer.trim_end_matches('/'));
                let url = self.keys_place(&place, &asking.ask(&place, true)?)?;
                let is_ours = is_same_place(&url, &self.issuer);
                (url, is_ours)
            }
        };
        KeySet::parse(&asking.ask(&url, is_ours)?).map_err(|problem| SourceFault::Malformed { url, problem })
    }

    /// What the description says.
    fn keys_place(&self, place: &str, text: &[u8]) -> Result<String, SourceFault> {
        let url = place.to_owned();
        let Ok(Description { issuer, jwks_uri }) = serde_json::from_slice(text) else {
            let problem = "no JSON with `issuer` and `jwks_uri`".to_owned();
            return Err(SourceFault::Malformed { url, problem });
        };
        if issuer != self.issuer {
            return Err(SourceFault::OtherIssuer { url, found: cut(&issuer) });
        }
        match trust::url_problem(&jwks_uri) {
            Some(problem) => Err(SourceFault::Unsafe { url, jwks_uri: cut(&jwks_uri), problem }),
            None => Ok(jwks_uri),
        }
    }

    fn authorization(&self) -> Result<Option<String>, SourceFault> {
        let Some(path) = &self.token_file else { return Ok(None) };
        let unread =
            |cause: &dyn Display| SourceFault::TokenFile { file: files::shown(path), cause: cause.to_string() };
        let text = files::read_text(path, LARGEST_TOKEN_FILE).map_err(|cause| unread(&cause))?;
        let token = text.trim();
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Some(format!("Bearer {token}"))),
            false => Err(unread(&"it should hold one line, a token")),
        }
    }
}

/// One look, which may take so long altogether.
struct Asking {
    agent: Agent,
    deadline: Instant,
    authorization: Option<String>,
}

impl Asking {
    /// * `is_ours`: the place may be shown our token
    fn ask(&self, url: &str, is_ours: bool) -> Result<Vec<u8>, SourceFault> {
        let unreachable = |cause: ureq::Error| match cause {
            ureq::Error::BodyExceedsLimit(limit) => {
                SourceFault::Malformed { url: url.to_owned(), problem: format!("more than {limit} bytes") }
            }
            cause => SourceFault::Unreachable { url: url.to_owned(), cause: cut(&cause.to_string()) },
        };
        let left = self.deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut request = self.agent.get(url).header(header::ACCEPT, "application/json");
        if let Some(token) = self.authorization.as_ref().filter(|_| is_ours) {
            request = request.header(header::AUTHORIZATION, token);
        }
        let mut answer = request.config().timeout_global(Some(left)).build().call().map_err(unreachable)?;
        if answer.status() != 200 {
            return Err(SourceFault::Status { url: url.to_owned(), status: answer.status().as_u16() });
        }
        answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_vec().map_err(unreachable)
    }
}

/// Whether both are of one scheme, host and port.
fn is_same_place(one: &str, other: &str) -> bool {
    let place = |url: &str| {
        let url: Uri = url.parse().ok()?;
        Some((url.scheme_str()?.to_owned(), url.host()?.to_ascii_lowercase(), url.port_u16()))
    };
    place(one).is_some_and(|one| place(other) == Some(one))
}

/// What others have written, for a line of log.
fn cut(text: &str) -> String {
    escaped(&text.chars().take(200).collect::<String>()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_of_ours_is_shown_at_one_place() {
        assert!(is_same_place("https://id.example/a", "https://ID.example/b"));
        for (one, other) in [
            ("https://id.example/a", "http://id.example/a"),
            ("https://id.example/a", "https://id.example.evil/a"),
            ("https://id.example/a", "https://id.example:444/a"),
            ("https://id.example@evil.example/a", "https://id.example/a"),
            ("/a", "/a"),
        ] {
            assert!(!is_same_place(one, other), "{one} {other}");
        }
    }
}
