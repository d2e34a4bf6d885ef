//! Writes a served model: `REPOSITORY/NAME/VERSION/model.onnx`, and `model.toml` and `labels.txt` beside the versions.
//!
//! A server may be watching the folder: whatever it sees there is whole. Everything is written under a name that begins
//! with a dot, then renamed.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    files,
    onnx::{self, WriteError},
    staging::{FileError, StagedFolder, at, write_file},
};

use super::{
    architecture::Architecture,
    error::WeightsError,
    network::{GraphOptions, network},
    preprocessing::Preprocessing,
    state_dict::StateDict,
    weights::check,
};

const MODEL_FILE: &str = "model.onnx";
const MANIFEST_FILE: &str = "model.toml";
const LABELS_FILE: &str = "labels.txt";

/// The most bytes of `model.toml` and `labels.txt`.
const LARGEST_TEXT: u64 = 16 << 20;

/// What to make.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// The network.
    pub architecture: Architecture,
    /// How its graph is written.
    pub options: GraphOptions,
    /// How images are prepared for it.
    pub preprocessing: Preprocessing,
    /// The name that it is served under.
    pub name: String,
    /// `None` is the next after those that are there.
    pub version: Option<u64>,
    /// One line a class; `None` leaves the classes unnamed.
    pub labels: Option<String>,
    /// Replaces a version, a `model.toml` or labels that are there.
    pub force: bool,
}

/// What was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// `REPOSITORY/NAME/VERSION/model.onnx`.
    pub model: PathBuf,
    /// The version that it got.
    pub version: u64,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The weights are not those of the architecture.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The model file cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The name cannot be a folder and a route.
    #[error(
        "{name:?} cannot be a model's name; use letters, digits, '.', '_' and '-', and begin with a letter or digit"
    )]
    Name {
        /// What was given.
        name: String,
    },
    /// The version is there already.
    #[error("{} is there already; leave --version out for the next one, or replace it with --force", folder.display())]
    VersionExists {
        /// The version's folder.
        folder: PathBuf,
    },
    /// Versions are positive integers.
    #[error("a version is a number from 1 to {}, not {version}", i64::MAX)]
    Version {
        /// What was given.
        version: u64,
    },
    /// The labels are not those of the classes.
    #[error("{found} labels for {classes} classes; give one line a class, in the order of the network's outputs")]
    Labels {
        /// The number of lines.
        found: usize,
        /// The number of outputs.
        classes: usize,
    },
    /// A line of the labels is empty.
    #[error("line {line} of the labels is empty; give one line a class, in the order of the network's outputs")]
    EmptyLabel {
        /// Counted from 1.
        line: usize,
    },
    /// The model's other versions are prepared or labelled in another way, and share one file.
    #[error("{} says something else than this model needs; choose another --name, or replace it with --force", path.display())]
    Disagrees {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error(transparent)]
    Io(#[from] FileError),
}

/// Builds the network from `weights` and writes it into the model repository, which is made if need be.
///
/// # Errors
/// [`BuildError`]; then the repository is as it was.
pub fn build(recipe: &Recipe, weights: StateDict, repository: &Path) -> Result<Written, BuildError> {
    check_name(&recipe.name)?;
    // `network` checks again later. Checked here as well, so that wrong weights are reported before anything on disk
    // is.
    check(&recipe.architecture, &weights)?;
    let labels =
        recipe.labels.as_ref().map(|labels| checked_labels(labels, recipe.architecture.classes)).transpose()?;
    let folder = repository.join(&recipe.name);
    let version = match recipe.version {
        Some(version) if version == 0 || i64::try_from(version).is_err() => {
            return Err(BuildError::Version { version });
        }
        Some(version) => version,
        None => next_version(&folder)?,
    };
    let version_folder = folder.join(version.to_string());
    if version_folder.exists() && !recipe.force {
        return Err(BuildError::VersionExists { folder: version_folder });
    }
    let mut files = vec![(MANIFEST_FILE, manifest(recipe))];
    files.extend(labels.map(|labels| (LABELS_FILE, labels)));
    if !recipe.force {
        for (file, content) in &files {
            check_agrees(&folder.join(file), content)?;
        }
    }

    let model = network(&recipe.architecture, weights, &recipe.options)?;

    if folder.exists() {
        // The large file comes first, while nothing is visible yet: a full disk then changes nothing.
        let stage = StagedFolder::new(&folder, &version.to_string())?;
        onnx::write(&model, &stage.path().join(MODEL_FILE))?;
        for (file, content) in &files {
            let path = folder.join(file);
            if recipe.force || !path.exists() {
                write_file(&path, |file| file.write_all(content.as_bytes()))?;
            }
        }
        if version_folder.exists() {
            stage.publish_file(MODEL_FILE, &version_folder.join(MODEL_FILE))?;
        } else {
            stage.publish(&version_folder)?;
        }
    } else {
        fs::create_dir_all(repository).map_err(at(repository))?;
        let stage = StagedFolder::new(repository, &recipe.name)?;
        for (file, content) in &files {
            let path = stage.path().join(file);
            write_file(&path, |file| file.write_all(content.as_bytes()))?;
        }
        let inner = stage.make_folder(&version.to_string())?;
        onnx::write(&model, &inner.join(MODEL_FILE))?;
        stage.publish(&folder)?;
    }
    Ok(Written { model: version_folder.join(MODEL_FILE), version })
}

fn manifest(recipe: &Recipe) -> String {
    let labels =
        if recipe.labels.is_some() { format!("\n[output]\nlabels = {LABELS_FILE:?}\n") } else { String::new() };
    format!("{}{labels}", recipe.preprocessing)
}

fn check_name(name: &str) -> Result<(), BuildError> {
    let first = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let rest = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if first && rest && name.len() <= 128 { Ok(()) } else { Err(BuildError::Name { name: name.into() }) }
}

/// One line a class, as it is written: without a byte-order mark, with one newline at the end.
fn checked_labels(labels: &str, classes: usize) -> Result<String, BuildError> {
    let lines: Vec<&str> = labels.trim_start_matches('\u{feff}').trim_end().lines().collect();
    if let Some(empty) = lines.iter().position(|line| line.trim().is_empty()) {
        return Err(BuildError::EmptyLabel { line: empty + 1 });
    }
    if lines.len() != classes {
        return Err(BuildError::Labels { found: lines.len(), classes });
    }
    Ok(lines.join("\n") + "\n")
}

/// Checks a file that all versions of the model share: it may stay if it says the same as ours would. Only the sections
/// that this crate writes are compared; `[batching]`, `[runtime]` and comments are the owner's.
fn check_agrees(path: &Path, content: &str) -> Result<(), BuildError> {
    let Ok(there) = files::read_text(path, LARGEST_TEXT) else { return Ok(()) };
    let agrees = if path.ends_with(MANIFEST_FILE) {
        let parse = |text: &str| text.parse::<toml::Table>().ok();
        let sections = |table: &toml::Table| ["input", "output"].map(|section| table.get(section).cloned());
        match (parse(&there), parse(content)) {
            (Some(there), Some(ours)) => sections(&there) == sections(&ours),
            _ => false,
        }
    } else {
        there.lines().eq(content.lines())
    };
    if agrees { Ok(()) } else { Err(BuildError::Disagrees { path: path.to_owned() }) }
}

/// One more than the highest version that is there.
fn next_version(folder: &Path) -> Result<u64, BuildError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(1),
        Err(error) => return Err(at(folder)(error).into()),
    };
    let highest =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u64>().ok()).max().unwrap_or(0);
    highest.checked_add(1).ok_or(BuildError::Version { version: highest })
}
