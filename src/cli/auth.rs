//! Keys and tokens as the commands have them: `serve` follows the file and the issuer, clients read theirs out of a file or the environment, never off
//! the command line, where every user of a machine could see it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use hyper::header::HeaderValue;
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    auth::{KeyRing, Limits, OidcOptions, Right, TokenGrant, TokenIssuer},
    config::{AuthSection, GrantSection, OidcSection, PublicRoute, TokenRight},
    files,
    server::{AuthOptions, OpenToAll},
    telemetry::KeyMetrics,
    tls::ClientTls,
};

/// Where a key may stand in the environment.
const VARIABLE: &str = "RESNETD_API_KEY";

/// A key, or a token with hundreds of groups, and a line's end.
const LONGEST_FILE: u64 = 16 << 10;

/// How a client command shows a key.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ApiKeyArgs {
    /// The server's API key, or a token: a file with nothing else in it [default: RESNETD_API_KEY, where that is set]
    #[arg(long, global = true, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
}

impl ApiKeyArgs {
    /// What to send as `authorization`, where there is a key.
    pub(super) fn authorization(&self) -> anyhow::Result<Option<HeaderValue>> {
        let (key, place) = match &self.api_key_file {
            Some(path) => {
                let place = format!("--api-key-file {}", files::shown(path));
                (files::read_text(path, LONGEST_FILE).with_context(|| place.clone())?, place)
            }
            None => match std::env::var(VARIABLE) {
                Ok(key) if !key.is_empty() => (key, VARIABLE.to_owned()),
                _ => return Ok(None),
            },
        };
        let key = key.trim();
        let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        // Without a word of it: it may be a key with something beside it.
        ensure!(is_key, "{place}: is no key: it should hold one line, as `resnetd keys add` printed it");
        let mut value = HeaderValue::try_from(format!("Bearer {key}"))?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// The keys of a server that runs and the issuer of tokens, where it has any. Clones share them.
#[derive(Clone)]
pub(super) struct FollowedAuth {
    keys: Option<KeyRing>,
    tokens: Option<TokenIssuer>,
}

impl FollowedAuth {
    /// Reads the file, and looks at it again as often as the settings say; the task ends with the runtime. The issuer's keys are read by a thread
    /// of its own, which nobody waits for.
    pub(super) fn start(section: &AuthSection, metrics: KeyMetrics) -> anyhow::Result<Self> {
        let keys = read(section, metrics.clone())?;
        let options = oidc_options(&section.oidc)?;
        let tokens = options.map(|options| TokenIssuer::start(&options, metrics)).transpose();
        let followed = Self { keys, tokens: tokens.context("no thread for [auth.oidc]")? };
        if followed.keys.is_some() && section.reload_interval_ms > 0 {
            let (followed, interval) = (followed.clone(), Duration::from_millis(section.reload_interval_ms));
            tokio::spawn(async move {
                loop {
                    sleep(interval).await;
                    followed.look(KeyRing::look).await;
                }
            });
        }
        Ok(followed)
    }

    pub(super) fn doors(&self, section: &AuthSection) -> Option<AuthOptions> {
        let is_open = |route| section.public.contains(&route);
        let open = OpenToAll {
            live: is_open(PublicRoute::Livez),
            ready: is_open(PublicRoute::Readyz),
            metrics: is_open(PublicRoute::Metrics),
        };
        let (keys, tokens) = (self.keys.clone(), self.tokens.clone());
        (keys.is_some() || tokens.is_some()).then_some(AuthOptions { keys, tokens, open })
    }

    /// What changed is taken now.
    pub(super) async fn look_at_once(&self) {
        if let Some(tokens) = &self.tokens {
            tokens.look_at_once();
        }
        self.look(KeyRing::look_at_once).await;
    }

    /// The disk may not answer for minutes: then nobody else waits, and the next look comes after this one.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&KeyRing) -> T + Send + 'static) {
        if let Some(keys) = self.keys.clone() {
            let _ = spawn_blocking(move || look(&keys)).await;
        }
    }
}

/// Refuses files that `serve` would refuse. The issuer of tokens is not asked.
pub(super) fn check_auth(section: &AuthSection) -> anyhow::Result<()> {
    read(section, KeyMetrics::default())?;
    oidc_options(&section.oidc).map(drop)
}

fn read(section: &AuthSection, metrics: KeyMetrics) -> anyhow::Result<Option<KeyRing>> {
    if !section.has_keys() {
        return Ok(None);
    }
    Ok(Some(KeyRing::read(&section.keys_file, metrics)?))
}

/// Whose tokens count, where any do; with a look at the authorities, which are read again whenever they are needed.
fn oidc_options(section: &OidcSection) -> anyhow::Result<Option<OidcOptions>> {
    if !section.is_on() {
        return Ok(None);
    }
    let set = |path: &PathBuf| Some(path.clone()).filter(|path| !path.as_os_str().is_empty());
    let ca = set(&section.ca);
    ClientTls::trusting("[auth.oidc] ca", ca.as_deref())?;
    let rights = |all: &[TokenRight]| all.iter().map(|right| of_token(*right)).collect::<Vec<_>>();
    let grant = |it: &GrantSection| TokenGrant {
        name: it.name.clone(),
        claim: it.claim.clone(),
        value: it.value.clone(),
        rights: rights(&it.rights),
        models: it.models.clone(),
        limits: Limits {
            requests_per_second: it.requests_per_second,
            images_per_second: it.images_per_second,
            max_in_flight: it.max_in_flight,
        },
    };
    Ok(Some(OidcOptions {
        issuer: section.issuer.clone(),
        audiences: section.audiences.clone(),
        jwks_url: Some(section.jwks_url.clone()).filter(|url| !url.is_empty()),
        ca,
        token_file: set(&section.token_file),
        name_claim: section.name_claim.clone(),
        rights: rights(&section.rights),
        models: section.models.clone(),
        grants: section.grants.iter().map(grant).collect(),
        leeway: Duration::from_millis(section.leeway_ms),
        refresh_interval: Duration::from_millis(section.refresh_interval_ms),
        min_refresh_interval: Duration::from_millis(section.min_refresh_interval_ms),
        fetch_timeout: Duration::from_millis(section.fetch_timeout_ms),
    }))
}

fn of_token(right: TokenRight) -> Right {
    match right {
        TokenRight::Classify => Right::Classify,
        TokenRight::Read => Right::Read,
        TokenRight::Manage => Right::Manage,
    }
}
