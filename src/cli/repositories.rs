//! Where the models of a server come from: a folder, or a store that is mirrored into one. Here the configuration meets the room of stores.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use crate::{
    config::{Config, ControlMode},
    files,
    model::{Manifest, ModelState},
    service::Service,
    store::{MirrorOptions, StoreMirror, StoreUrl, open},
};

/// Whether a repository is a store, and no folder.
pub(super) fn is_elsewhere(repository: &Path) -> bool {
    repository.to_str().is_some_and(StoreUrl::is_meant)
}

/// The repository of a command that works on this machine's disk.
///
/// # Errors
/// If it is a store, with the folder of what a server keeps of it.
pub(super) fn on_disk(config: &Config) -> anyhow::Result<&Path> {
    let repository = &config.models.dir;
    if is_elsewhere(repository) {
        let url = url(repository)?;
        let folder = cache_folder(config, &url)?;
        bail!(
            "{url} is a store, which `serve` mirrors: give this command a folder with --models, {} for instance",
            files::shown(&folder)
        );
    }
    Ok(repository)
}

/// The store that models come from, if it is one, with settings that hold as far as can be said without asking it.
pub(super) fn check_elsewhere(config: &Config) -> anyhow::Result<Option<StoreUrl>> {
    if !is_elsewhere(&config.models.dir) {
        return Ok(None);
    }
    let url = url(&config.models.dir)?;
    open(&url, &environment()).with_context(|| url.to_string())?;
    Ok(Some(url))
}

/// The folder that a server follows, and what fills it.
pub(super) struct Repositories {
    dir: PathBuf,
    mirror: Option<StoreMirror>,
}

impl Repositories {
    /// Starts what mirrors a store; nothing is fetched yet.
    pub(super) fn start(config: &Config, service: &Service) -> anyhow::Result<Self> {
        let repository = &config.models.dir;
        if !is_elsewhere(repository) {
            return Ok(Self { dir: repository.clone(), mirror: None });
        }
        let url = url(repository)?;
        let folder = cache_folder(config, &url)?;
        let mirror = mirror(config, service, url, folder.clone())?;
        Ok(Self { dir: folder, mirror: Some(mirror) })
    }

    /// The folder with the models.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Brings here what is new elsewhere. What cannot be had is in the log, and what is here stays.
    pub(super) async fn look(&self) {
        if let Some(mirror) = &self.mirror {
            let _ = mirror.look().await;
        }
    }

    /// Waits until there is something to begin with: what the store has, else what is cached of it. A store that is away and of which nothing
    /// is here is waited for.
    ///
    /// # Errors
    /// If nothing is here and waiting will not mend it.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        let Some(mirror) = &self.mirror else { return Ok(()) };
        let mut pause = Duration::from_secs(1);
        loop {
            match mirror.look().await {
                Ok(()) => return Ok(()),
                Err(_) if mirror.has_models() => return Ok(()),
                Err(error) if error.fault.is_passing() => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(30));
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn mirror(config: &Config, service: &Service, url: StoreUrl, folder: PathBuf) -> anyhow::Result<StoreMirror> {
    let models = &config.models;
    let (batching, runtime) = (config.batching.clone(), config.runtime.clone());
    let pick = move |folder: &Path, versions: &[u64]| match Manifest::read(folder, &batching, &runtime) {
        Ok(manifest) => manifest.versions.pick(versions),
        // Whoever follows the folder says what is wrong with it.
        Err(_) => versions.last().copied().into_iter().collect(),
    };
    let served = service.clone();
    let is_served = move |name: &str, version: u64| {
        let mut versions = served.versions(name).into_iter().flatten();
        versions.any(|status| status.version == version && !matches!(status.state, ModelState::Failed(_)))
    };
    let meter = service.store_metrics(&url.to_string());
    let of = url.clone();
    let options = MirrorOptions {
        url,
        open: Box::new(move || open(&of, &environment())),
        folder,
        max_bytes: models.cache_max_bytes,
        settle: Duration::from_millis(models.settle_ms),
        pick: Box::new(pick),
        is_served: Box::new(is_served),
        meter,
    };
    let is_watched =
        models.store_interval_ms > 0 && (models.watch_interval_ms > 0 || models.control == ControlMode::Explicit);
    StoreMirror::start(options, is_watched.then(|| Duration::from_millis(models.store_interval_ms)))
        .context("no thread for the store")
}

fn url(repository: &Path) -> anyhow::Result<StoreUrl> {
    let text = repository.to_str().unwrap_or_default();
    text.parse().map_err(|error| anyhow::anyhow!("[models] dir or --models: {error}"))
}

/// What can be read as text; credentials always can.
pub(super) fn environment() -> Vec<(String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Where the models of a store are kept.
fn cache_folder(config: &Config, url: &StoreUrl) -> anyhow::Result<PathBuf> {
    let configured = Some(config.models.cache_dir.clone()).filter(|dir| !dir.as_os_str().is_empty());
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let users = || {
        let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(base.join("resnetd").join("models"))
    };
    let cache = configured.or_else(users);
    let cache = cache.context("there is no home folder for what is cached of the store: set [models] cache_dir")?;
    Ok(cache.join(folder_name(url)))
}

/// A name that people recognise, and no other store has.
fn folder_name(url: &StoreUrl) -> String {
    let text = url.to_string();
    let readable: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' }).collect();
    let readable: String = readable.replace("---", "-").chars().take(80).collect();
    let digest: String = Sha256::digest(&text).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("{readable}-{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_store_has_a_folder_of_its_own_that_people_recognise() {
        let name = |text: &str| folder_name(&text.parse().unwrap());
        assert!(name("s3://models/team/a").starts_with("s3-models-team-a-"));
        assert_ne!(name("s3://models/team/a"), name("s3://models/team-a"));
        assert!(name(&format!("gs://b/{}", "x".repeat(900))).len() < 100);
    }

    #[test]
    fn a_command_on_this_disk_is_told_where_a_store_is_kept() {
        let mut config = Config::default();
        assert_eq!(on_disk(&config).unwrap(), Path::new("models"));
        (config.models.dir, config.models.cache_dir) = ("s3://b/p".into(), "/cache".into());
        let refused = on_disk(&config).unwrap_err().to_string();
        assert!(
            refused.starts_with("s3://b/p is a store, which `serve` mirrors: ") && refused.contains("/cache/s3-b-p-"),
            "{refused}"
        );
        config.models.dir = "s3://key:secret@b/p".into();
        assert!(!on_disk(&config).unwrap_err().to_string().contains("secret"));
    }
}
