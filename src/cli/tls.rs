//! TLS as the commands have it: `serve` follows its files, clients have `--ca`, `--cert` and `--key`.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use tokio::{task::spawn_blocking, time::sleep};
use ureq::tls::TlsConfig;

use crate::{
    config::{OldestTls, TlsSection},
    tls::{ClientTls, ClientTlsFiles, ServerTls, TlsError, TlsFiles},
};

/// How a client command shows who it is, and whom it trusts.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct ClientTlsArgs {
    /// TLS: who vouches for the server, a PEM file [default: the system's authorities]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// TLS: the certificate that is shown to a server that wants one, a PEM file
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// TLS: the private key of that certificate, a PEM file
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

impl ClientTlsArgs {
    /// Whether there is an option that means nothing without TLS.
    pub(super) fn is_used(&self) -> bool {
        self.ca.is_some() || self.cert.is_some()
    }

    pub(super) fn files(&self) -> ClientTlsFiles {
        ClientTlsFiles { ca: self.ca.clone(), identity: self.cert.clone().zip(self.key.clone()) }
    }

    pub(super) fn read(&self) -> Result<ClientTls, TlsError> {
        ClientTls::read(&self.files())
    }

    /// The same for the client of HTTP that commands use.
    pub(super) fn for_ureq(&self) -> anyhow::Result<TlsConfig> {
        Ok(self.read()?.for_ureq()?)
    }
}

/// The TLS of a server that runs, where it has any. Clones share it.
#[derive(Clone)]
pub(super) struct FollowedTls(Option<ServerTls>);

impl FollowedTls {
    /// Reads the files, and looks at them again as often as the settings say. The task ends with the runtime.
    pub(super) fn start(section: &TlsSection) -> anyhow::Result<Self> {
        let followed = Self(read(section)?);
        if followed.0.is_some() && section.reload_interval_ms > 0 {
            let (followed, interval) = (followed.clone(), Duration::from_millis(section.reload_interval_ms));
            tokio::spawn(async move {
                loop {
                    sleep(interval).await;
                    followed.look(ServerTls::look).await;
                }
            });
        }
        Ok(followed)
    }

    pub(super) fn doors(&self) -> Option<ServerTls> {
        self.0.clone()
    }

    /// What changed is taken now.
    pub(super) async fn look_at_once(&self) {
        self.look(ServerTls::look_at_once).await;
    }

    /// The disk may not answer for minutes: then nobody else waits, and the next look comes after this one.
    async fn look<T: Send + 'static>(&self, look: impl FnOnce(&ServerTls) -> T + Send + 'static) {
        if let Some(tls) = self.0.clone() {
            let _ = spawn_blocking(move || drop(look(&tls))).await;
        }
    }
}

/// Refuses files that `serve` would refuse.
pub(super) fn check_tls(section: &TlsSection) -> anyhow::Result<()> {
    read(section).map(drop)
}

fn read(section: &TlsSection) -> anyhow::Result<Option<ServerTls>> {
    if !section.is_on() {
        return Ok(None);
    }
    let files = TlsFiles {
        cert: section.cert.clone(),
        key: section.key.clone(),
        client_ca: Some(section.client_ca.clone()).filter(|path| !path.as_os_str().is_empty()),
        allowed_names: section.allowed_names.clone(),
        only_1_3: section.min_version == OldestTls::Tls13,
    };
    ServerTls::read(files).map(Some).context("no TLS")
}
