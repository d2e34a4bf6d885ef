//! The new version appears in the model repository whole, or not at all: it is written under a name that begins with a
//! dot, which servers pass over, and then renamed. Ctrl-C or a full disk leaves no version behind.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::Report;
use crate::{
    model::{BuiltIn, manifest::MANIFEST_FILE, repository::GRAPH_FILE},
    onnx::{self, ModelProto, WriteError},
};

/// The report's name, beside the graph.
pub const REPORT_FILE: &str = "quantization.json";
const LABELS_FILE: &str = "labels.txt";

/// Where the new version goes.
#[derive(Clone, Copy)]
pub enum Destination<'a> {
    /// Into the folder of a model that is there: `DIR/NAME`.
    Beside(&'a Path),
    /// Into a folder that is made for the built-in model, with a copy of its own version: `DIR/NAME`.
    Unpacked(&'a Path, &'a BuiltIn),
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The model file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The file system refused.
    #[error("cannot write {}: {source}; check that the folder is writable and has room", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes `model` and `report` as version `version`; gives the version's folder.
///
/// # Errors
/// [`PublishError`]; then the repository is as it was.
pub fn publish(
    model: &ModelProto,
    report: &Report,
    version: u64,
    destination: Destination<'_>,
) -> Result<PathBuf, PublishError> {
    let (folder, parent) = match destination {
        Destination::Beside(folder) => (folder.join(version.to_string()), folder),
        Destination::Unpacked(folder, _) => (folder.to_owned(), folder.parent().unwrap_or(Path::new("."))),
    };
    fs::create_dir_all(parent).map_err(at(parent))?;
    let mut builder = tempfile::Builder::new();
    // For others to read too: `tempfile` alone would leave it to its owner. The umask still applies.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755));
    let stage = builder.prefix(".quantize-").tempdir_in(parent).map_err(at(parent))?;
    let inner = match destination {
        Destination::Beside(_) => stage.path().to_owned(),
        Destination::Unpacked(_, built_in) => {
            let original = make(stage.path(), built_in.version)?;
            write(&original.join(GRAPH_FILE), built_in.graph)?;
            write(&stage.path().join(MANIFEST_FILE), built_in.manifest.as_bytes())?;
            write(&stage.path().join(LABELS_FILE), built_in.labels.as_bytes())?;
            make(stage.path(), version)?
        }
    };
    onnx::write(model, &inner.join(GRAPH_FILE))?;
    write(&inner.join(REPORT_FILE), report.to_json().as_bytes())?;
    fs::rename(stage.path(), &folder).map_err(at(&folder))?;
    // What was renamed must not be swept away under its old name.
    let _ = stage.keep();
    Ok(match destination {
        Destination::Beside(_) => folder,
        Destination::Unpacked(..) => folder.join(version.to_string()),
    })
}

fn make(stage: &Path, version: u64) -> Result<PathBuf, PublishError> {
    let folder = stage.join(version.to_string());
    fs::create_dir(&folder).map_err(at(&folder))?;
    Ok(folder)
}

fn write(path: &Path, content: &[u8]) -> Result<(), PublishError> {
    onnx::write_atomically(path, |sink| sink.write_all(content)).map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PublishError {
    let path = path.to_owned();
    move |source| PublishError::Io { path, source }
}
