//! Keys as the commands have them: `serve` follows their file, clients read theirs out of a file or the environment, never off the command line,
//! where every user of a machine could see it.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context as _, ensure};
use hyper::header::HeaderValue;
use tokio::{task::spawn_blocking, time::sleep};

use crate::{
    auth::KeyRing,
    config::{AuthSection, PublicRoute},
    files,
    server::{AuthOptions, OpenToAll},
    telemetry::KeyMetrics,
};

/// Where a key may stand in the environment.
const VARIABLE: &str = "RESNETD_API_KEY";

/// A key and a line's end.
const LONGEST_FILE: u64 = 4096;

/// How a client command shows a key.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ApiKeyArgs {
    /// The server's API key: a file with nothing else in it [default: RESNETD_API_KEY, where that is set]
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

/// The keys of a server that runs, where it has any. Clones share them.
#[derive(Clone)]
pub(super) struct FollowedKeys(Option<KeyRing>);

impl FollowedKeys {
    /// Reads the file, and looks at it again as often as the settings say. The task ends with the runtime.
    pub(super) fn start(section: &AuthSection, metrics: KeyMetrics) -> anyhow::Result<Self> {
        let followed = Self(read(section, metrics)?);
        if followed.0.is_some() && section.reload_interval_ms > 0 {
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
        self.0.clone().map(|keys| AuthOptions { keys, open })
    }

    /// What changed is taken now.
    pub(super) async fn look_at_once(&self) {
        self.look(KeyRing::look_at_once).await;
    }

    /// The disk may not answer for minutes: then nobody else waits, and the next look comes after this one.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&KeyRing) -> T + Send + 'static) {
        if let Some(keys) = self.0.clone() {
            let _ = spawn_blocking(move || look(&keys)).await;
        }
    }
}

/// Refuses a file that `serve` would refuse.
pub(super) fn check_keys(section: &AuthSection) -> anyhow::Result<()> {
    read(section, KeyMetrics::default()).map(drop)
}

fn read(section: &AuthSection, metrics: KeyMetrics) -> anyhow::Result<Option<KeyRing>> {
    if !section.is_on() {
        return Ok(None);
    }
    Ok(Some(KeyRing::read(&section.keys_file, metrics)?))
}
