//! The models on disk: `DIR/NAME/VERSION/model.onnx`, the layout of TensorFlow Serving and Triton.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use crate::files;

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

    /// The bytes of a version's files, weights in files of their own included; what cannot be looked at has none.
    pub fn version_bytes(&self, version: u64) -> u64 {
        /// A version is a few files, and a link may lead anywhere.
        const MOST_FILES: usize = 4_096;
        let entries = fs::read_dir(self.path.join(version.to_string())).into_iter().flatten().flatten();
        let files = entries.take(MOST_FILES).filter_map(|entry| fs::metadata(entry.path()).ok());
        files.filter(fs::Metadata::is_file).map(|file| file.len()).fold(0, u64::saturating_add)
    }
}

/// Why a repository cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the model repository {}: {cause}", files::shown(path))]
pub struct RepositoryError {
    /// The folder.
    pub path: PathBuf,
    /// What the system said.
    pub cause: io::Error,
}

/// What a repository holds.
#[derive(Debug, Default)]
pub struct Contents {
    /// By name.
    pub models: Vec<ModelFolder>,
    /// What may be meant for a model and cannot be looked at or served.
    pub passed_over: Vec<PassedOver>,
}

/// Something in a repository that is no model, although it looks as if it were meant to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Where it is.
    pub path: PathBuf,
    /// Why, and what to do.
    pub reason: String,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "passed over {}: {}", files::shown(&self.path), self.reason)
    }
}

/// Lists the models in `folder`, by name. What is passed over is named in the log. A repository that is not there is empty.
///
/// # Errors
/// If the folder itself cannot be read.
pub fn scan(folder: &Path) -> Result<Vec<ModelFolder>, RepositoryError> {
    let Contents { models, passed_over } = contents(folder)?;
    for passed_over in passed_over {
        tracing::warn!("{passed_over}");
    }
    Ok(models)
}

/// Lists what is in `folder`. Hidden folders and plain files are no models and not spoken of.
///
/// # Errors
/// If the folder itself cannot be read.
pub fn contents(folder: &Path) -> Result<Contents, RepositoryError> {
    let failed = |cause| RepositoryError { path: folder.into(), cause };
    let mut contents = Contents::default();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && !folder.is_symlink() => return Ok(contents),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            continue;
        }
        let path = entry.path();
        match model(&path, &mut contents.passed_over) {
            Ok(Some(model)) => contents.models.push(model),
            Ok(None) => {}
            Err(reason) => contents.passed_over.push(PassedOver { path, reason }),
        }
    }
    contents.models.sort_by(|a, b| a.name.cmp(&b.name));
    contents.passed_over.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(contents)
}

/// The version that a folder of this name is.
pub fn version_number(name: &str) -> Option<u64> {
    // `01` and `+1` would parse, and would be a second name of version 1.
    name.parse().ok().filter(|version: &u64| *version > 0 && version.to_string() == name)
}

/// The model in the folder `path`; `None` for a plain file.
///
/// # Errors
/// Why it cannot be looked at or served, in words.
pub fn model(path: &Path, passed_over: &mut Vec<PassedOver>) -> Result<Option<ModelFolder>, String> {
    if !fs::metadata(path).map_err(|error| in_words(path, &error))?.is_dir() {
        return Ok(None);
    }
    let Some(name) = path.file_name().and_then(|name| name.to_str()).map(str::to_owned) else {
        return Err("its name is no UTF-8, and would be its route; rename it".to_owned());
    };
    let mut versions = Vec::new();
    for entry in fs::read_dir(path).map_err(|error| in_words(path, &error))? {
        let path = entry.map_err(|error| error.to_string())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(version) = version_number(name) else { continue };
        let graph = path.join(GRAPH_FILE);
        match files::check(&graph) {
            Ok(()) => versions.push(version),
            // Nothing there yet: a version in the making.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !graph.is_symlink() && path.exists() => {}
            Err(_) if !path.exists() => {
                passed_over.push(PassedOver { path, reason: "a link to nothing".to_owned() });
            }
            Err(error) => {
                let reason = in_words(&graph, &error);
                passed_over.push(PassedOver { path: graph, reason });
            }
        }
    }
    versions.sort_unstable();
    Ok(Some(ModelFolder { name, path: path.to_owned(), versions }))
}

fn in_words(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => "a link to nothing".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{ffi::OsStrExt, fs::symlink},
    };

    use super::*;

    fn make(root: &Path, files: &[&str]) {
        for path in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
    }

    fn names(models: &[ModelFolder]) -> Vec<(&str, &[u64])> {
        models.iter().map(|model| (model.name.as_str(), model.versions.as_slice())).collect()
    }

    #[test]
    fn versions_are_positive_integers_with_a_graph() {
        let root = tempfile::tempdir().unwrap();
        make(
            root.path(),
            &["b/2/model.onnx", "b/10/model.onnx", "b/0/model.onnx", "b/01/model.onnx", "b/x/model.onnx", "a/1/x"],
        );
        fs::create_dir(root.path().join(".git")).unwrap();
        fs::write(root.path().join("README.md"), "").unwrap();

        let found = contents(root.path()).unwrap();

        assert_eq!(names(&found.models), [("a", &[][..]), ("b", &[2, 10][..])]);
        assert_eq!(found.passed_over, []);
    }

    #[test]
    fn what_cannot_be_looked_at_is_named_and_the_others_are_served() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        make(root.path(), &["good/1/model.onnx", "good/2/x", "good/3/model.onnx/x"]);
        symlink("nothing", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        symlink("nothing", at("good/2/model.onnx")).unwrap();
        symlink("nothing", at("good/4")).unwrap();
        fs::create_dir(root.path().join(OsStr::from_bytes(b"z\xff"))).unwrap();

        let found = contents(root.path()).unwrap();

        assert_eq!(names(&found.models), [("good", &[1][..])]);
        let said: Vec<_> = found.passed_over.iter().map(ToString::to_string).collect();
        let expected = [
            ("dangling", "a link to nothing"),
            ("good/2/model.onnx", "a link to nothing"),
            ("good/3/model.onnx", "it is a folder, not a file"),
            ("good/4", "a link to nothing"),
            ("loop", "links"),
            ("z\\xff", "is no UTF-8"),
        ];
        assert_eq!(said.len(), expected.len(), "{said:#?}");
        for (said, (path, reason)) in said.iter().zip(expected) {
            assert!(said.contains(&format!("/{path}: ")) && said.contains(reason), "{said}");
        }
    }

    #[test]
    fn a_repository_that_is_not_there_is_empty_and_one_that_is_none_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(scan(&root.path().join("nowhere")).unwrap(), []);
        fs::write(root.path().join("file"), "").unwrap();
        symlink("nothing", root.path().join("link")).unwrap();
        for name in ["file", "link"] {
            let message = scan(&root.path().join(name)).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
    }
}
