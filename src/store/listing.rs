//! What a store lists, sorted into models and versions. Pure.
//!
//! The layout is that of a model folder. Hidden names are passed over, as on a disk, but for the manifest of a version.

use std::collections::{BTreeMap, BTreeSet};

use object_store::{ObjectMeta, path::Path};

use super::digests::MANIFEST_FILE;
use crate::model::repository::version_number;

/// The longest name that file systems take.
const LONGEST_NAME: usize = 255;

/// Folders in folders.
const DEEPEST: usize = 8;

/// An object that is a file of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StoreFile {
    /// Its name in the model's or the version's folder.
    pub(super) name: String,
    /// Where it is in the store.
    pub(super) key: Path,
    pub(super) size: u64,
    /// As the store gave it.
    pub(super) etag: Option<String>,
    /// What tells it from another one in its place: the entity tag, else when it was written.
    pub(super) tag: String,
}

/// Files by their names.
pub(super) type StoreFiles = BTreeMap<String, StoreFile>;

/// A model in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreModel {
    /// Settings, labels and whatever else is beside the versions.
    pub(super) own: StoreFiles,
    pub(super) versions: BTreeMap<u64, StoreVersion>,
}

/// A version in a store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreVersion {
    pub(super) files: StoreFiles,
    pub(super) manifest: Option<StoreFile>,
}

/// A store at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StoreListing {
    pub(super) models: BTreeMap<String, StoreModel>,
    /// Objects whose names a folder cannot have.
    pub(super) odd: Vec<String>,
}

impl StoreListing {
    /// Sorts objects.
    ///
    /// * `prefix`: where the models are
    pub(super) fn of(prefix: &Path, objects: Vec<ObjectMeta>) -> Self {
        let relative = |object: &ObjectMeta| {
            let rest = object.location.as_ref().strip_prefix(prefix.as_ref())?;
            Some(rest.trim_start_matches('/').to_owned())
        };
        let objects: Vec<_> = objects.into_iter().filter_map(|object| Some((relative(&object)?, object))).collect();
        // Consoles put empty objects where they show folders.
        let mut folders = BTreeSet::new();
        for (name, _) in &objects {
            folders.extend(name.match_indices('/').map(|(end, _)| name[..end].to_owned()));
        }
        let mut listing = Self::default();
        for (name, object) in objects {
            if object.size == 0 && folders.contains(&name) {
                continue;
            }
            listing.add(&name, object);
        }
        listing
    }

    fn add(&mut self, path: &str, object: ObjectMeta) {
        let parts: Vec<&str> = path.split('/').collect();
        let [model, rest @ ..] = &parts[..] else { return };
        let (version, rest) = match rest {
            // Beside the models.
            [] => return,
            [first, rest @ ..] => match version_number(first) {
                // A file, or the marker of a folder, that is called like a version.
                Some(_) if rest.is_empty() => return,
                Some(version) => (Some(version), rest),
                None => (None, &parts[1..]),
            },
        };
        let is_manifest = version.is_some() && rest == [MANIFEST_FILE];
        if model.starts_with('.') || (!is_manifest && rest.iter().any(|part| part.starts_with('.'))) {
            return;
        }
        let is_odd = |part: &&str| part.len() > LONGEST_NAME || part.contains(['\\', '\0']);
        if parts.iter().any(is_odd) || parts.len() > DEEPEST {
            self.odd.push(path.to_owned());
            return;
        }
        let etag = object.e_tag;
        let tag = etag.clone().unwrap_or_else(|| object.last_modified.to_rfc3339());
        let file = StoreFile { name: rest.join("/"), key: object.location, size: object.size, etag, tag };
        let model = self.models.entry((*model).to_owned()).or_default();
        match version {
            None => drop(model.own.insert(file.name.clone(), file)),
            Some(version) => {
                let version = model.versions.entry(version).or_default();
                if is_manifest {
                    version.manifest = Some(file);
                } else {
                    version.files.insert(file.name.clone(), file);
                }
            }
        }
    }
}

/// The bytes of files.
pub(super) fn bytes(files: &StoreFiles) -> u64 {
    files.values().map(|file| file.size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(key: &str, size: u64) -> ObjectMeta {
        ObjectMeta {
            location: Path::parse(key).unwrap(),
            last_modified: Default::default(),
            size,
            e_tag: Some(format!("\"{size}\"")),
            version: None,
        }
    }

    #[test]
    fn objects_are_sorted_into_models_and_versions() {
        let objects = [
            ("m/net/model.toml", 1),
            ("m/net/assets/classes.txt", 2),
            ("m/net/3/model.onnx", 3),
            ("m/net/3/model.onnx.data", 4),
            ("m/net/3/.manifest.json", 5),
            ("m/net/3/.part", 6),
            ("m/net/03/model.onnx", 7),
            ("m/.hidden/1/model.onnx", 8),
            ("m/readme.md", 9),
            // What consoles make of folders.
            ("m/net", 0),
            ("m/net/4", 0),
            ("m/net/assets", 0),
            ("m/other/1/model.onnx", 10),
            ("m/a/b/c/d/e/f/g/h/i", 1),
            ("m/net/back\\slash", 1),
        ];
        let listing =
            StoreListing::of(&Path::from("m"), objects.iter().map(|(key, size)| object(key, *size)).collect());
        assert_eq!(listing.models.keys().collect::<Vec<_>>(), ["net", "other"]);
        let net = &listing.models["net"];
        assert_eq!(net.own.keys().collect::<Vec<_>>(), ["03/model.onnx", "assets/classes.txt", "model.toml"]);
        assert_eq!(net.versions.keys().collect::<Vec<_>>(), [&3]);
        let version = &net.versions[&3];
        assert_eq!(version.files.keys().collect::<Vec<_>>(), ["model.onnx", "model.onnx.data"]);
        assert_eq!(version.manifest.as_ref().map(|file| file.size), Some(5));
        assert_eq!(bytes(&version.files), 7);
        assert_eq!(version.files["model.onnx"].key.as_ref(), "m/net/3/model.onnx");
        assert_eq!(listing.odd, ["a/b/c/d/e/f/g/h/i", "net/back\\slash"]);
    }

    #[test]
    fn a_whole_bucket_can_be_a_repository() {
        let listing = StoreListing::of(&Path::ROOT, vec![object("net/1/model.onnx", 1)]);
        assert_eq!(listing.models["net"].versions.len(), 1);
    }
}
