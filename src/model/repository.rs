//! The models on disk: `DIR/NAME/VERSION/model.onnx`, the layout of TensorFlow Serving and Triton.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The graph's file name in a version's folder.
pub const GRAPH_FILE: &str = "model.onnx";

/// One folder of a repository that holds a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFolder {
    /// The folder's name; the model's name and route.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// The versions that have a graph, ascending. Empty: nothing to serve here.
    pub versions: Vec<u64>,
}

impl ModelFolder {
    /// The graph of `version`.
    pub fn graph(&self, version: u64) -> PathBuf {
        self.path.join(version.to_string()).join(GRAPH_FILE)
    }
}

/// Why a repository cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the model repository {path}: {cause}")]
pub struct RepositoryError {
    /// The folder.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

/// Lists the models in `folder`, by name. Hidden folders and plain files are passed over.
///
/// # Errors
/// If the folder cannot be read.
pub fn scan(folder: &Path) -> Result<Vec<ModelFolder>, RepositoryError> {
    let failed = |cause| RepositoryError { path: folder.into(), cause };
    let mut models = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
        if name.starts_with('.') || !path.is_dir() {
            continue;
        }
        let versions = versions(&path).map_err(|cause| RepositoryError { path: path.clone(), cause })?;
        models.push(ModelFolder { name, path, versions });
    }
    models.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(models)
}

fn versions(model: &Path) -> io::Result<Vec<u64>> {
    let mut versions = Vec::new();
    for entry in fs::read_dir(model)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // `01` and `+1` would parse, and would be a second name of version 1.
        let version = name.parse::<u64>().ok().filter(|version| *version > 0 && version.to_string() == name);
        if let Some(version) = version.filter(|_| path.join(GRAPH_FILE).is_file()) {
            versions.push(version);
        }
    }
    versions.sort_unstable();
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_positive_integers_with_a_graph() {
        let root = tempfile::tempdir().unwrap();
        for path in
            ["b/2/model.onnx", "b/10/model.onnx", "b/0/model.onnx", "b/01/model.onnx", "b/x/model.onnx", "a/1/x"]
        {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        fs::create_dir(root.path().join(".git")).unwrap();
        fs::write(root.path().join("README.md"), "").unwrap();

        let found = scan(root.path()).unwrap();

        let found: Vec<_> = found.iter().map(|model| (model.name.as_str(), model.versions.as_slice())).collect();
        assert_eq!(found, [("a", &[][..]), ("b", &[2, 10][..])]);
    }
}
