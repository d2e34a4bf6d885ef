//! Where a model that a command works on is: in the repository, or in the binary.

use std::path::{Path, PathBuf};

use anyhow::bail;

use crate::{
    config::Config,
    model::{BuiltIn, Manifest, ModelFolder, RESNET20_CIFAR10, graph_digest, label_text, repository::scan},
    postprocess::parse_labels,
    runtime::GraphSource,
    tune::cache,
};

/// A model.
pub(super) enum ModelPlace {
    /// In the repository.
    Folder(ModelFolder),
    /// In the binary; the folder is where the repository would have it.
    BuiltIn(PathBuf, &'static BuiltIn),
}

impl ModelPlace {
    /// The model called `name`. One of the repository goes before the one that is built in.
    pub(super) fn find(repository: &Path, name: &str) -> anyhow::Result<Self> {
        let folders = scan(repository)?;
        let mut names: Vec<_> = folders.iter().map(|folder| folder.name.clone()).collect();
        if let Some(folder) = folders.into_iter().find(|folder| folder.name == name) {
            return Ok(Self::Folder(folder));
        }
        let built_in = &RESNET20_CIFAR10;
        if name == built_in.name {
            return Ok(Self::BuiltIn(repository.join(name), built_in));
        }
        if !names.iter().any(|name| name == built_in.name) {
            names.push(format!("{} (built in)", built_in.name));
        }
        bail!("there is no model {name:?} in {}; there is {}", repository.display(), names.join(", "))
    }

    /// The version that is wanted, else the highest.
    pub(super) fn version(&self, wanted: Option<u64>) -> anyhow::Result<u64> {
        let there = match self {
            Self::Folder(folder) => &folder.versions[..],
            Self::BuiltIn(_, built_in) => std::slice::from_ref(&built_in.version),
        };
        match (wanted, there.last()) {
            (None, Some(&highest)) => Ok(highest),
            (Some(wanted), _) if there.contains(&wanted) => Ok(wanted),
            (Some(wanted), Some(_)) => bail!("there is no version {wanted}; there is {there:?}"),
            (_, None) => bail!("the model has no VERSION/model.onnx"),
        }
    }

    pub(super) fn manifest(&self, config: &Config) -> anyhow::Result<Manifest> {
        let (batching, runtime) = (&config.batching, &config.runtime);
        Ok(match self {
            Self::Folder(folder) => Manifest::read(&folder.path, batching, runtime)?,
            Self::BuiltIn(_, built_in) => built_in.manifest(batching, runtime)?,
        })
    }

    /// The text of the label file; `None` where there is none.
    pub(super) fn labels(&self, manifest: &Manifest) -> anyhow::Result<Option<String>> {
        match self {
            Self::BuiltIn(_, built_in) => Ok(Some(built_in.labels.to_owned())),
            Self::Folder(folder) => Ok(label_text(&folder.path, manifest.output.labels.as_deref())?),
        }
    }

    /// How many classes have names.
    pub(super) fn class_count(&self, manifest: &Manifest) -> anyhow::Result<Option<usize>> {
        match self {
            Self::BuiltIn(..) => Ok(None),
            Self::Folder(_) => {
                let text = self.labels(manifest)?;
                Ok(text.as_deref().map(parse_labels).transpose()?.map(|labels| labels.len()))
            }
        }
    }

    /// Lends the graph of a version.
    pub(super) fn with_graph<T>(&self, version: u64, use_it: impl FnOnce(GraphSource<'_>) -> T) -> T {
        match self {
            Self::Folder(folder) => use_it(GraphSource::File(&folder.graph(version))),
            Self::BuiltIn(_, built_in) => use_it(GraphSource::Memory(built_in.graph)),
        }
    }

    /// SHA-256 of a version's graph and weights.
    pub(super) fn digest(&self, version: u64) -> String {
        match self {
            Self::Folder(folder) => graph_digest(&folder.graph(version)),
            Self::BuiltIn(_, built_in) => cache::digest(built_in.graph),
        }
    }
}
