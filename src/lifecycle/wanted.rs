//! What should be served: the models of a repository, or the one that the binary carries.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use super::settle::Settled;
use crate::{
    model::{
        BuiltIn, CascadeSection, Manifest, ModelFolder, RESNET20_CIFAR10, TrafficSection, VersionsSection,
        fingerprint::{Fingerprint, look_at_model},
        labels_file,
        repository::{RepositoryError, scan},
    },
    service::CascadeRule,
    settings::{Batching, RuntimeSettings},
};

/// The settings of a model that says nothing else.
#[derive(Clone, Debug, Default)]
pub struct ModelDefaults {
    /// `[batching]`
    pub batching: Batching,
    /// `[runtime]`
    pub runtime: RuntimeSettings,
}

/// A version of a model.
pub(super) type VersionKey = (String, u64);

/// One version of a model that should be served.
#[derive(Clone, Debug)]
pub struct WantedModel {
    /// Its name and route.
    pub name: Arc<str>,
    /// A positive integer.
    pub version: u64,
    /// Where it comes from.
    pub source: Source,
}

/// Where a version of a model comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A folder of a repository.
    Folder(FolderSource),
    /// The binary.
    BuiltIn(&'static BuiltIn, Box<Manifest>),
    /// It cannot be loaded; why, and how to mend it.
    Broken(String),
}

/// A version in a folder, with what its files looked like when they were found.
#[derive(Clone, Debug)]
pub struct FolderSource {
    /// The model's.
    pub folder: Arc<ModelFolder>,
    /// Its settings.
    pub manifest: Arc<Manifest>,
    /// The version's files.
    pub files: Fingerprint,
    /// The names of its classes.
    pub labels: Fingerprint,
    /// What the version's files take.
    pub bytes: u64,
}

/// How what is served differs from what is wanted in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Not at all, or in what needs no load: which versions are served, and their labels.
    Nothing,
    /// In the names of its classes.
    Labels,
    /// In its files, or in settings that go into its sessions.
    Everything,
}

impl Source {
    /// What its files take: less than it takes in memory.
    pub(super) fn file_bytes(&self) -> u64 {
        match self {
            Self::Folder(folder) => folder.bytes,
            Self::BuiltIn(model, _) => model.graph.len() as u64,
            Self::Broken(_) => 0,
        }
    }

    /// From `self`, which is served, to `wanted`.
    pub(super) fn change(&self, wanted: &Self) -> Change {
        let (now, wanted) = match (self, wanted) {
            (Self::Folder(now), Self::Folder(wanted)) => (now, wanted),
            (Self::BuiltIn(now, _), Self::BuiltIn(wanted, _)) if now.name == wanted.name => return Change::Nothing,
            _ => return Change::Everything,
        };
        let of_sessions = |manifest: &Manifest| {
            let mut manifest = manifest.clone();
            (manifest.versions, manifest.output.labels) = (VersionsSection::default(), None);
            manifest.cascade = CascadeSection::default();
            manifest.traffic = TrafficSection::default();
            manifest
        };
        if now.folder.path != wanted.folder.path
            || now.files != wanted.files
            || of_sessions(&now.manifest) != of_sessions(&wanted.manifest)
        {
            return Change::Everything;
        }
        let is_same = now.labels == wanted.labels && now.manifest.output.labels == wanted.manifest.output.labels;
        if is_same { Change::Nothing } else { Change::Labels }
    }
}

/// A version that is served.
pub(super) struct ServedFrom {
    /// Tells it from another one that takes its place.
    pub(super) number: u64,
    /// What it was loaded from; `None` where somebody else has loaded it.
    pub(super) source: Option<Source>,
}

impl ServedFrom {
    /// To what is wanted in its place.
    pub(super) fn change(&self, wanted: &Source) -> Change {
        self.source.as_ref().map_or(Change::Nothing, |source| source.change(wanted))
    }
}

impl WantedModel {
    pub(super) fn key(&self) -> VersionKey {
        (self.name.to_string(), self.version)
    }

    /// What its model calls its versions; `None` where that cannot be read.
    pub(super) fn labels(&self) -> Option<&BTreeMap<String, u64>> {
        self.manifest().map(|manifest| &manifest.versions.labels)
    }

    /// Its model, and how the requests for it are shared out; `None` where that cannot be read.
    pub(super) fn traffic(&self) -> Option<(&str, &TrafficSection)> {
        self.manifest().map(|manifest| (&*self.name, &manifest.traffic))
    }

    fn manifest(&self) -> Option<&Manifest> {
        match &self.source {
            Source::Folder(FolderSource { manifest, .. }) => Some(manifest),
            Source::BuiltIn(_, manifest) => Some(manifest),
            Source::Broken(_) => None,
        }
    }

    /// Whom its model asks first, if anybody; `None` where that cannot be read.
    pub(super) fn cascade(&self) -> Option<Option<CascadeRule>> {
        let section = match &self.source {
            Source::Folder(FolderSource { manifest, .. }) => &manifest.cascade,
            Source::BuiltIn(_, manifest) => &manifest.cascade,
            Source::Broken(_) => return None,
        };
        let rule = |first: &String| CascadeRule { first: first.as_str().into(), threshold: section.threshold };
        Some(section.first.as_ref().map(rule))
    }

    fn broken(name: &str, version: u64, reason: impl ToString) -> Self {
        Self { name: name.into(), version, source: Source::Broken(reason.to_string()) }
    }
}

/// Reads from disk what should be served. A repository that is missing or empty gives the built-in model; a folder whose
/// settings are wrong gives a broken version, so that its clients are told why.
///
/// * `only`: the one model that is wanted, by name
///
/// # Errors
/// If there is something in the repository's place that cannot be read, or is no folder.
pub fn wanted_models(
    repository: &Path,
    only: Option<&str>,
    defaults: &ModelDefaults,
) -> Result<Vec<WantedModel>, RepositoryError> {
    let folders = scan(repository)?;
    if folders.is_empty() {
        tracing::info!(repository = %repository.display(), "no models there: serving the built-in {}", RESNET20_CIFAR10.name);
        return Ok(vec![built_in(defaults)]);
    }
    let folders = folders.into_iter().filter(|folder| only.is_none_or(|name| name == folder.name));
    let seen = |folder: &ModelFolder| {
        let look = look_at_model(&folder.path).ok().flatten();
        look.map_or_else(Settled::default, |look| Settled {
            own: look.own.print,
            versions: look.versions.iter().map(|(version, files)| (*version, files.print)).collect(),
        })
    };
    Ok(folders.flat_map(|folder| versions(&seen(&folder), folder, defaults)).collect())
}

/// The model that the binary carries.
pub(super) fn built_in(defaults: &ModelDefaults) -> WantedModel {
    let model = &RESNET20_CIFAR10;
    match model.manifest(&defaults.batching, &defaults.runtime) {
        Ok(manifest) => WantedModel {
            name: model.name.into(),
            version: model.version,
            source: Source::BuiltIn(model, Box::new(manifest)),
        },
        Err(error) => WantedModel::broken(model.name, model.version, error),
    }
}

/// What is wanted of one folder.
///
/// * `seen`: what its files looked like when they counted
pub(super) fn versions(seen: &Settled, folder: ModelFolder, defaults: &ModelDefaults) -> Vec<WantedModel> {
    let Some(&highest) = folder.versions.last() else {
        tracing::warn!(
            model = folder.name,
            folder = %folder.path.display(),
            "passed over: it has no VERSION/model.onnx"
        );
        return Vec::new();
    };
    let manifest = match Manifest::read(&folder.path, &defaults.batching, &defaults.runtime) {
        Ok(manifest) => manifest,
        Err(error) => return vec![WantedModel::broken(&folder.name, highest, error)],
    };
    let section = &manifest.versions;
    let missing = section.missing(&folder.versions);
    if !missing.is_empty() {
        let (model, there) = (&*folder.name, &folder.versions);
        tracing::warn!(
            model,
            "[versions] policy names {missing:?}, and there is {there:?}: put it there, or leave it out"
        );
    }
    let picked = manifest.served_versions(&folder.versions);
    if picked.is_empty() {
        let reason = "[versions] policy in its model.toml picks none of the versions on disk";
        return vec![WantedModel::broken(&folder.name, highest, reason)];
    }
    let dangling = section.dangling(&picked);
    if !dangling.is_empty() {
        let model = &*folder.name;
        tracing::warn!(
            model,
            "[versions] labels point {dangling:?} at versions that are not served: point them elsewhere"
        );
    }
    for line in manifest.traffic.unserved(&section.labels, &picked) {
        tracing::warn!(model = &*folder.name, "{line}");
    }
    let labels = Fingerprint::of_file(&labels_file(&folder.path, manifest.output.labels.as_deref()));
    let (name, folder, manifest) = (Arc::from(folder.name.as_str()), Arc::new(folder), Arc::new(manifest));
    let version = |version| WantedModel {
        name: Arc::clone(&name),
        version,
        source: Source::Folder(FolderSource {
            folder: folder.clone(),
            manifest: manifest.clone(),
            files: seen.versions.get(&version).copied().unwrap_or_default(),
            labels,
            bytes: folder.version_bytes(version),
        }),
    };
    picked.into_iter().map(version).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(files: u64, labels: u64, toml: &str) -> Source {
        let folder = ModelFolder { name: "m".to_owned(), path: "m".into(), versions: vec![1] };
        let defaults = ModelDefaults::default();
        let manifest = Manifest::parse(toml, Path::new("m"), &defaults.batching, &defaults.runtime).unwrap();
        Source::Folder(FolderSource {
            folder: folder.into(),
            manifest: manifest.into(),
            files: Fingerprint::test(files),
            labels: Fingerprint::test(labels),
            bytes: 0,
        })
    }

    #[test]
    fn only_what_goes_into_the_sessions_forces_a_load() {
        let served = source(1, 1, "");
        // The files, the labels, the settings; what that means.
        let cases = [
            (source(1, 1, ""), Change::Nothing),
            (source(1, 1, "[versions]\npolicy = \"all\"\nlabels = { stable = 1 }"), Change::Nothing),
            (source(1, 1, "[cascade]\nfirst = \"small\""), Change::Nothing),
            (source(1, 1, "[traffic]\nsplit = { \"2\" = 5 }\nshadow = 2"), Change::Nothing),
            (source(1, 2, ""), Change::Labels),
            (source(1, 1, "[output]\nlabels = \"names.txt\""), Change::Labels),
            (source(2, 1, ""), Change::Everything),
            (source(1, 1, "[input]\ncrop_size = 32"), Change::Everything),
            (source(1, 1, "[output]\nactivation = \"sigmoid\""), Change::Everything),
            (source(1, 1, "[batching]\nqueue_capacity = 8"), Change::Everything),
            (source(1, 1, "[runtime]\ninstances = 1"), Change::Everything),
            (Source::Broken("no TOML".to_owned()), Change::Everything),
            (Source::BuiltIn(&RESNET20_CIFAR10, Box::default()), Change::Everything),
        ];
        for (wanted, change) in cases {
            assert_eq!(served.change(&wanted), change, "{wanted:?}");
        }
    }
}
