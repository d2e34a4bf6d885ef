//! `hf://owner/name` as a repository: ImageNet weights from the Hugging Face hub, fetched and built by what `pull` does, into a folder that is kept.
//!
//! The hub is asked at the start and on SIGHUP. Weights that have changed there become the next version; what is here serves on meanwhile, and when the
//! hub is away.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use super::pull::built;
use crate::{
    files,
    resnet::hub::{
        Hub, HubError,
        catalogue::{self, PretrainedWeights},
    },
    runtime::behind_traffic,
    staging::write_file,
};

const SCHEME: &str = "hf://";

/// Which weights were built last.
const BUILT_FILE: &str = ".built";

/// Weights on the hub, and where their model is built.
#[derive(Clone, Debug)]
pub(super) struct HubModel {
    weights: PretrainedWeights,
    revision: String,
    folder: PathBuf,
}

impl HubModel {
    /// Reads `hf://owner/name` or `hf://owner/name@revision`; `None` for anything else.
    ///
    /// * `cache`: where such folders are
    ///
    /// # Errors
    /// If nothing is known of these weights.
    pub(super) fn of(
        repository: &Path,
        cache: impl FnOnce() -> anyhow::Result<PathBuf>,
    ) -> anyhow::Result<Option<Self>> {
        let Some(name) = repository.to_str().and_then(|text| text.strip_prefix(SCHEME)) else { return Ok(None) };
        let (name, revision) = name.split_once('@').unwrap_or((name, "main"));
        let weights = catalogue::find(name.trim_end_matches('/'))?;
        let folder = format!("hf-{}-{revision}", weights.repository).replace('/', "-");
        Ok(Some(Self { folder: cache()?.join(folder), revision: revision.to_owned(), weights }))
    }

    /// The repository that it is built into.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Fetches and builds what is new. Takes as long as it has bytes; where others are served meanwhile, it gives way to them.
    ///
    /// # Errors
    /// If there is nothing to be had; what is here stays.
    pub(super) fn bring(&self, is_serving: bool) -> anyhow::Result<()> {
        if is_serving { behind_traffic("build a model", || self.fetch_and_build())? } else { self.fetch_and_build() }
    }

    fn fetch_and_build(&self) -> anyhow::Result<()> {
        let hub = Hub::from_env(|name| env::var(name).ok())?;
        let from = &self.weights.repository;
        let fetched = hub.fetch(self.weights.file(&self.revision), &mut |_, _| {})?;
        if let Some(reason) = &fetched.unasked {
            tracing::warn!("weights of {from} come from the cache, unasked: {reason}");
        }
        let marker = self.folder.join(BUILT_FILE);
        let built_of = files::read_text(&marker, 1 << 10).unwrap_or_default();
        if built_of == fetched.sha256 {
            return Ok(());
        }
        fs::create_dir_all(&self.folder)?;
        let (recipe, written) = built(&self.weights, &fetched, &self.folder, |_| ())?;
        write_file(&marker, |file| file.write_all(fetched.sha256.as_bytes()))?;
        tracing::info!(
            model = recipe.name,
            version = written.version,
            from,
            license = self.weights.license,
            "built of weights from the hub"
        );
        Ok(())
    }
}

/// Whether the hub may answer otherwise in a while.
pub(super) fn is_passing(error: &anyhow::Error) -> bool {
    error.downcast_ref().is_some_and(HubError::is_passing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_that_are_known_have_a_folder_for_each_revision() {
        let of = |text: &str| HubModel::of(Path::new(text), || Ok("/cache".into()));
        let folder = |text: &str| of(text).unwrap().unwrap().folder;
        assert_eq!(folder("hf://microsoft/resnet-50"), Path::new("/cache/hf-microsoft-resnet-50-main"));
        assert_eq!(
            folder("hf://timm/resnet18.tv_in1k@refs/pr/1"),
            Path::new("/cache/hf-timm-resnet18.tv_in1k-refs-pr-1")
        );
        assert!(of("models").unwrap().is_none() && of("s3://b/p").unwrap().is_none());
        assert!(
            of("hf://somebody/else").unwrap_err().to_string().starts_with("no weights are known as \"somebody/else\"")
        );
    }
}
