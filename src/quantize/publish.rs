//! The new version appears in the model repository whole, or not at all: it is written under a name that begins with a
//! dot, which servers pass over, and then renamed. Ctrl-C or a full disk leaves no version behind.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::report::{QuantizationReport, REPORT_FILE};
use crate::{
    model::{BuiltIn, manifest::MANIFEST_FILE, repository::GRAPH_FILE},
    onnx::{self, ModelProto, WriteError},
    staging::{FileError, StagedFolder, at, write_file},
};

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
    #[error(transparent)]
    Io(#[from] FileError),
}

impl Destination<'_> {
    /// Checks that files can be made there. The command asks before minutes of work, not after; nothing is left behind.
    ///
    /// # Errors
    /// [`PublishError::Io`].
    pub fn check(&self) -> Result<(), PublishError> {
        let wanted = match self {
            Self::Beside(folder) => folder,
            Self::Unpacked(folder, _) => folder.parent().unwrap_or(Path::new(".")),
        };
        // A folder that does not exist yet will be made inside the nearest one that does, so that one is tried.
        let there = wanted.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
        Ok(StagedFolder::new(there, "quantize").map(drop)?)
    }
}

/// Writes `model` and `report` as version `version`; gives the version's folder.
///
/// # Errors
/// [`PublishError`]; then the repository is as it was.
pub fn publish(
    model: &ModelProto,
    report: &QuantizationReport,
    version: u64,
    destination: Destination<'_>,
) -> Result<PathBuf, PublishError> {
    let (folder, parent) = match destination {
        Destination::Beside(folder) => (folder.join(version.to_string()), folder),
        Destination::Unpacked(folder, _) => (folder.to_owned(), folder.parent().unwrap_or(Path::new("."))),
    };
    fs::create_dir_all(parent).map_err(at(parent))?;
    let stage = StagedFolder::new(parent, "quantize")?;
    let inner = match destination {
        Destination::Beside(_) => stage.path().to_owned(),
        Destination::Unpacked(_, built_in) => {
            let original = stage.make_folder(&built_in.version.to_string())?;
            write(&original.join(GRAPH_FILE), built_in.graph)?;
            write(&stage.path().join(MANIFEST_FILE), built_in.manifest.as_bytes())?;
            write(&stage.path().join(LABELS_FILE), built_in.labels.as_bytes())?;
            stage.make_folder(&version.to_string())?
        }
    };
    onnx::write(model, &inner.join(GRAPH_FILE))?;
    write(&inner.join(REPORT_FILE), report.to_json().as_bytes())?;
    stage.publish(&folder)?;
    Ok(match destination {
        Destination::Beside(_) => folder,
        Destination::Unpacked(..) => folder.join(version.to_string()),
    })
}

fn write(path: &Path, content: &[u8]) -> Result<(), PublishError> {
    Ok(write_file(path, |file| file.write_all(content))?)
}
