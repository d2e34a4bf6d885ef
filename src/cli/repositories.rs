//! Where the models of a server come from: folders, stores that are mirrored into folders, weights on the hub that are built into one. Here the
//! configuration meets the room of stores.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, bail};
use sha2::{Digest, Sha256};

use super::hub_model::{HubModel, is_passing};
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
/// If it is a store, with the folder of what a server keeps of it, or several.
pub(super) fn on_disk(config: &Config) -> anyhow::Result<&Path> {
    let [repository] = config.models.repositories() else {
        bail!("[models] dirs names several repositories: give this command one of them with --models");
    };
    if is_elsewhere(repository) {
        let folder = match Source::of(config, repository)? {
            Source::Folder(folder) => folder,
            Source::Store(_, folder) => folder,
            Source::Hub(hub) => hub.folder().to_owned(),
        };
        let (what, folder) = (repository.display(), files::shown(&folder));
        bail!(
            "{what} is elsewhere, and `serve` keeps a copy: give this command a folder with --models, {folder} for instance"
        );
    }
    Ok(repository)
}

/// The repositories that are elsewhere, whose settings hold as far as can be said without asking anybody.
pub(super) fn check_elsewhere(config: &Config) -> anyhow::Result<Vec<String>> {
    let mut elsewhere = Vec::new();
    for repository in config.models.repositories() {
        match Source::of(config, repository)? {
            Source::Folder(_) => continue,
            Source::Store(url, _) => drop(open(&url, &environment()).with_context(|| url.to_string())?),
            Source::Hub(_) => {}
        }
        elsewhere.push(repository.display().to_string());
    }
    Ok(elsewhere)
}

/// Where a repository is.
enum Source {
    Folder(PathBuf),
    /// A store, and the folder for its models.
    Store(StoreUrl, PathBuf),
    Hub(HubModel),
}

impl Source {
    fn of(config: &Config, repository: &Path) -> anyhow::Result<Self> {
        if !is_elsewhere(repository) {
            return Ok(Self::Folder(repository.to_owned()));
        }
        let cache = || cache_folder(config);
        if let Some(hub) = HubModel::of(repository, cache)? {
            return Ok(Self::Hub(hub));
        }
        let url: StoreUrl = repository
            .to_str()
            .unwrap_or_default()
            .parse()
            .map_err(|error| anyhow::anyhow!("[models] dir, dirs or --models: {error}"))?;
        let folder = cache()?.join(folder_name(&url));
        Ok(Self::Store(url, folder))
    }
}

/// The folders that a server follows, and what fills them.
pub(super) struct Repositories {
    dirs: Vec<PathBuf>,
    mirrors: Vec<StoreMirror>,
    hubs: Vec<HubModel>,
}

impl Repositories {
    /// Starts what mirrors stores; nothing is fetched yet.
    pub(super) fn start(config: &Config, service: &Service) -> anyhow::Result<Self> {
        let mut all = Self { dirs: Vec::new(), mirrors: Vec::new(), hubs: Vec::new() };
        for repository in config.models.repositories() {
            let dir = match Source::of(config, repository)? {
                Source::Folder(folder) => folder,
                Source::Store(url, folder) => {
                    all.mirrors.push(mirror(config, service, url, folder.clone())?);
                    folder
                }
                Source::Hub(hub) => {
                    let folder = hub.folder().to_owned();
                    all.hubs.push(hub);
                    folder
                }
            };
            if all.dirs.contains(&dir) {
                bail!("{} is named twice among the repositories: leave one out", repository.display());
            }
            all.dirs.push(dir);
        }
        Ok(all)
    }

    /// The folders with the models.
    pub(super) fn dirs(&self) -> &[PathBuf] {
        &self.dirs
    }

    /// Brings here what is new elsewhere. What cannot be had is in the log, and what is here stays.
    pub(super) async fn look(&self) {
        self.bring(true).await;
    }

    /// Why something of which nothing is here cannot be had, and whether that may pass.
    ///
    /// * `is_serving`: whether others are served meanwhile
    async fn bring(&self, is_serving: bool) -> Vec<(anyhow::Error, bool)> {
        let mut missing = Vec::new();
        for mirror in &self.mirrors {
            if let Err(error) = mirror.look().await
                && !has_models(mirror.folder())
            {
                let is_passing = error.fault.is_passing();
                missing.push((error.into(), is_passing));
            }
        }
        for hub in &self.hubs {
            let (theirs, folder) = (hub.clone(), hub.folder());
            let brought = tokio::task::spawn_blocking(move || theirs.bring(is_serving)).await;
            if let Err(error) = brought.map_err(anyhow::Error::from).flatten() {
                if has_models(folder) {
                    tracing::warn!("{error:#}; what was built before goes on");
                } else {
                    let is_passing = is_passing(&error);
                    if is_passing {
                        tracing::warn!("{error:#}; nothing of it is here");
                    }
                    missing.push((error, is_passing));
                }
            }
        }
        missing
    }

    /// Waits until there is something to begin with: what is elsewhere, else what is kept of it. What is away and of which nothing is here is waited
    /// for, unless another repository has models.
    ///
    /// # Errors
    /// If nothing is here and waiting will not mend it.
    pub(super) async fn begin(&self) -> anyhow::Result<()> {
        let mut pause = Duration::from_secs(1);
        loop {
            let missing = self.bring(false).await;
            if missing.is_empty() {
                return Ok(());
            }
            if self.dirs.iter().any(|dir| has_models(dir)) {
                for (error, _) in missing {
                    tracing::warn!("started without it: {error:#}");
                }
                return Ok(());
            }
            if let Some((error, _)) = missing.into_iter().find(|(_, is_passing)| !is_passing) {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(30));
        }
    }
}

/// Whether there is any folder that may be a model.
fn has_models(dir: &Path) -> bool {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().is_dir() && !entry.file_name().as_encoded_bytes().starts_with(b"."))
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

/// What can be read as text; credentials always can.
pub(super) fn environment() -> Vec<(String, String)> {
    env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))).collect()
}

/// Where what is elsewhere is kept on this machine.
fn cache_folder(config: &Config) -> anyhow::Result<PathBuf> {
    let configured = Some(config.models.cache_dir.clone()).filter(|dir| !dir.as_os_str().is_empty());
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let users = || {
        let base = variable("XDG_CACHE_HOME").or_else(|| Some(variable("HOME")?.join(".cache")))?;
        Some(base.join("resnetd").join("models"))
    };
    configured
        .or_else(users)
        .context("there is no home folder for what is kept of models elsewhere: set [models] cache_dir")
}

/// A name that people recognise, and no other store has.
fn folder_name(url: &StoreUrl) -> String {
    let text = url.to_string();
    let readable: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' }).collect();
    let readable: String = readable.replace("---", "-").chars().take(80).collect();
    let digest = files::hex(&Sha256::digest(&text)[..4]);
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
            refused.starts_with("s3://b/p is elsewhere, and `serve` keeps a copy: ")
                && refused.contains("/cache/s3-b-p-"),
            "{refused}"
        );
        config.models.dir = "s3://key:secret@b/p".into();
        assert!(!on_disk(&config).unwrap_err().to_string().contains("secret"));
        config.models.dirs = vec!["a".into(), "b".into()];
        assert!(on_disk(&config).unwrap_err().to_string().contains("several repositories"));
    }
}
