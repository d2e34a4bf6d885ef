//! Where the names of a model's classes are: a file inside its folder, and nowhere else, for they are served to anybody.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::ModelError;
use crate::{
    files,
    postprocess::{LabelsError, parse_labels},
};

/// The labels that a model without a label file gets when it has just as many classes.
const IMAGENET_LABELS: &str = include_str!("../resnet/labels/imagenet1k.tsv");

/// The file that is looked for where `model.toml` names none.
const LABELS_FILE: &str = "labels.txt";

/// More than a hundred thousand long names.
const LARGEST_FILE: u64 = 16 << 20;

/// Where a model's label file is, or would be.
///
/// * `named`: the file that `model.toml` names
pub fn labels_file(folder: &Path, named: Option<&Path>) -> PathBuf {
    folder.join(named.unwrap_or(Path::new(LABELS_FILE)))
}

/// The text of a model's label file; `None` where it has none.
///
/// * `named`: the file that `model.toml` names
///
/// # Errors
/// [`LabelsError::Read`] for a file that is named and not there, that cannot be read, or that lies outside `folder`.
pub fn label_text(folder: &Path, named: Option<&Path>) -> Result<Option<String>, LabelsError> {
    let file = named.unwrap_or(Path::new(LABELS_FILE));
    let path = labels_file(folder, named);
    if named.is_none() && path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        return Ok(None);
    }
    let text = files::inside(folder, file).and_then(|place| files::read_text(&place, LARGEST_FILE));
    text.map(Some).map_err(|cause| LabelsError::Read { path, cause })
}

/// The labels that a text gives, where it is a list of labels.
pub fn stated_labels(text: &str) -> Option<Arc<[Arc<str>]>> {
    parse_labels(text).ok()
}

/// A label for each class: those that were given, ImageNet's, or else its index.
///
/// # Errors
/// [`ModelError::LabelCount`].
pub(super) fn labels_for(
    name: &str,
    labels: Option<Arc<[Arc<str>]>>,
    classes: usize,
) -> Result<Arc<[Arc<str>]>, ModelError> {
    match labels {
        Some(labels) if labels.len() == classes => Ok(labels),
        Some(labels) => Err(ModelError::LabelCount { classes, labels: labels.len() }),
        None => {
            let imagenet = parse_labels(IMAGENET_LABELS)?;
            if imagenet.len() == classes {
                tracing::info!(model = name, "no labels.txt: 1,000 classes are taken for ImageNet's");
                return Ok(imagenet);
            }
            tracing::info!(model = name, classes, "no labels.txt: classes are called by their index");
            Ok((0..classes).map(|index| Arc::from(index.to_string())).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn labels_are_a_file_of_the_model_and_of_nobody_else() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("pets");
        fs::create_dir(&folder).unwrap();
        fs::write(root.path().join("passwd"), "root\n").unwrap();
        let refusal = |named: Option<&str>| label_text(&folder, named.map(Path::new)).unwrap_err().to_string();

        assert_eq!(label_text(&folder, None).unwrap(), None);
        assert!(refusal(Some("labels.txt")).contains("labels.txt: No such file"));
        for outside in ["../passwd", "/etc/passwd"] {
            let message = refusal(Some(outside));
            assert!(message.contains(outside) && message.contains("leaves the model's folder"), "{message}");
        }
        // An archive of a model may hold such a link.
        symlink("../passwd", folder.join("labels.txt")).unwrap();
        assert!(refusal(None).contains("a link leaves the model's folder"), "{}", refusal(None));
        fs::remove_file(folder.join("labels.txt")).unwrap();
        symlink("nothing", folder.join("labels.txt")).unwrap();
        assert!(refusal(None).contains("No such file"), "a link to nothing is no way to have no labels");

        fs::write(folder.join("names"), "cat\ndog\n").unwrap();
        assert_eq!(label_text(&folder, Some(Path::new("names"))).unwrap().as_deref(), Some("cat\ndog\n"));
    }
}
